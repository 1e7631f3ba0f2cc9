package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"log"
	"time"

	"raft-sidecar/examples/go-kv/raftv1"
)

const (
	// How writeTo writes a state: a JSON object on each line, for a record or for a remembered request, and those in the
	// order of the log. python-kv writes and reads the same.
	snapshotFormat = "kv-json/1"
	// A chunk has at most so many bytes, or one line, which stays far below the sidecar's 2 MiB.
	chunkBytes = 256 * 1024
	// A node that takes nothing of a snapshot for so long, or doesn't answer for it, hangs.
	maxPutSilence = time.Minute
)

// What came is not what was announced. The state is as it was.
var errDamaged = errors.New("another size or SHA-256 than announced")

// line is a record, which has a value, or a remembered request.
type line struct {
	Key     string  `json:"key,omitempty"`
	Value   *string `json:"value,omitempty"`
	ID      string  `json:"id,omitempty"`
	At      uint64  `json:"at,omitempty"`
	Status  int     `json:"status,omitempty"`
	Version uint64  `json:"version"`
}

func (s *state) writeTo(w io.Writer) error {
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	for key, record := range s.records {
		if err := lines.Encode(line{Key: key, Value: &record.Value, Version: record.Version}); err != nil {
			return err
		}
	}
	for _, request := range s.order {
		result := request.result
		next := line{ID: request.id, At: request.at, Status: result.Status, Version: result.Version}
		if err := lines.Encode(next); err != nil {
			return err
		}
	}
	return nil
}

func readState(r io.Reader) (state, error) {
	read, lines := newState(), json.NewDecoder(r)
	for {
		var next line
		err := lines.Decode(&next)
		switch {
		case errors.Is(err, io.EOF):
			return read, nil
		case err != nil:
			return state{}, err
		case next.Value != nil:
			read.records[next.Key] = Record{*next.Value, next.Version}
		default:
			read.remember(remembered{next.ID, next.At, Result{next.Status, next.Version}})
		}
	}
}

// putSnapshot puts one on the node in the background, unless one is on its way.
func (s *Sidecar) putSnapshot(ctx context.Context, node raftv1.LogServiceClient) {
	if applied, _, _ := s.store.Position(); applied == 0 || !s.putting.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer s.putting.Store(false)
		index, err := putState(ctx, node, s.store.Copy())
		reason, _ := explain(err)
		switch {
		case err == nil:
			s.put.Store(index)
		case reason != "SNAPSHOT_OUTDATED": // Another copy was faster, which is as good.
			log.Printf("no snapshot was put: %s %v", reason, err) // Whatever it is, the node asks again.
		}
	}()
}

func putState(ctx context.Context, node raftv1.LogServiceClient, taken state) (uint64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	giveUp := time.AfterFunc(maxPutSilence, cancel)
	defer giveUp.Stop()
	stream, err := node.PutSnapshot(ctx)
	if err != nil {
		return 0, err
	}
	send := func(request *raftv1.PutSnapshotRequest) error {
		giveUp.Reset(maxPutSilence)
		return stream.Send(request)
	}
	sendErr := sendState(send, taken)
	// What stood against it comes as the answer's status; what a failed Send says doesn't tell.
	response, err := stream.CloseAndRecv()
	if err != nil {
		return 0, err
	}
	return response.GetSnapshot().GetIndex(), sendErr
}

func sendState(send func(*raftv1.PutSnapshotRequest) error, taken state) error {
	header := &raftv1.PutSnapshotHeader{Index: taken.applied, Term: taken.term, Format: snapshotFormat}
	if err := send(&raftv1.PutSnapshotRequest{Part: &raftv1.PutSnapshotRequest_Header{Header: header}}); err != nil {
		return err
	}
	sum := sha256.New()
	chunks := bufio.NewWriterSize(io.MultiWriter(sum, chunkWriter(send)), chunkBytes)
	if err := errors.Join(taken.writeTo(chunks), chunks.Flush()); err != nil {
		return err
	}
	return send(&raftv1.PutSnapshotRequest{Part: &raftv1.PutSnapshotRequest_Sha256{Sha256: sum.Sum(nil)}})
}

// chunkWriter sends what it is given as a chunk.
type chunkWriter func(*raftv1.PutSnapshotRequest) error

func (send chunkWriter) Write(data []byte) (int, error) {
	chunk := &raftv1.PutSnapshotRequest_Chunk{Chunk: bytes.Clone(data)}
	return len(data), send(&raftv1.PutSnapshotRequest{Part: chunk})
}

// restore replaces the store's state by a snapshot whose chunks are the next responses. Nothing changes before all of
// it has come and is right.
func (s *Sidecar) restore(snapshot *raftv1.Snapshot, receive receiver) error {
	chunks := &chunkReader{receive, snapshot.GetSize(), sha256.New(), snapshot.GetSha256(), nil}
	restored, err := readState(chunks)
	if err != nil {
		return fmt.Errorf("the snapshot at %d was not restored: %w", snapshot.GetIndex(), err)
	}
	restored.applied, restored.term = snapshot.GetIndex(), snapshot.GetTerm()
	s.store.Replace(restored)
	log.Printf("restored the snapshot at %d, %d bytes", restored.applied, snapshot.GetSize())
	return nil
}

type receiver func() (*raftv1.ApplyStreamResponse, error)

// chunkReader reads a snapshot's bytes from the frames that follow it. It ends with EOF only if they are what was
// announced.
type chunkReader struct {
	receive receiver
	left    uint64
	sum     hash.Hash
	sha256  []byte
	chunk   []byte
}

func (c *chunkReader) Read(buffer []byte) (int, error) {
	for len(c.chunk) == 0 {
		if c.left == 0 && bytes.Equal(c.sum.Sum(nil), c.sha256) {
			return 0, io.EOF
		}
		if c.left == 0 {
			return 0, errDamaged
		}
		response, err := c.receive()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, err
		}
		c.chunk = response.GetSnapshotChunk() // Empty in a frame of a kind that we don't know.
		if uint64(len(c.chunk)) > c.left {
			return 0, errDamaged
		}
		c.left -= uint64(len(c.chunk))
		c.sum.Write(c.chunk)
	}
	n := copy(buffer, c.chunk)
	c.chunk = c.chunk[n:]
	return n, nil
}

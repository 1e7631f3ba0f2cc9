package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	mathrand "math/rand/v2"
	"time"

	"raft-sidecar/examples/go-kv/raftv1"
)

// A node sends something on an ApplyStream every five seconds. One that doesn't hangs.
const maxSilence = 8 * time.Second

// Follow feeds the store with what is committed: from our own sidecar where that answers, else from another node, which
// has the same log. Returns when ctx ends, or with errWrongLog.
func (s *Sidecar) Follow(ctx context.Context) error {
	for turn := 0; ctx.Err() == nil; turn++ {
		answered, err := s.followOnce(ctx, s.node(turn))
		if reason, _ := explain(err); reason == "LOG_EPOCH_MISMATCH" || reason == "COMPACTED" {
			return fmt.Errorf("%w: %w", errWrongLog, err)
		}
		if errors.Is(err, errWrongLog) {
			return err
		}
		if answered {
			turn = -1 // When the stream of a node ends that answers, start again with our own.
		}
		time.Sleep(time.Duration(20+mathrand.IntN(80)) * time.Millisecond)
	}
	return nil
}

func (s *Sidecar) followOnce(parent context.Context, node raftv1.LogServiceClient) (answered bool, err error) {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	// The header comes at once, whatever there is to send. A node that hangs doesn't send it.
	giveUp := time.AfterFunc(attemptTimeout, cancel)
	defer giveUp.Stop()
	sent, term, logID := s.store.Position()
	start := &raftv1.ApplyStreamRequest_AfterIndex{AfterIndex: sent}
	stream, err := node.ApplyStream(ctx, &raftv1.ApplyStreamRequest{
		Start: start, AfterTerm: term, LogId: logID, SnapshotFormats: []string{snapshotFormat},
	})
	if err != nil {
		return false, err
	}
	receive := func() (*raftv1.ApplyStreamResponse, error) {
		response, err := stream.Recv()
		giveUp.Reset(maxSilence)
		return response, err
	}
	for {
		response, err := receive()
		if err != nil {
			return answered, err
		}
		answered = true
		if header := response.GetHeader(); len(header.GetLogId()) > 0 && logID == nil {
			logID = bytes.Clone(header.GetLogId())
			s.store.NameLog(logID)
		}
		snapshot, batch := response.GetSnapshot(), response.GetBatch()
		if (snapshot != nil || batch != nil) && logID == nil {
			return answered, nil // The node did not know its log's name when it sent the header. Now it does.
		}
		if snapshot != nil {
			if at := snapshot.GetIndex(); at <= sent {
				return answered, fmt.Errorf("%w: a snapshot at %d was sent after %d", errWrongLog, at, sent)
			}
			if err := s.restore(snapshot, receive); err != nil {
				log.Print(err)
				return false, err // The next node has its own copy.
			}
			sent = snapshot.GetIndex()
		}
		if batch != nil {
			if batch.GetPrevIndex() > sent {
				return answered, fmt.Errorf("%w: nothing was sent between %d and %d", errWrongLog, sent, batch.GetPrevIndex())
			}
			for _, entry := range batch.GetEntries() {
				if result, ok := s.store.Apply(entry); ok {
					s.complete(entry, result)
				}
			}
			sent = batch.GetLastIndex()
		}
		sent = max(sent, response.GetProgress().GetIndex())
		s.store.Cover(sent)
		if response.GetProgress().GetSnapshotWanted() {
			s.putSnapshot(parent, node)
		}
	}
}

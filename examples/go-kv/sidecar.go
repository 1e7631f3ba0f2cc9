package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"raft-sidecar/examples/go-kv/raftv1"
)

const (
	// One attempt at one node. Long enough for an election, short enough to leave a node that hangs.
	attemptTimeout = 3 * time.Second
	// A node sends something on an ApplyStream every five seconds. One that doesn't hangs.
	maxSilence = 8 * time.Second
)

var (
	// The command is not in the log and will never be.
	errNotWritten = errors.New("no quorum could be reached; nothing was written")
	// The command may be in the log, now or later.
	errOutcomeUnknown = errors.New("outcome unknown; " +
		"a retry, at any of the services, is safe with the same Idempotency-Key only")
	// The command can never be taken.
	errRefused = errors.New("refused")
	// Our state was not made from this cluster's log, or the log no longer reaches back to where we are.
	errWrongLog = errors.New("the state does not go with this log")
)

// With these reasons, and no others, a command is certainly not in the log.
var notWritten = map[string]bool{
	"NO_LEADER": true, "DRAINING": true, "NOT_APPENDED": true, "OVERLOADED": true, "DISK_LOW": true, "DATA_LOSS": true,
}

// explain returns a failed call's reason, and how long to wait. Without the sidecar's ErrorInfo the reason is "":
// unknown.
func explain(err error) (reason string, wait time.Duration) {
	for _, detail := range status.Convert(err).Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.GetDomain() == "raft-sidecar" {
				reason = detail.GetReason()
			}
		case *errdetails.RetryInfo:
			wait = detail.GetRetryDelay().AsDuration()
		}
	}
	return reason, wait
}

// Sidecar is the replicated log: propose a command, wait for a read barrier, follow what was committed.
type Sidecar struct {
	nodes []raftv1.LogServiceClient
	store *Store
	// Names this process, not this copy: the next one starts to count at 1 again.
	clientID string
	sequence atomic.Uint64
	retries  atomic.Int64

	mu sync.Mutex
	// Where the apply loop puts the result of each sequence that a request waits for.
	waiting map[uint64]chan Result
}

// newSidecar takes host:port of every node's client listener, our own sidecar's first.
func newSidecar(addresses []string, store *Store) (*Sidecar, error) {
	reconnect := backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}
	s := &Sidecar{store: store, clientID: rand.Text(), waiting: map[uint64]chan Result{}}
	for _, address := range addresses {
		conn, err := grpc.NewClient("passthrough:///"+address,
			grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(),
			grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: attemptTimeout}))
		if err != nil {
			return nil, err
		}
		s.nodes = append(s.nodes, raftv1.NewLogServiceClient(conn))
	}
	return s, nil
}

// Propose proposes until the command is applied here, and returns the state machine's result. All attempts have one
// sequence, so the command is appended once, however many of them reach the log.
func (s *Sidecar) Propose(ctx context.Context, command []byte) (Result, error) {
	request := &raftv1.ProposeRequest{Command: command, ClientId: s.clientID, Sequence: s.sequence.Add(1)}
	// Has the result whenever the apply loop comes to it: maybe before a call has ended, and after it has failed.
	applied := make(chan Result, 1)
	s.mu.Lock()
	s.waiting[request.Sequence] = applied
	s.mu.Unlock()
	defer s.forget(request.Sequence)

	unknown := false
	for attempt := 0; ctx.Err() == nil; attempt++ {
		var wait <-chan time.Time // For ever, where the call ended well: then the result is about to come.
		select {
		case result := <-applied:
			return result, nil
		case <-ctx.Done():
			unknown = true
		case err := <-s.proposeOnce(attempt, request):
			reason, retryAfter := explain(err)
			switch {
			case reason == "INVALID_ARGUMENT":
				return Result{}, fmt.Errorf("%w: %s", errRefused, status.Convert(err).Message())
			case reason == "SEQUENCE_TOO_OLD":
				return s.findOut(ctx, applied)
			case !notWritten[reason]:
				unknown = true
			}
			if err != nil {
				wait = s.pause(attempt, retryAfter)
			}
		}
		select {
		case result := <-applied:
			return result, nil
		case <-wait:
		case <-ctx.Done():
		}
	}
	if unknown {
		return Result{}, errOutcomeUnknown
	}
	return Result{}, errNotWritten
}

func (s *Sidecar) proposeOnce(attempt int, request *raftv1.ProposeRequest) <-chan error {
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), attemptTimeout)
		defer cancel()
		_, err := s.node(attempt).Propose(ctx, request)
		ended <- err
	}()
	return ended
}

// findOut is for a sequence that 1,024 later ones have passed. It can't be appended any more, so that it is applied
// below a barrier taken now, or never.
func (s *Sidecar) findOut(ctx context.Context, applied <-chan Result) (Result, error) {
	if s.Barrier(ctx) != nil {
		return Result{}, errOutcomeUnknown
	}
	select {
	case result := <-applied:
		return result, nil
	default:
		return Result{}, errNotWritten
	}
}

// Barrier waits until everything is applied here that was acknowledged anywhere before this call.
func (s *Sidecar) Barrier(ctx context.Context) error {
	for attempt := 0; ctx.Err() == nil; attempt++ {
		index, err := s.readIndex(ctx, attempt)
		if err == nil {
			return s.store.WaitFor(ctx, index)
		}
		_, retryAfter := explain(err)
		select {
		case <-s.pause(attempt, retryAfter):
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

func (s *Sidecar) readIndex(ctx context.Context, attempt int) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	response, err := s.node(attempt).ReadIndex(ctx, &raftv1.ReadIndexRequest{})
	return response.GetIndex(), err
}

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

func (s *Sidecar) followOnce(ctx context.Context, node raftv1.LogServiceClient) (answered bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The header comes at once, whatever there is to send. A node that hangs doesn't send it.
	giveUp := time.AfterFunc(attemptTimeout, cancel)
	defer giveUp.Stop()
	sent, term, logID := s.store.Position()
	start := &raftv1.ApplyStreamRequest_AfterIndex{AfterIndex: sent}
	stream, err := node.ApplyStream(ctx, &raftv1.ApplyStreamRequest{Start: start, AfterTerm: term, LogId: logID})
	if err != nil {
		return false, err
	}
	for {
		response, err := stream.Recv()
		if err != nil {
			return answered, err
		}
		answered = true
		giveUp.Reset(maxSilence)
		if header := response.GetHeader(); len(header.GetLogId()) > 0 && logID == nil {
			logID = bytes.Clone(header.GetLogId())
			s.store.NameLog(logID)
		}
		if batch := response.GetBatch(); batch != nil {
			if logID == nil {
				return answered, nil // The node did not know its log's name when it sent the header. Now it does.
			}
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
	}
}

func (s *Sidecar) complete(entry *raftv1.Entry, result Result) {
	if entry.GetClientId() != s.clientID {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if applied, ok := s.waiting[entry.GetSequence()]; ok {
		applied <- result
		delete(s.waiting, entry.GetSequence())
	}
}

func (s *Sidecar) forget(sequence uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, sequence)
}

func (s *Sidecar) node(turn int) raftv1.LogServiceClient {
	return s.nodes[turn%len(s.nodes)]
}

func (s *Sidecar) pause(attempt int, retryAfter time.Duration) <-chan time.Time {
	s.retries.Add(1)
	step := min(20*time.Millisecond<<min(attempt, 5), 500*time.Millisecond)
	return time.After(max(retryAfter, step/2+mathrand.N(step/2)))
}

package main

import (
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

// One attempt at one node. Long enough for an election, short enough to leave a node that hangs.
const attemptTimeout = 3 * time.Second

var (
	// The command is not in the log and will never be.
	errNotWritten = errors.New("no quorum could be reached; nothing was written")
	// The command may be in the log, now or later.
	errOutcomeUnknown = errors.New("outcome unknown; " +
		"a retry, at any of the services, is safe with the same Idempotency-Key only")
	// The command can never be taken.
	errRefused = errors.New("refused")
	// Our state was not made from this cluster's log; or that no longer reaches back to where we are, and the node has no
	// snapshot that we can read.
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
	// Whether a snapshot is being put, and the index of the last one that this process has put.
	putting atomic.Bool
	put     atomic.Uint64

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

	begun, _, _ := s.store.Position()
	unknown := false
	for attempt := 0; ctx.Err() == nil; attempt++ {
		var wait <-chan time.Time
		select {
		case result := <-applied:
			return result, nil
		case <-ctx.Done():
			unknown = true
		case ended := <-s.proposeOnce(attempt, request):
			if ended.err == nil {
				return s.appliedAt(ctx, ended.index, applied)
			}
			reason, retryAfter := explain(ended.err)
			switch {
			case reason == "INVALID_ARGUMENT":
				return Result{}, fmt.Errorf("%w: %s", errRefused, status.Convert(ended.err).Message())
			case reason == "SEQUENCE_TOO_OLD":
				return s.findOut(ctx, begun, applied)
			case !notWritten[reason]:
				unknown = true
			}
			wait = s.pause(attempt, retryAfter)
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

// proposal is how a call ended: where the command is committed, or why not.
type proposal struct {
	index uint64
	err   error
}

func (s *Sidecar) proposeOnce(attempt int, request *raftv1.ProposeRequest) <-chan proposal {
	ended := make(chan proposal, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), attemptTimeout)
		defer cancel()
		response, err := s.node(attempt).Propose(ctx, request)
		ended <- proposal{response.GetIndex(), err}
	}()
	return ended
}

// appliedAt returns the result of a command that is committed at index. It comes before the store has covered that; or
// never, where a snapshot was restored that stands for the command.
func (s *Sidecar) appliedAt(ctx context.Context, index uint64, applied <-chan Result) (Result, error) {
	_ = s.store.WaitFor(ctx, index) // Fails with ctx: then it is unknown, too.
	select {
	case result := <-applied:
		return result, nil
	default:
		return Result{}, errOutcomeUnknown
	}
}

// findOut is for a sequence that 1,024 later ones have passed. It can't be appended any more, so that it is applied
// below a barrier taken now, or never; unless a snapshot was restored since, which may stand for it.
func (s *Sidecar) findOut(ctx context.Context, begun uint64, applied <-chan Result) (Result, error) {
	if s.Barrier(ctx) != nil {
		return Result{}, errOutcomeUnknown
	}
	select {
	case result := <-applied:
		return result, nil
	default:
		if s.store.Restored() > begun {
			return Result{}, errOutcomeUnknown
		}
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

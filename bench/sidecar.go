package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"raft-sidecar/bench/raftv1"
)

// Connections that concurrent calls share. One is no slower here, but one lost packet would hold up all.
const connections = 4

// Sidecar is what this repository builds.
type Sidecar struct {
	members []*Member
	leader  *Member
	conns   []*grpc.ClientConn
	clients []raftv1.LogServiceClient
	next    atomic.Uint64
}

func startSidecar(ctx context.Context, root, dir string, count int) (System, error) {
	members, peers, https, err := newMembers(dir, count)
	if err != nil {
		return nil, err
	}
	var cluster []string
	for i, member := range members {
		cluster = append(cluster, member.Name+"="+loopback(peers[i]))
	}
	for i, member := range members {
		member.command = []string{
			filepath.Join(root, "node_modules/.bin/node"), filepath.Join(root, "dist/main.js"), "serve",
			"--id", member.Name, "--cluster-id", "bench", "--data-dir", member.DataDir,
			"--initial-cluster", strings.Join(cluster, ","), "--client-address", member.Address,
			"--peer-address", loopback(peers[i]), "--http-address", loopback(https[i]), "--insecure",
		}
		if err := member.start(); err != nil {
			return nil, err
		}
	}
	s := &Sidecar{members: members}
	if err := s.Reconnect(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// connect finds the leader and connects to it.
// Reconnect is also how the clients are made.
func (s *Sidecar) Reconnect(ctx context.Context) error {
	err := until(ctx, "a leader of the sidecars", s.members, func(ctx context.Context) bool {
		s.leader = s.findLeader(ctx)
		return s.leader != nil
	})
	if err != nil {
		return err
	}
	s.disconnect()
	for range connections {
		conn, err := dialSidecar(s.leader.Address)
		if err != nil {
			return err
		}
		s.conns = append(s.conns, conn)
		s.clients = append(s.clients, raftv1.NewLogServiceClient(conn))
	}
	return nil
}

// findLeader takes that of the highest term: one that was stopped may not know yet.
func (s *Sidecar) findLeader(ctx context.Context) *Member {
	var leader *Member
	term := uint64(0)
	for _, member := range s.members {
		state, err := sidecarState(ctx, member.Address)
		// A leader that has committed something in its term takes proposals at once.
		if err == nil && state.Role == raftv1.Role_ROLE_LEADER && state.AppliedIndex > 0 && state.Term > term {
			leader, term = member, state.Term
		}
	}
	return leader
}

func sidecarState(ctx context.Context, address string) (*raftv1.GetStateResponse, error) {
	conn, err := dialSidecar(address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return raftv1.NewLogServiceClient(conn).GetState(ctx, &raftv1.GetStateRequest{})
}

func (s *Sidecar) HasCaughtUp(ctx context.Context, member *Member) bool {
	leader, err := sidecarState(ctx, s.leader.Address)
	if err != nil {
		return false
	}
	state, err := sidecarState(ctx, member.Address)
	return err == nil && state.LeaderId != "" && state.AppliedIndex >= leader.CommitIndex
}

// term is the one in which the cluster's clients know the leader.
func (s *Sidecar) term(ctx context.Context) (uint64, error) {
	state, err := sidecarState(ctx, s.leader.Address)
	return state.GetTerm(), err
}

func dialSidecar(address string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithNoProxy(), grpc.WithDisableRetry())
}

func (s *Sidecar) Name() string { return "raft-sidecar" }

func (s *Sidecar) Members() []*Member { return s.members }

func (s *Sidecar) Leader() *Member { return s.leader }

func (s *Sidecar) client() raftv1.LogServiceClient {
	return s.clients[s.next.Add(1)%uint64(len(s.clients))]
}

func (s *Sidecar) Put(ctx context.Context, value []byte) error {
	_, err := s.client().Propose(ctx, &raftv1.ProposeRequest{Command: value})
	return err
}

// sidecarWriter is a client of one member.
type sidecarWriter struct{ conn *grpc.ClientConn }

func (s *Sidecar) Dial(member *Member) (Writer, error) {
	conn, err := dialSidecar(member.Address)
	return sidecarWriter{conn}, err
}

func (w sidecarWriter) Put(ctx context.Context, value []byte) error {
	_, err := raftv1.NewLogServiceClient(w.conn).Propose(ctx, &raftv1.ProposeRequest{Command: value})
	return err
}

func (w sidecarWriter) Close() { _ = w.conn.Close() }

func (s *Sidecar) Subscribe(ctx context.Context, at *Member, fromStart bool, ready chan<- struct{}, each Each) error {
	request := &raftv1.ApplyStreamRequest{Start: &raftv1.ApplyStreamRequest_Tail{Tail: true}}
	if fromStart {
		request.Start = &raftv1.ApplyStreamRequest_AfterIndex{AfterIndex: 0}
	}
	conn, err := dialSidecar(at.Address)
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := raftv1.NewLogServiceClient(conn).ApplyStream(ctx, request)
	if err != nil {
		return err
	}
	for {
		response, err := stream.Recv()
		if err != nil {
			return err
		}
		if response.GetHeader() != nil {
			close(ready)
		}
		if entries := response.GetBatch().GetEntries(); len(entries) > 0 {
			each(len(entries), func(i int) int64 { return stampOf(entries[i].Command) })
		}
	}
}

func (s *Sidecar) Pipeline(
	ctx context.Context, inFlight, batch int, value func() []byte, acknowledged func(time.Time),
) error {
	stream, err := s.client().ProposeStream(ctx)
	if err != nil {
		return err
	}
	// One token for each value that may still be sent; where a value's moment of sending stands, by its request id.
	tokens := make(chan struct{}, inFlight)
	var sent sync.Map
	receive := make(chan error, 1)
	go func() { receive <- receiveResults(stream, &sent, tokens, acknowledged) }()
	for id := uint64(0); ; {
		message := &raftv1.ProposeStreamRequest{}
		for len(message.Items) < batch {
			select {
			case tokens <- struct{}{}:
			case err := <-receive:
				return err
			}
			command := value()
			if command == nil {
				return nil
			}
			sent.Store(id, time.Now())
			message.Items = append(message.Items, &raftv1.ProposeItem{RequestId: id, Command: command})
			id++
		}
		if err := stream.Send(message); errors.Is(err, io.EOF) {
			return <-receive
		} else if err != nil {
			return err
		}
	}
}

func receiveResults(
	stream raftv1.LogService_ProposeStreamClient, sent *sync.Map, tokens <-chan struct{}, acknowledged func(time.Time),
) error {
	for {
		response, err := stream.Recv()
		if err != nil {
			return err
		}
		for _, result := range response.Results {
			if failure := result.GetError(); failure != nil {
				return fmt.Errorf("%s: %s", failure.Reason, failure.Message)
			}
			at, _ := sent.LoadAndDelete(result.RequestId)
			acknowledged(at.(time.Time))
			<-tokens
		}
	}
}

func (s *Sidecar) disconnect() {
	for _, conn := range s.conns {
		_ = conn.Close()
	}
	s.conns, s.clients = nil, nil
}

func (s *Sidecar) Close() {
	s.disconnect()
	for _, member := range s.members {
		if member.exited != nil {
			member.stop()
		}
	}
}

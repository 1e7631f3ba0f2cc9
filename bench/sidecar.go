package main

import (
	"context"
	"encoding/binary"
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

func startSidecar(ctx context.Context, root, dir string) (System, error) {
	members, peers, https, err := newMembers(dir)
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
	if err := s.connect(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// connect finds the leader and connects to it.
func (s *Sidecar) connect(ctx context.Context) error {
	err := until(ctx, "a leader of the sidecars", s.members, func(ctx context.Context) bool {
		s.leader = s.findLeader(ctx)
		return s.leader != nil
	})
	if err != nil {
		return err
	}
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

func (s *Sidecar) findLeader(ctx context.Context) *Member {
	for _, member := range s.members {
		if isSidecarLeader(ctx, member.Address) {
			return member
		}
	}
	return nil
}

func isSidecarLeader(ctx context.Context, address string) bool {
	conn, err := dialSidecar(address)
	if err != nil {
		return false
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	state, err := raftv1.NewLogServiceClient(conn).GetState(ctx, &raftv1.GetStateRequest{})
	// A leader that has committed something in its term takes proposals at once.
	return err == nil && state.Role == raftv1.Role_ROLE_LEADER && state.AppliedIndex > 0
}

func dialSidecar(address string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithNoProxy(), grpc.WithDisableRetry())
}

func (s *Sidecar) Name() string { return "raft-sidecar" }

func (s *Sidecar) Members() []*Member { return s.members }

func (s *Sidecar) client() raftv1.LogServiceClient {
	return s.clients[s.next.Add(1)%uint64(len(s.clients))]
}

func (s *Sidecar) Put(ctx context.Context, value []byte) error {
	_, err := s.client().Propose(ctx, &raftv1.ProposeRequest{Command: value})
	return err
}

func (s *Sidecar) Subscribe(ctx context.Context, fromStart bool, ready chan<- struct{}, each func(int, int64)) error {
	request := &raftv1.ApplyStreamRequest{Start: &raftv1.ApplyStreamRequest_Tail{Tail: true}}
	if fromStart {
		request.Start = &raftv1.ApplyStreamRequest_AfterIndex{AfterIndex: 0}
	}
	conn, err := dialSidecar(s.leader.Address)
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
			each(len(entries), int64(binary.BigEndian.Uint64(entries[len(entries)-1].Command)))
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
			sent.Store(id, time.Now())
			message.Items = append(message.Items, &raftv1.ProposeItem{RequestId: id, Command: value()})
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

func (s *Sidecar) Close() {
	for _, conn := range s.conns {
		_ = conn.Close()
	}
	for _, member := range s.members {
		if member.exited != nil {
			member.stop()
		}
	}
}

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Keys that are written over and over, so that the size of the database doesn't decide.
const keys = 10_000

// Etcd writes keys, and watches them.
type Etcd struct {
	members []*Member
	leader  *Member
	clients []*clientv3.Client
	next    atomic.Uint64
}

func startEtcd(ctx context.Context, program, dir string, count int) (System, error) {
	members, peers, _, err := newMembers(dir, count)
	if err != nil {
		return nil, err
	}
	var cluster []string
	for i, member := range members {
		cluster = append(cluster, fmt.Sprintf("%s=http://%s", member.Name, loopback(peers[i])))
	}
	for i, member := range members {
		peer, client := "http://"+loopback(peers[i]), "http://"+member.Address
		member.command = []string{
			program, "--name", member.Name, "--data-dir", filepath.Join(member.DataDir, "etcd"),
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--listen-client-urls", client, "--advertise-client-urls", client,
			"--initial-cluster", strings.Join(cluster, ","), "--initial-cluster-state", "new",
			"--quota-backend-bytes", "8589934592", "--log-level", "error",
		}
		if err := member.start(); err != nil {
			return nil, err
		}
	}
	e := &Etcd{members: members}
	if err := e.Reconnect(ctx); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// Reconnect is also how the clients are made.
func (e *Etcd) Reconnect(ctx context.Context) error {
	err := until(ctx, "a leader of etcd", e.members, func(ctx context.Context) bool {
		e.leader = e.findLeader(ctx)
		return e.leader != nil
	})
	if err != nil {
		return err
	}
	e.disconnect()
	for range connections {
		client, err := dialEtcd(e.leader.Address)
		if err != nil {
			return err
		}
		e.clients = append(e.clients, client)
	}
	return nil
}

// findLeader takes that of the highest term: one that was stopped may not know yet.
func (e *Etcd) findLeader(ctx context.Context) *Member {
	var leader *Member
	term := uint64(0)
	for _, member := range e.members {
		status, err := etcdStatus(ctx, member.Address)
		if err == nil && status.Leader != 0 && status.Leader == status.Header.MemberId && status.RaftTerm > term {
			leader, term = member, status.RaftTerm
		}
	}
	return leader
}

func etcdStatus(ctx context.Context, address string) (*clientv3.StatusResponse, error) {
	client, err := dialEtcd(address)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return client.Status(ctx, address)
}

func (e *Etcd) HasCaughtUp(ctx context.Context, member *Member) bool {
	leader, err := etcdStatus(ctx, e.leader.Address)
	if err != nil {
		return false
	}
	status, err := etcdStatus(ctx, member.Address)
	return err == nil && status.Leader != 0 && status.RaftAppliedIndex >= leader.RaftAppliedIndex
}

func dialEtcd(address string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: []string{address}, DialTimeout: startTimeout, Logger: zap.NewNop()})
}

func (e *Etcd) Name() string { return "etcd" }

func (e *Etcd) Members() []*Member { return e.members }

func (e *Etcd) Leader() *Member { return e.leader }

func (e *Etcd) Put(ctx context.Context, value []byte) error {
	number := e.next.Add(1)
	key := fmt.Sprintf("k%06d", number%keys)
	_, err := e.clients[number%uint64(len(e.clients))].Put(ctx, key, string(value))
	return err
}

// etcdWriter is a client of one member.
type etcdWriter struct{ client *clientv3.Client }

func (e *Etcd) Dial(member *Member) (Writer, error) {
	client, err := dialEtcd(member.Address)
	return etcdWriter{client}, err
}

func (w etcdWriter) Put(ctx context.Context, value []byte) error {
	_, err := w.client.Put(ctx, "k", string(value))
	return err
}

func (w etcdWriter) Close() { _ = w.client.Close() }

func (e *Etcd) Subscribe(ctx context.Context, at *Member, fromStart bool, ready chan<- struct{}, each Each) error {
	client, err := dialEtcd(at.Address)
	if err != nil {
		return err
	}
	defer client.Close()
	options := []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithCreatedNotify()}
	if fromStart {
		options = append(options, clientv3.WithRev(1))
	}
	for response := range client.Watch(ctx, "k", options...) {
		if err := response.Err(); err != nil {
			return err
		}
		if response.Created {
			close(ready)
		}
		if events := response.Events; len(events) > 0 {
			each(len(events), func(i int) int64 { return stampOf(events[i].Kv.Value) })
		}
	}
	return ctx.Err()
}

func (e *Etcd) disconnect() {
	for _, client := range e.clients {
		_ = client.Close()
	}
	e.clients = nil
}

func (e *Etcd) Close() {
	e.disconnect()
	for _, member := range e.members {
		if member.exited != nil {
			member.stop()
		}
	}
}

package main

import (
	"context"
	"encoding/binary"
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

func startEtcd(ctx context.Context, program, dir string) (System, error) {
	members, peers, _, err := newMembers(dir)
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
	if err := e.connect(ctx); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

func (e *Etcd) connect(ctx context.Context) error {
	err := until(ctx, "a leader of etcd", e.members, func(ctx context.Context) bool {
		for _, member := range e.members {
			if isEtcdLeader(ctx, member.Address) {
				e.leader = member
			}
		}
		return e.leader != nil
	})
	if err != nil {
		return err
	}
	for range connections {
		client, err := dialEtcd(e.leader.Address)
		if err != nil {
			return err
		}
		e.clients = append(e.clients, client)
	}
	return nil
}

func isEtcdLeader(ctx context.Context, address string) bool {
	client, err := dialEtcd(address)
	if err != nil {
		return false
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	status, err := client.Status(ctx, address)
	return err == nil && status.Leader != 0 && status.Leader == status.Header.MemberId
}

func dialEtcd(address string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: []string{address}, DialTimeout: startTimeout, Logger: zap.NewNop()})
}

func (e *Etcd) Name() string { return "etcd" }

func (e *Etcd) Members() []*Member { return e.members }

func (e *Etcd) Put(ctx context.Context, value []byte) error {
	number := e.next.Add(1)
	key := fmt.Sprintf("k%06d", number%keys)
	_, err := e.clients[number%uint64(len(e.clients))].Put(ctx, key, string(value))
	return err
}

func (e *Etcd) Subscribe(ctx context.Context, fromStart bool, ready chan<- struct{}, each func(int, int64)) error {
	client, err := dialEtcd(e.leader.Address)
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
			each(len(events), int64(binary.BigEndian.Uint64(events[len(events)-1].Kv.Value)))
		}
	}
	return ctx.Err()
}

func (e *Etcd) Close() {
	for _, client := range e.clients {
		_ = client.Close()
	}
	for _, member := range e.members {
		if member.exited != nil {
			member.stop()
		}
	}
}

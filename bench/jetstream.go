package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

const (
	streamName = "BENCH"
	subject    = "bench.values"
)

// JetStream publishes to a stream of three replicas, and consumes it.
type JetStream struct {
	members []*Member
	leader  *Member
	conns   []*nats.Conn
	streams []jetstream.JetStream
	next    atomic.Uint64
}

func startJetStream(ctx context.Context, program, dir string, count int) (System, error) {
	members, peers, _, err := newMembers(dir, count)
	if err != nil {
		return nil, err
	}
	var routes []string
	for i := range members {
		routes = append(routes, "nats-route://"+loopback(peers[i]))
	}
	for i, member := range members {
		file := filepath.Join(member.DataDir, "nats.conf")
		configuration := fmt.Sprintf(`
server_name: %s
listen: %s
jetstream { store_dir: %q, sync_interval: always }
cluster { name: bench, listen: %s, routes: [%s] }
`, member.Name, member.Address, filepath.Join(member.DataDir, "jetstream"), loopback(peers[i]), strings.Join(routes, ", "))
		if err := os.WriteFile(file, []byte(configuration), 0o644); err != nil {
			return nil, err
		}
		member.command = []string{program, "-c", file}
		if err := member.start(); err != nil {
			return nil, err
		}
	}
	j := &JetStream{members: members}
	if err := j.connect(ctx); err != nil {
		j.Close()
		return nil, err
	}
	return j, nil
}

func (j *JetStream) connect(ctx context.Context) error {
	err := until(ctx, "a stream of JetStream with its leader", j.members, func(ctx context.Context) bool {
		j.leader = j.findLeader(ctx)
		return j.leader != nil
	})
	if err != nil {
		return err
	}
	for range connections {
		conn, err := dialNats(j.leader.Address)
		if err != nil {
			return err
		}
		js, err := jetstream.New(conn)
		if err != nil {
			return err
		}
		j.conns, j.streams = append(j.conns, conn), append(j.streams, js)
	}
	return nil
}

// findLeader makes the stream where there is none yet.
func (j *JetStream) findLeader(ctx context.Context) *Member {
	conn, err := dialNats(j.members[0].Address)
	if err != nil {
		return nil
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	stream, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: streamName, Subjects: []string{"bench.>"}, Storage: jetstream.FileStorage, Replicas: len(j.members),
		AllowBatchPublish: true,
	})
	if err != nil {
		return nil
	}
	cluster := stream.CachedInfo().Cluster
	for _, member := range j.members {
		if cluster != nil && cluster.Leader == member.Name {
			return member
		}
	}
	return nil
}

func dialNats(address string) (*nats.Conn, error) {
	return nats.Connect("nats://"+address, nats.Timeout(2*time.Second))
}

func (j *JetStream) Name() string { return "JetStream" }

func (j *JetStream) Members() []*Member { return j.members }

func (j *JetStream) Leader() *Member { return j.leader }

func (j *JetStream) Put(ctx context.Context, value []byte) error {
	_, err := j.streams[j.next.Add(1)%uint64(len(j.streams))].Publish(ctx, subject, value)
	return err
}

func (j *JetStream) Subscribe(ctx context.Context, at *Member, fromStart bool, ready chan<- struct{}, each Each) error {
	conn, err := dialNats(at.Address)
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	policy := jetstream.DeliverNewPolicy
	if fromStart {
		policy = jetstream.DeliverAllPolicy
	}
	consumer, err := js.OrderedConsumer(ctx, streamName, jetstream.OrderedConsumerConfig{DeliverPolicy: policy})
	if err != nil {
		return err
	}
	consuming, err := consumer.Consume(func(message jetstream.Msg) {
		each(1, func(int) int64 { return stampOf(message.Data()) })
	})
	if err != nil {
		return err
	}
	defer consuming.Stop()
	close(ready)
	<-ctx.Done()
	return ctx.Err()
}

// Pipeline publishes a fast batch, the fastest way that JetStream has.
func (j *JetStream) Pipeline(
	ctx context.Context, inFlight, _ int, value func() []byte, acknowledged func(time.Time),
) error {
	const acks = 4
	publisher, err := jetstreamext.NewFastPublisher(j.streams[0], jetstreamext.FastPublishFlowControl{
		Flow: uint16(inFlight / acks), MaxOutstandingAcks: acks, AckTimeout: startTimeout,
	})
	if err != nil {
		return err
	}
	var sent []time.Time
	done := 0
	for ctx.Err() == nil {
		data := value()
		if data == nil {
			break
		}
		sent = append(sent, time.Now())
		ack, err := publisher.Add(subject, data)
		if err != nil {
			return err
		}
		for ; done < int(ack.AckSequence); done++ {
			acknowledged(sent[done])
		}
	}
	closing, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if _, err = publisher.Close(closing); err != nil {
		return err
	}
	for ; done < len(sent); done++ {
		acknowledged(sent[done])
	}
	return nil
}

func (j *JetStream) Close() {
	for _, conn := range j.conns {
		conn.Close()
	}
	for _, member := range j.members {
		if member.exited != nil {
			member.stop()
		}
	}
}

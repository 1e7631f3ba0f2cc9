package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	// A client starts its next try after this, on the next member, and waits for none: so it isn't its own timeout that
	// is measured.
	retryEvery      = 20 * time.Millisecond
	failoverTimeout = 30 * time.Second
	// Between two failures, for whatever members do once they have each other again.
	settling = 500 * time.Millisecond
)

// kill has the leader's process killed again and again, and started again.
func kill(ctx context.Context, system System, scale Scale) (Figures, error) {
	return failovers(ctx, system, scale.Kills, system.Members, (*Member).kill, (*Member).start)
}

// hang stops the leader's process, whose connections stay up, and lets it go on. Clients ask the others only.
func hang(ctx context.Context, system System, scale Scale) (Figures, error) {
	stop := func(leader *Member) { leader.signal(syscall.SIGSTOP) }
	goOn := func(leader *Member) error {
		leader.signal(syscall.SIGCONT)
		return nil
	}
	return failovers(ctx, system, scale.Hangs, func() []*Member { return followers(system) }, stop, goOn)
}

func failovers(
	ctx context.Context, system System, count int, reached func() []*Member, fail func(*Member), mend func(*Member) error,
) (Figures, error) {
	cluster, ok := system.(Elects)
	if !ok {
		return nil, errors.New(system.Name() + " has no failover here")
	}
	// What came before may have changed the leader.
	if err := cluster.Reconnect(ctx); err != nil {
		return nil, err
	}
	var seconds []float64
	for range count {
		failed := cluster.Leader()
		took, err := failOver(ctx, cluster, reached(), fail)
		if err != nil {
			return nil, errors.Join(err, mend(failed))
		}
		seconds = append(seconds, took.Seconds())
		if err := mend(failed); err != nil {
			return nil, err
		}
		if err := cluster.Reconnect(ctx); err != nil {
			return nil, err
		}
		if cluster.Leader() == failed {
			return nil, fmt.Errorf("%s leads again: another should have", failed.Name)
		}
		if err := caughtUp(ctx, cluster, failed); err != nil {
			return nil, err
		}
		time.Sleep(settling)
	}
	return Figures{"best": slices.Min(seconds), "median": median(seconds), "worst": slices.Max(seconds)}, nil
}

func caughtUp(ctx context.Context, cluster Elects, member *Member) error {
	return until(ctx, member.Name+" has caught up", cluster.Members(), func(ctx context.Context) bool {
		return cluster.HasCaughtUp(ctx, member)
	})
}

// failOver tells how long after the leader's failure began a write is acknowledged. The clients are connected before.
func failOver(ctx context.Context, cluster Elects, reached []*Member, fail func(*Member)) (time.Duration, error) {
	var writers []Writer
	for _, member := range reached {
		writer, err := cluster.Dial(member)
		if err != nil {
			return 0, err
		}
		defer writer.Close()
		if err := writer.Put(ctx, stampedAt(time.Now(), valueBytes)); err != nil {
			return 0, err
		}
		writers = append(writers, writer)
	}
	begin := time.Now()
	fail(cluster.Leader())
	err := writeAnywhere(ctx, writers)
	return time.Since(begin), err
}

func writeAnywhere(ctx context.Context, writers []Writer) error {
	var group sync.WaitGroup
	defer group.Wait()
	ctx, cancel := context.WithTimeout(ctx, failoverTimeout)
	defer cancel()
	acknowledged := make(chan struct{})
	var once sync.Once
	for try := 0; ; try++ {
		writer := writers[try%len(writers)]
		group.Go(func() {
			if writer.Put(ctx, stampedAt(time.Now(), valueBytes)) == nil {
				once.Do(func() { close(acknowledged) })
			}
		})
		select {
		case <-acknowledged:
			return nil
		case <-ctx.Done():
			return errors.New("no member took a write in time")
		case <-time.After(retryEvery):
		}
	}
}

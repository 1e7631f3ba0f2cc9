package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	receiveRate = 5_000
	// How long what is on its way may take.
	arrivalTimeout = 10 * time.Second
)

// Paced writes so many values a second until a moment, due one after the other whatever becomes of those before. It returns
// how many were acknowledged, how many others may have been written all the same, and why the first of these failed.
type Paced func(ctx context.Context, system System, rate, size int, to time.Time) (acknowledged, failed int64, err error)

// receive measures from the moment a value was due at the leader until a subscriber of another member has it.
func receive(ctx context.Context, system System, scale Scale, write Paced) (Figures, error) {
	recorder := newRecorder(scale.WarmUp, scale.Length)
	begin := time.Now()
	var received atomic.Int64
	reading := subscribe(ctx, system, followers(system)[0], 1, false, func(count int, sentAt func(int) int64) {
		for i := range count {
			due := time.Unix(0, sentAt(i))
			// What was written before may reach a follower only now.
			if due.Before(begin) {
				continue
			}
			recorder.recordIntended(due)
			received.Add(1)
		}
	})
	acknowledged, failed, err := write(ctx, system, receiveRate, valueBytes, recorder.to)
	// Another system may not keep up, and that is then told; ours has to.
	if err != nil && onlyOurs(system.Name()) {
		return nil, err
	}
	for end := time.Now().Add(arrivalTimeout); received.Load() < acknowledged && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if err := reading.stop(); err != nil {
		return nil, err
	}
	// What failed may have been written all the same.
	if count := received.Load(); count < acknowledged || count > acknowledged+failed {
		return nil, fmt.Errorf("%d values were acknowledged and %d received", acknowledged, count)
	}
	figures := recorder.figures()
	figures["failed"] = float64(failed)
	return figures, nil
}

func followers(system System) []*Member {
	var others []*Member
	for _, member := range system.Members() {
		if member != system.Leader() {
			others = append(others, member)
		}
	}
	return others
}

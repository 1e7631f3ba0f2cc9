package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"google.golang.org/grpc/codes"

	"raft-sidecar/bench/raftv1"
)

const (
	// A node stops reading a stream at 4,096 items in flight and refuses what is beyond 8,192 of all streams: more than
	// two are needed to have it refuse.
	overloadStreams = 16
	// What is due at one moment, in one message, as in the work that measures what a node can do.
	burst = 256
	// After this an overloaded node's memory has found its size.
	memorySettles = 10 * time.Second
	// A single write each, once the load is over.
	probeEvery     = 10 * time.Millisecond
	recoverTimeout = 15 * time.Second
)

// overload has one stream of batches show what the leader can do, then offers it 80 % of that, then twice as much, and at
// last single writes. Load doesn't wait for answers: a burst is late from the moment when it was due, whoever held it up.
func overload(ctx context.Context, system System, scale Scale) (Figures, error) {
	sidecar, ok := system.(*Sidecar)
	if !ok {
		return nil, errors.New(system.Name() + " has no ProposeStream")
	}
	termBefore, err := sidecar.term(ctx)
	if err != nil {
		return nil, err
	}
	// As much in flight as a node reads of one stream: with less a node can do more than that says.
	capacity, err := pipeline(ctx, system, scale, 4_096, burst)
	if err != nil {
		return nil, err
	}
	steady, err := offer(ctx, sidecar, capacity["rate"]*0.8, scale.WarmUp, scale.Steady)
	if err != nil {
		return nil, err
	}
	figures := Figures{
		"capacity": capacity["rate"], "refusedAt80": float64(steady.refused.Load()) / (scale.WarmUp + scale.Steady).Seconds(),
	}
	steady.addTo(figures, "At80")

	leader := sidecar.Leader()
	over := make(chan error, 1)
	begin := time.Now()
	var load *Offered
	go func() {
		var err error
		load, err = offer(ctx, sidecar, capacity["rate"]*2, scale.WarmUp, scale.Overload-scale.WarmUp)
		over <- err
	}()
	time.Sleep(memorySettles)
	figures["memoryEarly"] = leader.residentMiB()
	time.Sleep(time.Until(begin.Add(scale.Overload)))
	figures["memoryLate"] = leader.residentMiB()
	figures["recovery"] = recovery(ctx, sidecar, time.Duration(figures["p99At80"]*float64(time.Millisecond)))
	if err := <-over; err != nil {
		return nil, err
	}
	load.addTo(figures, "Over")
	figures["accepted"] = float64(load.accepted.Load()) / scale.Overload.Seconds()
	figures["refused"] = float64(load.refused.Load()) / scale.Overload.Seconds()
	figures["unsent"] = float64(load.unsent.Load()) / scale.Overload.Seconds()
	figures["otherErrors"] = float64(steady.otherErrors() + load.otherErrors())
	termAfter, err := sidecar.term(ctx)
	figures["elections"] = float64(termAfter - termBefore)
	return figures, err
}

// Offered is what became of an open loop's items.
type Offered struct {
	accepted atomic.Int64
	// With the error for too much and a delay, as it should be.
	refused atomic.Int64
	// Due and never sent: the node had stopped reading.
	unsent atomic.Int64
	mu     sync.Mutex
	// All other errors, by their reasons.
	failed map[string]int
	// Of the accepted: from when they were due, and from when they were sent.
	sinceDue, sinceSent *hdrhistogram.Histogram
}

func (o *Offered) addTo(figures Figures, suffix string) {
	figures["p99"+suffix] = float64(o.sinceDue.ValueAtQuantile(99)) / 1000
	figures["p99Sent"+suffix] = float64(o.sinceSent.ValueAtQuantile(99)) / 1000
	figures["p50"+suffix] = float64(o.sinceDue.ValueAtQuantile(50)) / 1000
}

// offer sends so many items a second to the leader, in bursts over several streams in turn, each of its own connection.
// It returns when all are answered.
func offer(ctx context.Context, sidecar *Sidecar, rate float64, warmUp, length time.Duration) (*Offered, error) {
	newHistogram := func() *hdrhistogram.Histogram { return hdrhistogram.New(1, int64(10*time.Minute/time.Microsecond), 3) }
	offered := &Offered{failed: map[string]int{}, sinceDue: newHistogram(), sinceSent: newHistogram()}
	plan := burstPlan{
		begin: time.Now(), interval: time.Duration(burst / rate * float64(time.Second)), warmUp: warmUp, length: warmUp + length,
	}
	// Whatever fails, nobody goes on waiting for the other side of a stream.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err := inParallel(overloadStreams, func(i int) error {
		conn, err := dialSidecar(sidecar.Leader().Address)
		if err != nil {
			return err
		}
		defer conn.Close()
		stream, err := raftv1.NewLogServiceClient(conn).ProposeStream(ctx)
		if err != nil {
			return err
		}
		sent := make([]atomic.Int64, plan.bursts())
		received := make(chan error, 1)
		go func() {
			err := offered.receive(stream, plan, sent)
			if err != nil {
				cancel()
			}
			received <- err
		}()
		if err := offered.send(stream, plan, i, sent); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		return <-received
	})
	if len(offered.failed) > 0 {
		log.Printf("  items failed, by reason: %v", offered.failed)
	}
	return offered, err
}

// burstPlan says when bursts are due, those of all streams together. The items of a burst follow each other by their ids.
type burstPlan struct {
	begin          time.Time
	interval       time.Duration
	warmUp, length time.Duration
}

func (p burstPlan) bursts() int { return int(p.length/p.interval) + 1 }

func (p burstPlan) due(number int) time.Time { return p.begin.Add(time.Duration(number) * p.interval) }

// send sends one stream's share, and ends it.
func (o *Offered) send(stream raftv1.LogService_ProposeStreamClient, plan burstPlan, share int, sent []atomic.Int64) error {
	command := make([]byte, valueBytes)
	for number := share; number < plan.bursts(); number += overloadStreams {
		time.Sleep(time.Until(plan.due(number)))
		if time.Since(plan.begin) > plan.length {
			o.unsent.Add(burst)
			continue
		}
		message := &raftv1.ProposeStreamRequest{}
		for i := range burst {
			message.Items = append(message.Items, &raftv1.ProposeItem{RequestId: uint64(number*burst + i), Command: command})
		}
		sent[number].Store(time.Now().UnixNano())
		if err := stream.Send(message); err != nil {
			return err
		}
	}
	return stream.CloseSend()
}

// receive counts until the stream has ended, and fails when an item has no answer, or two.
func (o *Offered) receive(stream raftv1.LogService_ProposeStreamClient, plan burstPlan, sent []atomic.Int64) error {
	answered := make([]int, len(sent))
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return allAnswered(sent, answered)
		}
		if err != nil {
			return err
		}
		now := time.Now()
		for _, result := range response.Results {
			number := int(result.RequestId / burst)
			answered[number]++
			if failure := result.GetError(); failure != nil {
				o.countFailure(failure)
				continue
			}
			o.accepted.Add(1)
			if due := plan.due(number); due.Sub(plan.begin) >= plan.warmUp {
				o.record(now.Sub(due), now.Sub(time.Unix(0, sent[number].Load())))
			}
		}
	}
}

func (o *Offered) countFailure(failure *raftv1.ProposeError) {
	if failure.Reason == "OVERLOADED" && codes.Code(failure.Code) == codes.ResourceExhausted && failure.RetryAfter != nil {
		o.refused.Add(1)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failed[failure.Reason]++
}

func (o *Offered) otherErrors() int {
	sum := 0
	for _, count := range o.failed {
		sum += count
	}
	return sum
}

func (o *Offered) record(sinceDue, sinceSent time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_ = o.sinceDue.RecordValue(max(1, sinceDue.Microseconds()))
	_ = o.sinceSent.RecordValue(max(1, sinceSent.Microseconds()))
}

func allAnswered(sent []atomic.Int64, answered []int) error {
	for number := range sent {
		want := 0
		if sent[number].Load() != 0 {
			want = burst
		}
		if answered[number] != want {
			return fmt.Errorf("%d answers to a burst of %d items", answered[number], want)
		}
	}
	return nil
}

// recovery is how many seconds after now a single write takes no longer than usual again, or as long as was waited for it.
func recovery(ctx context.Context, sidecar *Sidecar, usual time.Duration) float64 {
	begin := time.Now()
	for time.Since(begin) < recoverTimeout {
		sent := time.Now()
		_, err := sidecar.client().Propose(ctx, &raftv1.ProposeRequest{Command: make([]byte, valueBytes)})
		if err == nil && time.Since(sent) <= usual {
			break
		}
		time.Sleep(probeEvery)
	}
	return time.Since(begin).Seconds()
}

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Figures are what a work measured, by name: rates per second, times in milliseconds.
type Figures map[string]float64

// Recorder counts what is acknowledged once the warm-up is over, and how long each took.
type Recorder struct {
	mu        sync.Mutex
	histogram *hdrhistogram.Histogram
	from      time.Time
	to        time.Time
	count     int64
}

func newRecorder(warmUp, length time.Duration) *Recorder {
	from := time.Now().Add(warmUp)
	return &Recorder{histogram: hdrhistogram.New(1, int64(time.Minute/time.Microsecond), 3), from: from, to: from.Add(length)}
}

func (r *Recorder) record(sent time.Time) {
	now := time.Now()
	if now.Before(r.from) || now.After(r.to) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	_ = r.histogram.RecordValue(max(1, now.Sub(sent).Microseconds()))
}

// recordIntended is for an open loop: what was due while the time ran counts, whenever it came.
func (r *Recorder) recordIntended(intended time.Time) {
	if intended.Before(r.from) || intended.After(r.to) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	_ = r.histogram.RecordValue(max(1, time.Since(intended).Microseconds()))
}

func (r *Recorder) figures() Figures {
	milliseconds := func(quantile float64) float64 { return float64(r.histogram.ValueAtQuantile(quantile)) / 1000 }
	return Figures{
		"rate": float64(r.count) / r.to.Sub(r.from).Seconds(),
		"p50":  milliseconds(50), "p99": milliseconds(99), "max": float64(r.histogram.Max()) / 1000,
	}
}

// stamped is a value of so many bytes; each begins with when it was sent.
func stamped(size int) func() []byte {
	return func() []byte { return stampedAt(time.Now(), size) }
}

func stampedAt(moment time.Time, size int) []byte {
	value := make([]byte, size)
	binary.BigEndian.PutUint64(value, uint64(moment.UnixNano()))
	return value
}

func stampOf(value []byte) int64 {
	return int64(binary.BigEndian.Uint64(value))
}

// closedLoop has so many writers put one value after the other.
func closedLoop(ctx context.Context, system System, writers, size int, recorder *Recorder) error {
	return inParallel(writers, func(int) error {
		value := stamped(size)
		for sent := time.Now(); sent.Before(recorder.to); sent = time.Now() {
			if err := system.Put(ctx, value()); err != nil {
				return err
			}
			recorder.record(sent)
		}
		return nil
	})
}

// openLoop is Paced with a single write for each value. Each is stamped with the moment when it was due: what is late,
// also in being sent, counts as late.
func openLoop(ctx context.Context, system System, rate, size int, to time.Time) (acknowledged, failed int64, err error) {
	var acks, failures atomic.Int64
	var group sync.WaitGroup
	first := make(chan error, 1)
	for due := range moments(rate, to) {
		group.Go(func() {
			err := system.Put(ctx, stampedAt(due, size))
			if err == nil {
				acks.Add(1)
			} else if failures.Add(1) == 1 {
				first <- err
			}
		})
	}
	group.Wait()
	if failures.Load() > 0 {
		err = <-first
	}
	return acks.Load(), failures.Load(), err
}

// pacedStream is Paced with one stream, a value a message.
func pacedStream(ctx context.Context, system System, rate, size int, to time.Time) (acknowledged, failed int64, err error) {
	pipeliner, ok := system.(Pipeliner)
	if !ok {
		return 0, 0, errors.New(system.Name() + " has no pipeline")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	next, stop := iter.Pull(moments(rate, to))
	defer stop()
	var sent, acks atomic.Int64
	value := func() []byte {
		due, ok := next()
		if !ok {
			// What is on its way gets a moment for its answer.
			time.AfterFunc(arrivalTimeout/10, cancel)
			<-ctx.Done()
			return nil
		}
		sent.Add(1)
		return stampedAt(due, size)
	}
	err = unlessDone(ctx, pipeliner.Pipeline(ctx, rate, 1, value, func(time.Time) { acks.Add(1) }))
	return acks.Load(), sent.Load() - acks.Load(), err
}

// moments are evenly spaced, so many a second until `to`; each comes when it is there, or late.
func moments(rate int, to time.Time) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		begin := time.Now()
		for number := 0; ; number++ {
			due := begin.Add(time.Duration(number) * time.Second / time.Duration(rate))
			if due.After(to) {
				return
			}
			time.Sleep(time.Until(due))
			if !yield(due) {
				return
			}
		}
	}
}

// pipelined keeps so many values on their way on one stream.
func pipelined(ctx context.Context, system System, inFlight, batch, size int, recorder *Recorder) error {
	pipeliner, ok := system.(Pipeliner)
	if !ok {
		return errors.New(system.Name() + " has no pipeline")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	time.AfterFunc(time.Until(recorder.to), cancel)
	return unlessDone(ctx, pipeliner.Pipeline(ctx, inFlight, batch, stamped(size), recorder.record))
}

// Reading counts what subscribers get.
type Reading struct {
	count  atomic.Int64
	lastAt []atomic.Int64
	cancel context.CancelFunc
	done   chan error
}

// subscribe starts subscribers of a member and waits until none of them can miss anything new. `each` is called for what
// any of them gets; nil for nothing.
func subscribe(ctx context.Context, system System, at *Member, subscribers int, fromStart bool, each Each) *Reading {
	ctx, cancel := context.WithCancel(ctx)
	reading := &Reading{lastAt: make([]atomic.Int64, subscribers), cancel: cancel, done: make(chan error, 1)}
	readies := make([]chan struct{}, subscribers)
	for i := range readies {
		readies[i] = make(chan struct{})
	}
	go func() {
		reading.done <- inParallel(subscribers, func(i int) error {
			// One that fails ends all, and nobody waits for it to be ready.
			defer cancel()
			return unlessDone(ctx, system.Subscribe(ctx, at, fromStart, readies[i], func(count int, sentAt func(int) int64) {
				if each != nil {
					each(count, sentAt)
				}
				reading.lastAt[i].Store(sentAt(count - 1))
				reading.count.Add(int64(count))
			}))
		})
	}()
	for _, ready := range readies {
		select {
		case <-ready:
		case <-ctx.Done():
		}
	}
	return reading
}

func (r *Reading) stop() error {
	r.cancel()
	return <-r.done
}

// inParallel returns the first error.
func inParallel(count int, work func(i int) error) error {
	failed := make(chan error, count)
	for i := range count {
		go func() { failed <- work(i) }()
	}
	var first error
	for range count {
		if err := <-failed; err != nil && first == nil {
			first = err
		}
	}
	return first
}

// unlessDone is no error where the end of the time is what caused it.
func unlessDone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

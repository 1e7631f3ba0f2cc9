package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	valueBytes   = 256
	usualMembers = 3
)

// Scale is how long and how much; QUICK=1 has less of both.
type Scale struct {
	Rounds int
	// Of a new cluster, and of each work.
	ClusterWarmUp time.Duration
	WarmUp        time.Duration
	Length        time.Duration
	Idle          time.Duration
	ReplayEntries int
	// How often the leader is killed, or hangs.
	Kills int
	Hangs int
	// The lengths of the log at which a start is measured, in entries.
	ShortLog uint64
	LongLog  uint64
	// What is written past a subscriber that doesn't read.
	StalledEntries int
	// Below what a node can do, and far above.
	Steady   time.Duration
	Overload time.Duration
}

var (
	fullScale = Scale{
		Rounds: 3, ClusterWarmUp: 10 * time.Second, WarmUp: 2 * time.Second, Length: 6 * time.Second, Idle: 10 * time.Second,
		ReplayEntries: 1_000_000, Kills: 20, Hangs: 5, ShortLog: 1_000_000, LongLog: 10_000_000, StalledEntries: 200_000,
		Steady: 15 * time.Second, Overload: time.Minute,
	}
	quickScale = Scale{
		Rounds: 1, ClusterWarmUp: 5 * time.Second, WarmUp: time.Second, Length: 3 * time.Second, Idle: 5 * time.Second,
		ReplayEntries: 200_000, Kills: 5, Hangs: 2, ShortLog: 500_000, LongLog: 700_000, StalledEntries: 100_000,
		Steady: 5 * time.Second, Overload: 15 * time.Second,
	}
)

// Work is one thing that is measured, of each system that can do it.
type Work struct {
	ID    string
	Title string
	// Can tells, by its name, whether a system takes part.
	Can func(system string) bool
	Run func(context.Context, System, Scale) (Figures, error)
	// Members of a cluster of its own; 0 to share the usual one with other works.
	Members int
	// Whether the first round is enough.
	Once bool
	// Whether it may have elections: any other work fails when our cluster has one.
	Elections bool
}

func always(string) bool { return true }

func onlyOurs(system string) bool { return system == ours }

func withPipeline(system string) bool { return system != etcd }

// Those that find another leader within a second or two. JetStream waits for four to nine seconds, which would only make
// the bench longer.
func withFastElections(system string) bool { return system != jetStream }

// The order in which one cluster does them. The replay fills the log, and the kills change the leader; the large values
// come last, since etcd and we keep them all.
var works = []Work{
	{ID: "idle", Title: "nothing to do: the processor of the busiest member, % of a core", Can: always, Run: idle},
	unary(1), unary(8), unary(64), unary(256), unary(1_024),
	{
		ID: "stream-256", Title: "a ProposeStream, one value a message, 256 in flight", Can: onlyOurs,
		Run: func(ctx context.Context, system System, scale Scale) (Figures, error) {
			return pipeline(ctx, system, scale, 256, 1)
		},
	},
	{
		ID: "batch16-1024", Title: "a ProposeStream, 16 values a message, 1,024 in flight", Can: onlyOurs,
		Run: func(ctx context.Context, system System, scale Scale) (Figures, error) {
			return pipeline(ctx, system, scale, 1_024, 16)
		},
	},
	{
		ID: "batch-1024", Title: "a stream of batches, 1,024 in flight; ours of 256 values a message", Can: withPipeline,
		Run: func(ctx context.Context, system System, scale Scale) (Figures, error) {
			return pipeline(ctx, system, scale, 1_024, 256)
		},
	},
	{ID: "live-10", Title: "10 live subscribers while as much is written as can be", Can: always, Run: live},
	{
		ID: "receive", Title: "5,000/s in single writes to the leader, received from another member: from when a value was due",
		Can: always,
		Run: func(ctx context.Context, system System, scale Scale) (Figures, error) {
			return receive(ctx, system, scale, openLoop)
		},
	},
	{
		ID: "receive-stream", Title: "5,000/s on one stream, a value a message, received from another member",
		Can: withPipeline,
		Run: func(ctx context.Context, system System, scale Scale) (Figures, error) {
			return receive(ctx, system, scale, pacedStream)
		},
	},
	{ID: "replay", Title: "everything written, read from the start by 1 and by 10 subscribers", Can: withPipeline, Run: replay},
	{
		ID: "overload",
		Title: "80 % of what a stream of batches reaches, then twice as much as it reaches, then nearly nothing: times from when " +
			"an item was due, Sent from when it was sent; memory in MiB, recovery in s",
		Can: onlyOurs, Run: overload, Elections: true,
	},
	{
		ID: "kill", Title: "the leader is killed: seconds to the next acknowledged write of a client that tries all members",
		Can: withFastElections, Run: kill, Elections: true,
	},
	{
		ID: "hang", Title: "the leader is stopped (SIGSTOP): seconds to the next acknowledged write elsewhere",
		Can: withFastElections, Run: hang, Elections: true,
	},
	{ID: "sizes", Title: "single writes of 1 KB, 16 KB and 1 MB, 64, 32 and 8 in flight: MB/s", Can: always, Run: sizes},
	members(5), members(7),
	{
		ID: "long-log", Title: "a log of 10,000,000 entries: seconds from start to answers and to readiness, memory in MiB, rates",
		Can: onlyOurs, Run: longLog, Members: usualMembers, Once: true,
	},
}

func unary(inFlight int) Work {
	return Work{
		ID: fmt.Sprintf("unary-%d", inFlight), Title: fmt.Sprintf("single writes, %d in flight", inFlight), Can: always,
		Run: func(ctx context.Context, system System, scale Scale) (Figures, error) {
			return measured(system, scale, func(recorder *Recorder) error {
				return closedLoop(ctx, system, inFlight, valueBytes, recorder)
			})
		},
	}
}

// members is a stream of batches in a cluster of another size.
func members(count int) Work {
	return Work{
		ID: fmt.Sprintf("members-%d", count), Title: fmt.Sprintf("batch-1024, but with %d members", count), Can: onlyOurs,
		Run: func(ctx context.Context, system System, scale Scale) (Figures, error) {
			return pipeline(ctx, system, scale, 1_024, 256)
		},
		Members: count,
	}
}

func pipeline(ctx context.Context, system System, scale Scale, inFlight, batch int) (Figures, error) {
	return measured(system, scale, func(recorder *Recorder) error {
		return pipelined(ctx, system, inFlight, batch, valueBytes, recorder)
	})
}

// warmUp lets a new cluster's programs come up to their speed: a service runs for weeks, and its first second isn't the
// question.
func warmUp(ctx context.Context, system System, scale Scale) error {
	return closedLoop(ctx, system, 64, valueBytes, newRecorder(scale.ClusterWarmUp, 0))
}

// measured adds what the members used of the processor for each write, and of ours how often each committed to its disk,
// warm-up included.
func measured(system System, scale Scale, load func(*Recorder) error) (Figures, error) {
	commitsBefore, err := diskCommits(system)
	if err != nil {
		return nil, err
	}
	recorder := newRecorder(scale.WarmUp, scale.Length)
	before, usedBefore := processorSeconds(system), usage(system)
	if err := load(recorder); err != nil {
		return nil, err
	}
	figures := recorder.figures()
	seconds := (scale.WarmUp + scale.Length).Seconds()
	writes := max(1, figures["rate"]*seconds)
	figures["processor"] = (processorSeconds(system) - before) / writes * 1e6
	for part, used := range usage(system) {
		figures[part] = (used - usedBefore[part]) / writes / 1e3
	}
	commits, err := diskCommits(system)
	for i := range commits {
		name := "commits"
		if system.Members()[i] != system.Leader() {
			name = "commitsFollower"
		}
		figures[name] = max(figures[name], (commits[i]-commitsBefore[i])/seconds)
	}
	return figures, err
}

// idle measures each member, and gives the busiest.
func idle(_ context.Context, system System, scale Scale) (Figures, error) {
	// What the warm-up has left to do.
	time.Sleep(scale.WarmUp)
	before := map[*Member]float64{}
	for _, member := range system.Members() {
		before[member] = member.processorSeconds()
	}
	time.Sleep(scale.Idle)
	busiest := 0.0
	for _, member := range system.Members() {
		busiest = max(busiest, (member.processorSeconds()-before[member])/scale.Idle.Seconds()*100)
	}
	return Figures{"busiest": busiest}, nil
}

func processorSeconds(system System) float64 {
	seconds := 0.0
	for _, member := range system.Members() {
		seconds += member.processorSeconds()
	}
	return seconds
}

// saturate writes as fast as the system can.
func saturate(ctx context.Context, system System, recorder *Recorder) error {
	if withPipeline(system.Name()) {
		return pipelined(ctx, system, 1_024, 256, valueBytes, recorder)
	}
	return closedLoop(ctx, system, 256, valueBytes, recorder)
}

// live also tells how far behind the last subscriber is when the writing ends.
func live(ctx context.Context, system System, scale Scale) (Figures, error) {
	const subscribers = 10
	reading := subscribe(ctx, system, system.Leader(), subscribers, false, nil)
	recorder := newRecorder(scale.WarmUp, scale.Length)
	var warm atomic.Int64
	time.AfterFunc(scale.WarmUp, func() { warm.Store(reading.count.Load()) })
	if err := saturate(ctx, system, recorder); err != nil {
		return nil, err
	}
	received := reading.count.Load() - warm.Load()
	end := time.Now()
	lag := time.Duration(0)
	for i := range reading.lastAt {
		lag = max(lag, end.Sub(time.Unix(0, reading.lastAt[i].Load())))
	}
	figures := recorder.figures()
	return Figures{
		"events": float64(received) / scale.Length.Seconds(), "rate": figures["rate"], "lag": float64(lag.Microseconds()) / 1000,
	}, reading.stop()
}

// replay writes until the log is long enough, and reads it from the start.
func replay(ctx context.Context, system System, scale Scale) (Figures, error) {
	if err := fill(ctx, system, scale.ReplayEntries); err != nil {
		return nil, err
	}
	figures := Figures{}
	for _, subscribers := range []int{1, 10} {
		begin := time.Now()
		reading := subscribe(ctx, system, system.Leader(), subscribers, true, nil)
		want := int64(subscribers) * int64(scale.ReplayEntries)
		for reading.count.Load() < want && time.Since(begin) < time.Minute {
			time.Sleep(time.Millisecond)
		}
		if count := reading.count.Load(); count < want {
			return nil, fmt.Errorf("only %d of %d entries were read within a minute", count, want)
		}
		seconds := time.Since(begin).Seconds()
		figures[fmt.Sprintf("events%d", subscribers)] = float64(reading.count.Load()) / seconds
		if err := reading.stop(); err != nil {
			return nil, err
		}
	}
	return figures, nil
}

func fill(ctx context.Context, system System, entries int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	count := 0
	err := system.(Pipeliner).Pipeline(ctx, 4_096, 256, stamped(valueBytes), func(time.Time) {
		count++
		if count >= entries {
			cancel()
		}
	})
	return unlessDone(ctx, err)
}

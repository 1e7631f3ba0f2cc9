package main

const (
	ours      = "raft-sidecar"
	etcd      = "etcd"
	jetStream = "JetStream"
)

// Figure names one figure of one system.
type Figure struct {
	System, Work, Name string
}

// Target is what one of our figures has to reach: a share of somebody else's, or a bound of its own.
type Target struct {
	Title  string
	Unit   string
	Ours   Figure
	Theirs *Figure // nil for a bound of its own
	// Whether less is better.
	Lower bool
	// 0 for none.
	Floor, Goal float64
}

var targets = []Target{
	{"1 in flight, p50", "ms", Figure{ours, "unary-1", "p50"}, &Figure{etcd, "unary-1", "p50"}, true, 1.1, 0.9},
	{"64 in flight", "1/s", Figure{ours, "unary-64", "rate"}, &Figure{etcd, "unary-64", "rate"}, false, 1.3, 1.6},
	{"64 in flight", "1/s", Figure{ours, "unary-64", "rate"}, &Figure{jetStream, "unary-64", "rate"}, false, 0, 1},
	{"256 in flight", "1/s", Figure{ours, "unary-256", "rate"}, &Figure{etcd, "unary-256", "rate"}, false, 1.1, 1.4},
	{"one stream, one value a message, 256 in flight, against 256 single publishers", "1/s",
		Figure{ours, "stream-256", "rate"}, &Figure{jetStream, "unary-256", "rate"}, false, 1, 1.3},
	{"one stream of batches, 1,024 in flight, against a fast batch", "1/s",
		Figure{ours, "batch-1024", "rate"}, &Figure{jetStream, "batch-1024", "rate"}, false, 0.7, 1.2},
	{"the same, p99", "ms", Figure{ours, "batch-1024", "p99"}, nil, true, 0, 15},
	{"10 live subscribers under full load, all together", "1/s",
		Figure{ours, "live-10", "events"}, &Figure{etcd, "live-10", "events"}, false, 4, 10},
	{"the same, how far behind the last one is at the end", "ms", Figure{ours, "live-10", "lag"}, nil, true, 100, 0},
	{"replay to 1 subscriber", "1/s", Figure{ours, "replay", "events1"}, &Figure{jetStream, "replay", "events1"}, false, 1, 1.5},
	{"replay to 10 subscribers, all together", "1/s",
		Figure{ours, "replay", "events10"}, &Figure{jetStream, "replay", "events10"}, false, 1, 1.5},
	{"5,000/s on one stream, from when a value was due to a subscriber of another member, p99", "ms",
		Figure{ours, "receive-stream", "p99"}, nil, true, 10, 5},
	{"the same in single writes", "ms", Figure{ours, "receive", "p99"}, nil, true, 10, 5},
	{"leader killed to the next acknowledged write, median", "s", Figure{ours, "kill", "median"}, nil, true, 0.5, 0.25},
	{"the same, worst", "s", Figure{ours, "kill", "worst"}, nil, true, 1.2, 0.8},
	{"leader stopped to the next acknowledged write elsewhere, worst", "s", Figure{ours, "hang", "worst"}, nil, true, 2, 1.5},
	{"start until ready, 1M entries in the log (quick: 0.5M)", "s", Figure{ours, "long-log", "readyShort"}, nil, true, 2, 1},
	{"start until ready, 10M entries in the log (quick: 0.7M)", "s", Figure{ours, "long-log", "readyLong"}, nil, true, 5, 2},
	{"batches with 10M entries in the log (quick: 0.7M), against nearly none", "1/s",
		Figure{ours, "long-log", "rateLong"}, &Figure{ours, "long-log", "rateEmpty"}, false, 0.85, 0.95},
	{"memory after 10M entries at full speed (quick: 0.7M), the largest", "MiB",
		Figure{ours, "long-log", "memory"}, nil, true, 384, 200},
	{"memory for a subscriber that never reads", "MiB", Figure{ours, "long-log", "stalled"}, nil, true, 16, 8},
	{"idle, processor of the busiest member", "%", Figure{ours, "idle", "busiest"}, nil, true, 2, 1},
	{"values of 16 KB, against those of 1 KB", "MB/s",
		Figure{ours, "sizes", "MBsOf16KB"}, &Figure{ours, "sizes", "MBsOf1KB"}, false, 1, 0},
	{"values of 1 MB, against those of 16 KB", "MB/s",
		Figure{ours, "sizes", "MBsOf1MB"}, &Figure{ours, "sizes", "MBsOf16KB"}, false, 1, 0},
	{"values of 1 KB", "MB/s", Figure{ours, "sizes", "MBsOf1KB"}, &Figure{etcd, "sizes", "MBsOf1KB"}, false, 0, 1.5},
	{"values of 16 KB", "MB/s", Figure{ours, "sizes", "MBsOf16KB"}, &Figure{etcd, "sizes", "MBsOf16KB"}, false, 0, 1.5},
	{"values of 1 MB", "MB/s", Figure{ours, "sizes", "MBsOf1MB"}, &Figure{etcd, "sizes", "MBsOf1MB"}, false, 0, 1.5},
	{"twice what a node can do: p99 of the accepted, against that at 80 %", "ms",
		Figure{ours, "overload", "p99Over"}, &Figure{ours, "overload", "p99At80"}, true, 5, 0},
	// What nothing is refused of was no overload.
	{"the same, refused", "1/s", Figure{ours, "overload", "refused"}, nil, false, 1, 0},
	{"the same, memory at the end, against that after 10 s", "MiB",
		Figure{ours, "overload", "memoryLate"}, &Figure{ours, "overload", "memoryEarly"}, true, 1.1, 1.02},
	// Less than one is none.
	{"the same, elections", "", Figure{ours, "overload", "elections"}, nil, true, 0.5, 0},
	{"the same, errors other than OVERLOADED with a delay", "", Figure{ours, "overload", "otherErrors"}, nil, true, 0.5, 0},
	{"after it, until a single write takes no longer than p99 at 80 %", "s",
		Figure{ours, "overload", "recovery"}, nil, true, 1, 0},
}

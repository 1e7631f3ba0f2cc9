package main

import (
	"context"
	"time"
)

// System is three running members of one of the systems that are compared, each with synchronous writes, and clients of
// them. All clients talk to the leader, where every system is at its best.
type System interface {
	Name() string
	Members() []*Member
	// Put writes a value and returns when it is committed. Safe for concurrent use.
	Put(ctx context.Context, value []byte) error
	// Subscribe delivers everything written, from the first on or what is new, until ctx is done. `each` is called with
	// how many came at once and the moment in nanoseconds that the last one's value begins with. Ready is closed when
	// nothing new can be missed.
	Subscribe(ctx context.Context, fromStart bool, ready chan<- struct{}, each func(count int, lastSentAt int64)) error
	Close()
}

// Pipeliner writes on one stream without waiting for each answer.
type Pipeliner interface {
	// Pipeline keeps up to inFlight values on their way, put together in messages of up to batch, until ctx is done.
	// `acknowledged` is called for each with when it was sent.
	Pipeline(ctx context.Context, inFlight, batch int, value func() []byte, acknowledged func(sent time.Time)) error
}

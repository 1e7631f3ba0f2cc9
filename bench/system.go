package main

import (
	"context"
	"time"
)

// System is a running cluster of one of the systems that are compared, each with synchronous writes, and clients of it.
// Clients talk to the leader, where every system is at its best, if nothing else is said.
type System interface {
	Name() string
	Members() []*Member
	// Leader is the one that clients talk to.
	Leader() *Member
	// Put writes a value and returns when it is committed. Safe for concurrent use.
	Put(ctx context.Context, value []byte) error
	// Subscribe delivers everything written, from the first on or what is new, until ctx is done, by a connection to the
	// member `at`. Ready is closed when nothing new can be missed.
	Subscribe(ctx context.Context, at *Member, fromStart bool, ready chan<- struct{}, each Each) error
	Close()
}

// Each is called with how many values came at once, and what tells the moment, in nanoseconds, with which one begins.
type Each func(count int, sentAt func(i int) int64)

// Elects can lose its leader and find another one.
type Elects interface {
	System
	// Reconnect waits for a leader and has all clients talk to it.
	Reconnect(ctx context.Context) error
	// Dial makes a client of one member.
	Dial(member *Member) (Writer, error)
	// HasCaughtUp tells whether a member has all that the leader has.
	HasCaughtUp(ctx context.Context, member *Member) bool
}

// Writer is a client of one member, whoever leads.
type Writer interface {
	Put(ctx context.Context, value []byte) error
	Close()
}

// Pipeliner writes on one stream without waiting for each answer.
type Pipeliner interface {
	// Pipeline keeps up to inFlight values on their way, put together in messages of up to batch, until ctx is done
	// or a value is nil. `acknowledged` is called for each with when it was sent.
	Pipeline(ctx context.Context, inFlight, batch int, value func() []byte, acknowledged func(sent time.Time)) error
}

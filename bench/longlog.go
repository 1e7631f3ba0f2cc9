package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"raft-sidecar/bench/raftv1"
)

// Before memory is read, after a load.
const memoryPause = time.Second

// longLog fills one log in two steps and measures on the way what may depend on its length.
func longLog(ctx context.Context, system System, scale Scale) (Figures, error) {
	sidecar, ok := system.(*Sidecar)
	if !ok {
		return nil, errors.New(system.Name() + " has no such log")
	}
	figures := Figures{}
	rate := func(name string) error {
		measured, err := pipeline(ctx, system, scale, 1_024, 256)
		figures["rate"+name] = measured["rate"]
		return err
	}
	grow := func(name string, entries uint64) error {
		var err error
		figures["entries"+name], err = fillTo(ctx, sidecar, entries)
		return err
	}
	start := func(name string) error {
		answers, ready, err := startAgain(ctx, sidecar, followers(sidecar)[0])
		figures["answers"+name], figures["ready"+name] = answers.Seconds(), ready.Seconds()
		return err
	}
	memory := func() error {
		figures["memoryLeader"] = sidecar.Leader().residentMiB()
		for _, follower := range followers(sidecar) {
			figures["memoryFollower"] = max(figures["memoryFollower"], follower.residentMiB())
		}
		figures["memory"] = max(figures["memoryLeader"], figures["memoryFollower"])
		var err error
		figures["stalled"], err = stalledGrowth(ctx, sidecar, scale.StalledEntries)
		return err
	}
	for _, step := range []func() error{
		func() error { return rate("Empty") },
		func() error { return grow("Short", scale.ShortLog) },
		func() error { return start("Short") },
		func() error { return grow("Long", scale.LongLog) },
		memory,
		func() error { return rate("Long") },
		func() error { return start("Long") },
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return figures, nil
}

// fillTo writes until the leader's log has so many entries, and returns how many it has.
func fillTo(ctx context.Context, sidecar *Sidecar, entries uint64) (float64, error) {
	state, err := sidecarState(ctx, sidecar.Leader().Address)
	if err != nil {
		return 0, err
	}
	if state.LastIndex < entries {
		if err := fill(ctx, sidecar, int(entries-state.LastIndex)); err != nil {
			return 0, err
		}
		state, err = sidecarState(ctx, sidecar.Leader().Address)
	}
	return float64(state.GetLastIndex()), err
}

// startAgain ends a member in good order and starts it: how long until it answers, and until it says that it takes part.
// Its files are in the system's cache, as after a restart of the process alone.
func startAgain(ctx context.Context, sidecar *Sidecar, member *Member) (answers, ready time.Duration, err error) {
	if err := caughtUp(ctx, sidecar, member); err != nil {
		return 0, 0, err
	}
	member.stop()
	begin := time.Now()
	if err := member.start(); err != nil {
		return 0, 0, err
	}
	err = until(ctx, member.Name+" answers", sidecar.Members(), func(ctx context.Context) bool {
		_, err := sidecarState(ctx, member.Address)
		return err == nil
	})
	if err != nil {
		return 0, 0, err
	}
	answers = time.Since(begin)
	err = until(ctx, member.Name+" is ready", sidecar.Members(), func(ctx context.Context) bool {
		return isServing(ctx, member.Address)
	})
	ready = time.Since(begin)
	if err == nil {
		err = caughtUp(ctx, sidecar, member)
	}
	return answers, ready, err
}

func isServing(ctx context.Context, address string) bool {
	conn, err := dialSidecar(address)
	if err != nil {
		return false
	}
	defer conn.Close()
	response, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
	return err == nil && response.Status == healthv1.HealthCheckResponse_SERVING
}

// stalledGrowth is by how many MiB a member's memory grows for a subscriber that wants everything and reads nothing.
// Any load changes a member's memory: so each of two followers has the subscriber once, the other one's growth under the
// same load is taken off, and the mean of both is given.
func stalledGrowth(ctx context.Context, sidecar *Sidecar, entries int) (float64, error) {
	others := followers(sidecar)
	// Neither is to grow because it is the first such load.
	if err := fill(ctx, sidecar, entries); err != nil {
		return 0, err
	}
	sum := 0.0
	for i, at := range others {
		beside := others[len(others)-1-i]
		time.Sleep(memoryPause)
		before := at.residentMiB() - beside.residentMiB()
		end, err := subscribeAndStall(ctx, at)
		if err != nil {
			return 0, err
		}
		err = fill(ctx, sidecar, entries)
		time.Sleep(memoryPause)
		sum += at.residentMiB() - beside.residentMiB() - before
		if err := errors.Join(err, end()); err != nil {
			return 0, err
		}
	}
	return sum / float64(len(others)), nil
}

// subscribeAndStall opens an ApplyStream from the first entry on and never receives. What it returns ends it, and fails if
// the member had ended it already.
func subscribeAndStall(ctx context.Context, member *Member) (func() error, error) {
	// The least that there is; a size of one's own also keeps the library from making the window larger.
	const window = 64 << 10
	conn, err := grpc.NewClient("passthrough:///"+member.Address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithNoProxy(), grpc.WithDisableRetry(), grpc.WithInitialWindowSize(window), grpc.WithInitialConnWindowSize(window))
	if err != nil {
		return nil, err
	}
	stream, err := raftv1.NewLogServiceClient(conn).ApplyStream(ctx, &raftv1.ApplyStreamRequest{})
	if err == nil {
		// The node has taken it.
		_, err = stream.Header()
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return func() error {
		defer conn.Close()
		for read := 0; read <= 2*window; {
			response, err := stream.Recv()
			if err != nil {
				return fmt.Errorf("a subscriber that doesn't read was ended: %w", err)
			}
			for _, entry := range response.GetBatch().GetEntries() {
				read += len(entry.Command)
			}
		}
		return nil
	}, nil
}

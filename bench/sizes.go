package main

import "context"

// sizes gives what single writes of several sizes come to, in MB/s. The largest is below the limit that ours and JetStream
// have by default, 1 MiB.
func sizes(ctx context.Context, system System, scale Scale) (Figures, error) {
	figures := Figures{}
	for _, load := range []struct {
		name            string
		bytes, inFlight int
	}{{"1KB", 1_000, 64}, {"16KB", 16_000, 32}, {"1MB", 1_000_000, 8}} {
		recorder := newRecorder(scale.WarmUp, scale.Length)
		if err := closedLoop(ctx, system, load.inFlight, load.bytes, recorder); err != nil {
			return nil, err
		}
		measured := recorder.figures()
		figures["MBsOf"+load.name] = measured["rate"] * float64(load.bytes) / 1e6
		figures["p99Of"+load.name] = measured["p99"]
	}
	return figures, nil
}

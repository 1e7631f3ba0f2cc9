package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// parts are what one of our nodes does with the processor, by its threads: Main is gRPC, the core and the encoding, Disk is
// SQLite, Helpers is above all V8's collection of garbage.
var parts = map[string]string{"MainThread": "Main", "writer-worker": "Disk"}

const otherPart = "Helpers"

// usage is what our members have used so far, in nanoseconds, by "leader" or "follower" and the part; the followers' is the
// mean. Nothing of other systems.
func usage(system System) map[string]float64 {
	used := map[string]float64{}
	if !onlyOurs(system.Name()) {
		return used
	}
	for _, member := range system.Members() {
		name, share := "leader", 1.0
		if member != system.Leader() {
			name, share = "follower", 1/float64(len(system.Members())-1)
		}
		for part, nanoseconds := range member.threadNanoseconds() {
			used[name+part] += nanoseconds * share
		}
	}
	return used
}

func (m *Member) threadNanoseconds() map[string]float64 {
	used := map[string]float64{}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", m.process.Process.Pid))
	for _, task := range tasks {
		name, err := os.ReadFile(filepath.Join(task, "comm"))
		if err != nil {
			continue
		}
		part, ok := parts[string(bytes.TrimSpace(name))]
		if !ok {
			part = otherPart
		}
		text, _ := os.ReadFile(filepath.Join(task, "schedstat"))
		if fields := strings.Fields(string(text)); len(fields) > 0 {
			nanoseconds, _ := strconv.ParseFloat(fields[0], 64)
			used[part] += nanoseconds
		}
	}
	return used
}

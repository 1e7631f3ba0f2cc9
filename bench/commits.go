package main

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"time"
)

// A node's raft.mark is at most half a second behind the writes that it has synced.
const markDelay = 600 * time.Millisecond

// diskCommits is how many transactions each of our members has ever synced; nothing of other systems. A commit is one sync
// of the WAL; those of checkpoints and of the mark itself come on top.
func diskCommits(system System) ([]float64, error) {
	if !onlyOurs(system.Name()) {
		return nil, nil
	}
	time.Sleep(markDelay)
	var commits []float64
	for _, member := range system.Members() {
		count, err := readMark(filepath.Join(member.DataDir, "raft.mark"))
		if err != nil {
			return nil, err
		}
		commits = append(commits, count)
	}
	return commits, nil
}

// readMark takes the higher of the two slots that are whole: src/storage/mark.ts.
func readMark(file string) (float64, error) {
	bytes, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	var highest uint64
	found := false
	for _, at := range []int{0, 4096} {
		if len(bytes) < at+12 {
			continue
		}
		number, sum := bytes[at:at+8], binary.LittleEndian.Uint32(bytes[at+8:])
		if crc32.ChecksumIEEE(number) == sum {
			highest, found = max(highest, binary.LittleEndian.Uint64(number)), true
		}
	}
	if !found {
		return 0, errors.New(file + " has no slot that is whole")
	}
	return float64(highest), nil
}

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"

	"raft-sidecar/examples/go-kv/raftv1"
)

// How many log positions the result of a caller's request is remembered. A repetition later than that is a new request.
const rememberedPositions = 100_000

// Condition, then the lengths of id, key and value in bytes: as strict as can be, so that in every language the same
// commands are valid.
var header = regexp.MustCompile(`^kv1 (-|[0-9]{1,16}) ([0-9]{1,7}) ([0-9]{1,7}) (-|[0-9]{1,7})\n`)

// Command is a write. No value deletes; no version means always, version 0 only where the key is absent. An empty
// request id is none.
type Command struct {
	RequestID, Key string
	Value          *string
	IfVersion      *uint64
}

// Encode makes the bytes that are proposed.
func (c Command) Encode() []byte {
	condition, length, value := "-", "-", ""
	if c.IfVersion != nil {
		condition = strconv.FormatUint(*c.IfVersion, 10)
	}
	if c.Value != nil {
		length, value = strconv.Itoa(len(*c.Value)), *c.Value
	}
	return fmt.Appendf(nil, "kv1 %s %d %d %s\n%s%s%s",
		condition, len(c.RequestID), len(c.Key), length, c.RequestID, c.Key, value)
}

// decode is false for what another program proposed to the same log.
func decode(data []byte) (Command, bool) {
	found := header.FindSubmatch(data)
	if found == nil {
		return Command{}, false
	}
	// What has at most 16 digits is a number; "-" gives 0.
	number := func(group int) uint64 {
		n, _ := strconv.ParseUint(string(found[group]), 10, 64)
		return n
	}
	rest, idEnd := string(data[len(found[0]):]), number(2)
	keyEnd := idEnd + number(3)
	if uint64(len(rest)) != keyEnd+number(4) {
		return Command{}, false
	}
	id, key, value := rest[:idEnd], rest[idEnd:keyEnd], rest[keyEnd:]
	if !utf8.ValidString(id) || !utf8.ValidString(key) || !utf8.ValidString(value) {
		return Command{}, false
	}
	command := Command{RequestID: id, Key: key}
	if string(found[4]) != "-" {
		command.Value = &value
	}
	if string(found[1]) != "-" {
		version := number(1)
		command.IfVersion = &version
	}
	return command, true
}

// Result is what a write is answered with: an HTTP status, and the key's version, 0 for an absent key.
type Result struct {
	Status  int
	Version uint64
}

// Record is a value and the log index of the write that made it.
type Record struct {
	Value   string
	Version uint64
}

type remembered struct {
	id     string
	at     uint64
	result Result
}

// state is what the log up to an index makes.
type state struct {
	records  map[string]Record
	requests map[string]remembered
	// The requests in the order of the log, to forget the oldest.
	order         []remembered
	applied, term uint64
}

func newState() state {
	return state{records: map[string]Record{}, requests: map[string]remembered{}}
}

// Store is the state machine: keys and values in memory, made from the log.
type Store struct {
	mu sync.RWMutex
	state
	// Index of the last snapshot that this process has restored; 0 for none.
	restored uint64
	logID    []byte
	// Every command up to here is applied. Above applied by the sidecar's own entries, which we never see.
	covered uint64
	// Closed, and replaced, when covered rises.
	rose chan struct{}
}

func newStore() *Store {
	return &Store{state: newState(), rose: make(chan struct{})}
}

// Position is where to go on in which log.
func (s *Store) Position() (applied, term uint64, logID []byte) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.applied, s.term, s.logID
}

// NameLog remembers which log this state is made from.
func (s *Store) NameLog(logID []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logID = logID
}

// Apply applies a committed entry. It is false for one that is applied already, and for one that is no command of ours.
func (s *Store) Apply(entry *raftv1.Entry) (Result, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if entry.GetIndex() <= s.applied {
		return Result{}, false
	}
	s.applied, s.term = entry.GetIndex(), entry.GetTerm()
	// From here on nothing may depend on anything but the log up to this index, or the copies would come apart.
	command, ok := decode(entry.GetCommand())
	if !ok {
		return Result{}, false
	}
	for len(s.order) > 0 && s.order[0].at+rememberedPositions <= s.applied {
		delete(s.requests, s.order[0].id)
		s.order = s.order[1:]
	}
	if known, ok := s.requests[command.RequestID]; ok {
		return known.result, true
	}
	result := s.write(command)
	if command.RequestID != "" {
		s.remember(remembered{command.RequestID, s.applied, result})
	}
	return result, true
}

func (s *state) remember(request remembered) {
	s.requests[request.id] = request
	s.order = append(s.order, request)
}

func (s *state) write(command Command) Result {
	version := s.records[command.Key].Version
	if command.IfVersion != nil && *command.IfVersion != version {
		return Result{http.StatusPreconditionFailed, version}
	}
	if command.Value == nil {
		delete(s.records, command.Key)
		return Result{http.StatusOK, 0}
	}
	s.records[command.Key] = Record{*command.Value, s.applied}
	return Result{http.StatusOK, s.applied}
}

// Cover says that everything up to index is applied: lets the requests go on that wait for it.
func (s *Store) Cover(index uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if index > s.covered {
		s.covered = index
		close(s.rose)
		s.rose = make(chan struct{})
	}
}

// WaitFor waits until everything up to index is applied.
func (s *Store) WaitFor(ctx context.Context, index uint64) error {
	for {
		s.mu.RLock()
		covered, rose := s.covered, s.rose
		s.mu.RUnlock()
		if covered >= index {
			return nil
		}
		select {
		case <-rose:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Get is false for an absent key.
func (s *Store) Get(key string) (Record, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	record, ok := s.records[key]
	return record, ok
}

// Copy is the state as it is now, to be read while the apply loop goes on. It finds no requests by their ids.
func (s *Store) Copy() state {
	s.mu.RLock()
	defer s.mu.RUnlock()
	// What was appended to order is never written again, so that the copy may share it.
	return state{records: maps.Clone(s.records), order: s.order, applied: s.applied, term: s.term}
}

// Replace replaces everything by the state of a snapshot.
func (s *Store) Replace(restored state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.restored = restored, restored.applied
}

// Restored is the index of the last snapshot that this process has restored; 0 for none.
func (s *Store) Restored() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.restored
}

// Status is what a copy tells of itself.
type Status struct {
	Records int    `json:"records"`
	Applied uint64 `json:"applied"`
	Digest  string `json:"digest"`
	// Indexes of the last snapshots that this process has restored and put; 0 for none.
	Restored uint64 `json:"restored"`
	Put      uint64 `json:"put"`
	Retries  int64  `json:"retries"`
}

// Status has a SHA-256 over the sorted keys and values, each preceded by its length in bytes.
func (s *Store) Status() Status {
	s.mu.RLock()
	defer s.mu.RUnlock()
	keys := make([]string, 0, len(s.records))
	for key := range s.records {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	digest := sha256.New()
	for _, key := range keys {
		for _, text := range []string{key, s.records[key].Value} {
			fmt.Fprintf(digest, "%d:", len(text))
			io.WriteString(digest, text)
		}
	}
	return Status{
		Records: len(keys), Applied: s.applied, Restored: s.restored, Digest: hex.EncodeToString(digest.Sum(nil)),
	}
}

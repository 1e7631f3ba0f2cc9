package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Bench is one run: every system in turn, round after round, each time new members.
type Bench struct {
	starters []Starter
	works    []Work
	scale    Scale
	dir      string
	only     string
	results  Results
	// What had to be done again, and why.
	repeated []string
}

// maxAttempts is how often one thing may be tried.
const maxAttempts = 3

// Starter starts one of the systems, of so many members with their data below a folder.
type Starter struct {
	Name  string
	Start func(ctx context.Context, dir string, members int) (System, error)
}

// Results has the figures of each round, by work and system.
type Results map[string]map[string][]Figures

func startersOf(root, peers, chosen string) []Starter {
	all := []Starter{
		{ours, func(ctx context.Context, dir string, members int) (System, error) {
			return startSidecar(ctx, root, dir, members)
		}},
		{etcd, func(ctx context.Context, dir string, members int) (System, error) {
			return startEtcd(ctx, filepath.Join(peers, "etcd"), dir, members)
		}},
		{jetStream, func(ctx context.Context, dir string, members int) (System, error) {
			return startJetStream(ctx, filepath.Join(peers, "nats-server"), dir, members)
		}},
	}
	var starters []Starter
	for _, starter := range all {
		if strings.Contains(","+chosen+",", ","+starter.Name+",") {
			starters = append(starters, starter)
		}
	}
	return starters
}

func chosenWorks(pattern *regexp.Regexp) []Work {
	var chosen []Work
	for _, work := range works {
		if pattern.MatchString(work.ID) {
			chosen = append(chosen, work)
		}
	}
	return chosen
}

func (b *Bench) run(ctx context.Context) error {
	b.results = Results{}
	for round := range b.scale.Rounds {
		for _, starter := range b.starters {
			log.Printf("round %d of %d, %s", round+1, b.scale.Rounds, starter.Name)
			if err := b.runSystem(ctx, starter, round); err != nil {
				return fmt.Errorf("%s: %w", starter.Name, err)
			}
		}
	}
	return nil
}

// runSystem does what shares a cluster in turn, and then each work that has one of its own.
func (b *Bench) runSystem(ctx context.Context, starter Starter, round int) error {
	var shared, own []Work
	for _, work := range b.works {
		switch {
		case !work.Can(starter.Name) || work.Once && round > 0:
		case work.Members == 0:
			shared = append(shared, work)
		default:
			own = append(own, work)
		}
	}
	if len(shared) > 0 {
		if err := b.runCluster(ctx, starter, usualMembers, shared); err != nil {
			return err
		}
	}
	for _, work := range own {
		if err := b.runCluster(ctx, starter, work.Members, []Work{work}); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bench) runCluster(ctx context.Context, starter Starter, members int, works []Work) error {
	dir, err := os.MkdirTemp(b.dir, "")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	system, err := starter.Start(ctx, dir, members)
	if err != nil {
		return err
	}
	defer system.Close()
	err = b.patiently(ctx, system, "warm-up", func() error { return warmUp(ctx, system, b.scale) })
	if err != nil {
		return err
	}
	for _, work := range works {
		err := b.patiently(ctx, system, work.ID, func() error {
			figures, err := runWork(ctx, system, work, b.scale)
			if err != nil || ctx.Err() != nil {
				return err
			}
			log.Printf("  %-14s %v", work.ID, figures)
			b.results.add(work.ID, starter.Name, figures)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// patiently does again what failed, a few times and with whoever leads by then: on a shared machine a disk may stall for
// longer than a leader is given. The report tells of it.
func (b *Bench) patiently(ctx context.Context, system System, name string, do func() error) error {
	for attempt := 1; ; attempt++ {
		err := do()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			return nil
		}
		if attempt == maxAttempts {
			return fmt.Errorf("%s: %w", name, err)
		}
		log.Printf("  %s, again after: %v", name, err)
		b.repeated = append(b.repeated, fmt.Sprintf("%s of %s: %v", name, system.Name(), err))
		time.Sleep(settling)
		if cluster, ok := system.(Elects); ok {
			if err := cluster.Reconnect(ctx); err != nil {
				return err
			}
		}
	}
}

// runWork fails when our cluster had an election meanwhile, unless that is what the work is about.
func runWork(ctx context.Context, system System, work Work, scale Scale) (Figures, error) {
	// Whatever is still reading when a work fails is gone before the next attempt.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sidecar, ok := system.(*Sidecar)
	if !ok || work.Elections {
		return work.Run(ctx, system, scale)
	}
	before, err := sidecar.term(ctx)
	if err != nil {
		return nil, err
	}
	figures, err := work.Run(ctx, system, scale)
	if err != nil {
		return nil, err
	}
	after, err := sidecar.term(ctx)
	if err == nil && after != before {
		err = fmt.Errorf("the term rose from %d to %d: there were elections", before, after)
	}
	return figures, err
}

func (r Results) add(work, system string, figures Figures) {
	if r[work] == nil {
		r[work] = map[string][]Figures{}
	}
	r[work][system] = append(r[work][system], figures)
}

// rounds are one figure's values, a round each; none where the work wasn't done.
func (r Results) rounds(figure Figure) []float64 {
	var values []float64
	for _, figures := range r[figure.Work][figure.System] {
		if value, ok := figures[figure.Name]; ok {
			values = append(values, value)
		}
	}
	return values
}

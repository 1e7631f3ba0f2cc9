package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Bench is one run: every system in turn, round after round, each time three new members.
type Bench struct {
	starters []Starter
	works    []Work
	scale    Scale
	dir      string
	results  Results
}

// Starter starts one of the systems with its data below a folder.
type Starter struct {
	Name  string
	Start func(ctx context.Context, dir string) (System, error)
}

// Results has the figures of each round, by work and system.
type Results map[string]map[string][]Figures

func startersOf(root, peers, chosen string) []Starter {
	all := []Starter{
		{"raft-sidecar", func(ctx context.Context, dir string) (System, error) { return startSidecar(ctx, root, dir) }},
		{"etcd", func(ctx context.Context, dir string) (System, error) {
			return startEtcd(ctx, filepath.Join(peers, "etcd"), dir)
		}},
		{"JetStream", func(ctx context.Context, dir string) (System, error) {
			return startJetStream(ctx, filepath.Join(peers, "nats-server"), dir)
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
			if err := b.runSystem(ctx, starter); err != nil {
				return fmt.Errorf("%s: %w", starter.Name, err)
			}
		}
	}
	return nil
}

func (b *Bench) runSystem(ctx context.Context, starter Starter) error {
	dir, err := os.MkdirTemp(b.dir, "")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	system, err := starter.Start(ctx, dir)
	if err != nil {
		return err
	}
	defer system.Close()
	if err := warmUp(ctx, system, b.scale); err != nil {
		return fmt.Errorf("warm-up: %w", err)
	}
	for _, work := range b.works {
		if !work.Can(system) {
			continue
		}
		figures, err := work.Run(ctx, system, b.scale)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", work.ID, err)
		}
		log.Printf("  %-12s %v", work.ID, figures)
		b.results.add(work.ID, starter.Name, figures)
	}
	return nil
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
		values = append(values, figures[figure.Name])
	}
	return values
}

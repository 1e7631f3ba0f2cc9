package main

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Report is what a run measured, in words.
type Report struct {
	results Results
	scale   Scale
	works   []Work
	systems []string
	// The pattern by which works were chosen; empty for all.
	only     string
	repeated []string
}

func (b *Bench) report() Report {
	report := Report{results: b.results, scale: b.scale, works: b.works, only: b.only, repeated: b.repeated}
	for _, starter := range b.starters {
		report.systems = append(report.systems, starter.Name)
	}
	return report
}

// table has a row for each target of which there are figures.
func (r Report) table() string {
	var text strings.Builder
	text.WriteString("| work | raft-sidecar | against | ratio | floor | goal | |\n|---|---|---|---|---|---|---|\n")
	for _, target := range targets {
		own := r.results.rounds(target.Ours)
		if len(own) == 0 {
			continue
		}
		values, against, ratio := own, "", ""
		if target.Theirs != nil {
			theirs := r.results.rounds(*target.Theirs)
			if len(theirs) != len(own) {
				continue
			}
			values = make([]float64, len(own))
			for i := range own {
				values[i] = own[i] / theirs[i]
			}
			against = fmt.Sprintf("%s %s", target.Theirs.System, spread(theirs, target.Unit))
			ratio = spread(values, "")
		} else {
			against = r.beside(target)
		}
		fmt.Fprintf(&text, "| %s | %s | %s | %s | %s | %s | %s |\n", target.Title, spread(own, target.Unit), against, ratio,
			bound(target.Floor), bound(target.Goal), target.verdict(median(values)))
	}
	return text.String()
}

// beside has what the other systems reached where the bound is one of its own.
func (r Report) beside(target Target) string {
	var texts []string
	for _, system := range r.systems {
		theirs := r.results.rounds(Figure{system, target.Ours.Work, target.Ours.Name})
		if system != target.Ours.System && len(theirs) > 0 {
			texts = append(texts, fmt.Sprintf("%s %s", system, spread(theirs, target.Unit)))
		}
	}
	return strings.Join(texts, ", ")
}

func (t Target) verdict(value float64) string {
	reaches := func(bound float64) bool {
		return bound != 0 && (t.Lower && value <= bound || !t.Lower && value >= bound)
	}
	switch {
	case reaches(t.Goal):
		return "goal"
	case reaches(t.Floor):
		return "floor"
	case t.Floor == 0:
		return "short of the goal"
	default:
		return "**below the floor**"
	}
}

// details has every figure of every system.
func (r Report) details() string {
	var text strings.Builder
	for _, work := range r.works {
		fmt.Fprintf(&text, "\n### %s\n", work.Title)
		for _, system := range r.systems {
			rounds := r.results[work.ID][system]
			if len(rounds) == 0 {
				continue
			}
			fmt.Fprintf(&text, "- %s:", system)
			for _, name := range sortedNames(rounds[0]) {
				values := r.results.rounds(Figure{system, work.ID, name})
				fmt.Fprintf(&text, " %s %s;", name, spread(values, ""))
			}
			text.WriteString("\n")
		}
	}
	return text.String()
}

// write makes PERFORMANCE.md and its plots in a folder.
func (r Report) write(folder string) error {
	text := fmt.Sprintf(`# Performance
Written by %s on %s: %d rounds, each system in turn with %d new members on loopback, values of %d bytes,
unless something else is said; every write synced by a majority before its acknowledgement. Medians, with the least and the
most in brackets; ratios are taken round by round. All clients talk to the leader. %s

Versions and settings: raft-sidecar as it stands in this repository, on the Node that it pins; etcd 3.7.3; NATS JetStream
2.15.2 with three replicas and `+"`sync_interval: always`"+`; everything else as it comes. Load by one program in Go on the same machine.
%s
%s
Figures are rates in 1/s and times in ms, where nothing else is said; "processor" is what all members together used of it for
each write, in microseconds, and of ours "leaderMain" and so on are the shares of the leader's and of a follower's threads:
gRPC, the core and encoding (Main), SQLite (Disk), and V8's helpers, most of it the collection of garbage; "commits" is how often a second the leader wrote to its disk and synced, "commitsFollower" the
same of the busier follower.

![single writes: rate against latency](performance-unary.svg)
%s%s`, "`make bench`", time.Now().Format(time.DateOnly), r.scale.Rounds, usualMembers, valueBytes, machine(), r.selection(), r.table(), r.repetitions(), r.details())
	if err := os.WriteFile(filepath.Join(folder, "PERFORMANCE.md"), []byte(text), 0o644); err != nil {
		return err
	}
	return r.plot(filepath.Join(folder, "performance-unary.svg"))
}

// repetitions says what was done again, as the machine or its disk was disturbed, or a system failed.
func (r Report) repetitions() string {
	if len(r.repeated) == 0 {
		return ""
	}
	return "\nDone again, as it failed at first:\n- " + strings.Join(r.repeated, "\n- ") + "\n"
}

// selection says what is missing.
func (r Report) selection() string {
	if r.only == "" {
		return ""
	}
	return fmt.Sprintf("\nOnly the works that match `%s` were run.\n", r.only)
}

func machine() string {
	kernel, _ := exec.Command("uname", "-sr").Output()
	return fmt.Sprintf("%d cores, %s, %s/%s.", runtime.NumCPU(), strings.TrimSpace(string(kernel)), runtime.GOOS, runtime.GOARCH)
}

func sortedNames(figures Figures) []string {
	var names []string
	for name := range figures {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(a, b) })
	return names
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// spread is the median, with the least and the most where there are several.
func spread(values []float64, unit string) string {
	text := strings.TrimSpace(number(median(values)) + " " + unit)
	if len(values) > 1 {
		text += fmt.Sprintf(" [%s, %s]", number(slices.Min(values)), number(slices.Max(values)))
	}
	return text
}

func bound(value float64) string {
	if value == 0 {
		return ""
	}
	return number(value)
}

func number(value float64) string {
	switch {
	case value >= 1000:
		return fmt.Sprintf("%.0f", value)
	case value >= 100:
		return fmt.Sprintf("%.1f", value)
	default:
		return fmt.Sprintf("%.2f", value)
	}
}

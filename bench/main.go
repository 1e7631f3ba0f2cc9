// Bench runs the same work against raft-sidecar, etcd and NATS JetStream, each three members on loopback with synchronous
// writes, one system after the other in several rounds, and what only ours has, and writes what it measured.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
)

func main() {
	log.SetFlags(log.Ltime)
	root := flag.String("root", "..", "the repository, built")
	peers := flag.String("peers", "", "the folder with the programs etcd and nats-server")
	only := flag.String("only", "", "a regular expression: only works whose id matches")
	against := flag.String("systems", "raft-sidecar,etcd,JetStream", "which systems take part, with commas between")
	quick := flag.Bool("quick", false, "one short round")
	rounds := flag.Int("rounds", 0, "so many rounds; 0 for as many as usual")
	output := flag.String("output", "", "the folder for PERFORMANCE.md and its plots; none for the table alone")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *root, *peers, *only, *against, *quick, *rounds, *output); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, root, peers, only, against string, quick bool, rounds int, output string) error {
	chosen, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	scale := fullScale
	if quick {
		scale = quickScale
	}
	if rounds > 0 {
		scale.Rounds = rounds
	}
	root, err = filepath.Abs(root)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "raft-sidecar-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	bench := Bench{starters: startersOf(root, peers, against), works: chosenWorks(chosen), scale: scale, dir: dir, only: only}
	if err := bench.run(ctx); err != nil {
		return err
	}
	report := bench.report()
	fmt.Print(report.table())
	if output == "" {
		return nil
	}
	return report.write(output)
}

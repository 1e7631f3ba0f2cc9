// Command go-kv is a replicated key-value service: HTTP in front, memory behind, a raft-sidecar beside it that keeps
// copies equal.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	port := flag.Int("port", 0, "HTTP port, on loopback")
	nodes := flag.String("nodes", "", "host:port of each node's client listener, our own sidecar first")
	flag.Parse()
	if *port == 0 || *nodes == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *port, strings.Split(*nodes, ",")); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends. When the log fails, so does the process.
func run(ctx context.Context, port int, nodes []string) error {
	store := newStore()
	sidecar, err := newSidecar(nodes, store)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           newHandler(sidecar, store),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       time.Minute,
	}
	go func() { log.Fatal(server.Serve(listener)) }()
	fmt.Printf("http://127.0.0.1:%d/kv/\n", port)
	return sidecar.Follow(ctx)
}

// Command go-client proposes once, and says what grpc-go makes of the answer. Usage: go-client ADDRESS JSON, with a
// ProposeRequest's client_id, sequence and expected_term, command_bytes, timeout_seconds, and how many at once. Says
// `ready` once it is connected, waits for a line, proposes, and prints the first failure, or the last answer, as JSON.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"raft-sidecar/examples/go-kv/raftv1"
)

type fields struct {
	ClientID       string  `json:"client_id"`
	Sequence       uint64  `json:"sequence"`
	ExpectedTerm   uint64  `json:"expected_term"`
	CommandBytes   int     `json:"command_bytes"`
	TimeoutSeconds float64 `json:"timeout_seconds"`
	AtOnce         int     `json:"at_once"`
}

type answer struct {
	Code         string            `json:"code"`
	Duplicate    bool              `json:"duplicate"`
	Message      string            `json:"message"`
	Reason       string            `json:"reason,omitempty"`
	Domain       string            `json:"domain,omitempty"`
	Metadata     map[string]string `json:"metadata,omitempty"`
	RetrySeconds *float64          `json:"retry_seconds,omitempty"`
	Violations   []string          `json:"violations"`
	Trailers     map[string]string `json:"trailers"`
}

func main() {
	var asked fields
	if err := json.Unmarshal([]byte(os.Args[2]), &asked); err != nil {
		log.Fatal(err)
	}
	conn, err := grpc.NewClient("passthrough:///"+os.Args[1],
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
	if err != nil {
		log.Fatal(err)
	}
	node := raftv1.NewLogServiceClient(conn)
	if _, err := node.GetState(context.Background(), &raftv1.GetStateRequest{}); err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		log.Fatal(err)
	}
	answers := make(chan answer, asked.AtOnce)
	for range asked.AtOnce {
		go func() { answers <- propose(node, asked) }()
	}
	var told answer
	for range asked.AtOnce {
		if told = <-answers; told.Code != "OK" {
			break
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(told); err != nil {
		log.Fatal(err)
	}
}

func propose(node raftv1.LogServiceClient, asked fields) answer {
	timeout := time.Duration(asked.TimeoutSeconds * float64(time.Second))
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var trailers metadata.MD
	response, err := node.Propose(ctx, &raftv1.ProposeRequest{
		Command:      bytes.Repeat([]byte("c"), asked.CommandBytes),
		ClientId:     asked.ClientID,
		Sequence:     asked.Sequence,
		ExpectedTerm: asked.ExpectedTerm,
	}, grpc.Trailer(&trailers))
	if err != nil {
		return readBack(err, trailers)
	}
	return answer{Code: "OK", Duplicate: response.GetDuplicate()}
}

// readBack is what a failed call carries.
func readBack(err error, trailers metadata.MD) answer {
	failure := status.Convert(err)
	found := answer{
		Code:       code.Code(failure.Code()).String(),
		Message:    failure.Message(),
		Violations: []string{},
		Trailers:   map[string]string{},
	}
	for key, values := range trailers {
		if strings.HasPrefix(key, "raft-") {
			found.Trailers[key] = strings.Join(values, ",")
		}
	}
	for _, detail := range failure.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			found.Reason, found.Domain, found.Metadata = detail.GetReason(), detail.GetDomain(), detail.GetMetadata()
		case *errdetails.RetryInfo:
			seconds := detail.GetRetryDelay().AsDuration().Seconds()
			found.RetrySeconds = &seconds
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				found.Violations = append(found.Violations, violation.GetField())
			}
		}
	}
	return found
}

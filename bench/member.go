package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 10 * time.Second
	// Linux reports processor time in units of 1/100 s.
	clockTicks = 100
)

// Member is one process of a cluster.
type Member struct {
	Name    string
	Address string // host:port for clients
	DataDir string
	command []string
	process *exec.Cmd
	output  bytes.Buffer
	exited  chan struct{}
}

func (m *Member) start() error {
	m.process = exec.Command(m.command[0], m.command[1:]...)
	m.output.Reset()
	m.process.Stdout, m.process.Stderr = &m.output, &m.output
	// Whatever becomes of us, no member outlives us.
	m.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.process.Start(); err != nil {
		return err
	}
	m.exited = make(chan struct{})
	go func(process *exec.Cmd, exited chan struct{}) {
		_ = process.Wait()
		close(exited)
	}(m.process, m.exited)
	return nil
}

func (m *Member) signal(signal syscall.Signal) {
	_ = m.process.Process.Signal(signal)
}

func (m *Member) kill() {
	m.signal(syscall.SIGKILL)
	<-m.exited
}

func (m *Member) stop() {
	m.signal(syscall.SIGTERM)
	select {
	case <-m.exited:
	case <-time.After(stopTimeout):
		m.kill()
	}
}

// residentMiB is what the process holds of real memory.
func (m *Member) residentMiB() float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", m.process.Process.Pid))
	if err != nil {
		return 0
	}
	pages, _ := strconv.ParseFloat(strings.Fields(string(text))[1], 64)
	return pages * float64(os.Getpagesize()) / (1 << 20)
}

// processorSeconds is what the process has used of the processor so far, in all threads.
func (m *Member) processorSeconds() float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.process.Process.Pid))
	if err != nil {
		return 0
	}
	// The name, in parentheses, may hold spaces.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / clockTicks
}

// newMembers gives members their directories below dir and ports for clients, peers and more, which are free for now.
func newMembers(dir string, count int) (members []*Member, peerPorts, extraPorts []int, err error) {
	ports, err := freePorts(3 * count)
	if err != nil {
		return nil, nil, nil, err
	}
	for i := range count {
		name := fmt.Sprintf("n%d", i+1)
		member := &Member{Name: name, Address: loopback(ports[i]), DataDir: filepath.Join(dir, name)}
		if err := os.MkdirAll(member.DataDir, 0o755); err != nil {
			return nil, nil, nil, err
		}
		members = append(members, member)
	}
	return members, ports[count : 2*count], ports[2*count:], nil
}

func loopback(port int) string {
	return fmt.Sprintf("127.0.0.1:%d", port)
}

func freePorts(count int) ([]int, error) {
	var ports []int
	for range count {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		// All are held until the last is found, so that none comes twice.
		defer listener.Close()
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// until waits for a condition, and tells what it was for when the time is up or a member has ended.
func until(ctx context.Context, what string, members []*Member, condition func(context.Context) bool) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for !condition(ctx) {
		for _, member := range members {
			select {
			case <-member.exited:
				return fmt.Errorf("%s: %s has ended: %s", what, member.Name, tail(member.output.String()))
			default:
			}
		}
		select {
		case <-ctx.Done():
			return errors.New("not in time: " + what)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

func tail(text string) string {
	return text[max(0, len(text)-1000):]
}

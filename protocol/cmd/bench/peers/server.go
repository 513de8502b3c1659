package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// roleVariable makes this program a server when it is set; its value is the
// role, and configVariable holds the server's configuration.
const (
	roleVariable   = "BARRAGE_PEER_ROLE"
	configVariable = "BARRAGE_PEER_CONFIG"
)

// serverConfig is one server's.
type serverConfig struct {
	Name    string
	Dir     string
	Port    int
	Route   int   // JetStream: the cluster port
	Routes  []int // JetStream: everybody's
	Sync    bool
	Cluster bool
}

// roles are the servers that this program can be.
var roles = map[string]func(ctx context.Context, c serverConfig, ready func()) error{
	"nats":       serveNATS,
	"centrifuge": serveCentrifuge,
}

func serverRole() (role string, config serverConfig, ok bool) {
	role = os.Getenv(roleVariable)
	if role == "" {
		return "", config, false
	}
	if err := json.Unmarshal([]byte(os.Getenv(configVariable)), &config); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", configVariable, err)
		os.Exit(2)
	}
	return role, config, true
}

// serve runs a server until SIGTERM, or until the process that started it is
// gone: then its standard input ends.
func serve(role string, config serverConfig) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	go func() {
		bufio.NewReader(os.Stdin).ReadByte() //nolint:errcheck // its end is the message
		stop()
	}()
	return roles[role](ctx, config, func() { fmt.Println("ready") })
}

// A process is a server that runs as a child process.
type process struct {
	cmd   *exec.Cmd
	stdin interface{ Close() error }
}

func startServer(ctx context.Context, role string, config serverConfig) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), roleVariable+"="+role, configVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &process{cmd: cmd, stdin: stdin}
	if line, _ := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		s.stop()
		return nil, fmt.Errorf("%s server %s did not start", role, config.Name)
	}
	return s, nil
}

func (s *process) pid() int { return s.cmd.Process.Pid }

// stop ends the process and waits for it.
func (s *process) stop() {
	s.stdin.Close()
	ended := make(chan struct{})
	go func() {
		s.cmd.Wait() //nolint:errcheck // how it ended has no bearing on what was measured
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		s.cmd.Process.Kill() //nolint:errcheck // gone already is as good
		<-ended
	}
}

// freePorts finds n ports that nobody listens on.
func freePorts(n int) ([]int, error) {
	var ports []int
	var held []net.Listener
	defer func() {
		for _, l := range held {
			l.Close()
		}
	}()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		held = append(held, l)
		address, ok := l.Addr().(*net.TCPAddr)
		if !ok {
			return nil, errors.New("a TCP listener without a TCP address")
		}
		ports = append(ports, address.Port)
	}
	return ports, nil
}

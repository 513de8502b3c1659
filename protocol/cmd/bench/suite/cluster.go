package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/barrage-im/barrage/protocol/pki"
	"github.com/barrage-im/barrage/protocol/rpc"
	"github.com/barrage-im/barrage/protocol/token"
)

const (
	nodes        = 3
	startTimeout = time.Minute
)

// A cluster is three core nodes and three edges as an operator would run them,
// a pair in each of the regions r1, r2 and r3, with the leaders in r1.
type cluster struct {
	dir      string
	cores    []*exec.Cmd
	edges    []*exec.Cmd
	ws       []string // the edges' WebSocket URLs
	tcp      []string
	key      string   // private key file that tokens are signed with
	env      []string // of the servers
	operator *pki.Credentials
	address  []string // of the core nodes
	ready    []string // readiness URLs
}

func startCluster(ctx context.Context, barrage, dir string, log *os.File, env []string) (_ *cluster, err error) {
	c := &cluster{dir: dir, env: env, key: filepath.Join(dir, "tokens.key")}
	defer func() {
		if err != nil {
			c.stop()
		}
	}()
	ca, err := pki.NewCA("bench", time.Now())
	if err != nil {
		return nil, err
	}
	if err := c.keys(ca); err != nil {
		return nil, err
	}
	ports, err := freePorts(2*nodes + 3*nodes)
	if err != nil {
		return nil, err
	}
	next := func() string {
		address := ports[0]
		ports = ports[1:]
		return address
	}
	for range nodes {
		c.address = append(c.address, next())
	}
	for i := range nodes {
		name, ops := fmt.Sprintf("c%d", i+1), next()
		args := []string{
			"core", "--node", name, "--region", fmt.Sprintf("r%d", i+1), "--listen", c.address[i], "--data", filepath.Join(dir, name),
			"--ops-listen", ops, "--home", "r1", "--survive", "region", "--log-level", "warn",
		}
		if i == 0 {
			args = append(args, "--bootstrap")
		} else {
			args = append(args, "--join", c.address[0])
		}
		cmd, err := c.start(ca, pki.Core, name, barrage, log, args)
		if err != nil {
			return nil, err
		}
		c.cores = append(c.cores, cmd)
		c.ready = append(c.ready, "http://"+ops+"/readyz")
	}
	for i := range nodes {
		name, ws, tcp, ops := fmt.Sprintf("e%d", i+1), next(), next(), next()
		cmd, err := c.start(ca, pki.Edge, name, barrage, log, []string{
			"edge-node", "--name", name, "--region", fmt.Sprintf("r%d", i+1), "--core", c.address[i],
			"--listen-http", ws, "--listen-tcp", tcp, "--ops-listen", ops, "--auth-keys", "EdDSA:" + filepath.Join(dir, "tokens.pub"),
			"--limits-frame-rate", "1000000", "--limits-frame-burst", "1000000",
			"--limits-read-rate", "1000000", "--limits-read-burst", "1000000", "--log-level", "warn",
		})
		if err != nil {
			return nil, err
		}
		c.edges = append(c.edges, cmd)
		c.ws, c.tcp = append(c.ws, "ws://"+ws+"/v1/ws"), append(c.tcp, "tcp://"+tcp)
		c.ready = append(c.ready, "http://"+ops+"/readyz")
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for _, url := range c.ready {
		if err := retry(ctx, func() error { return get(ctx, url) }); err != nil {
			return nil, err
		}
	}
	return c, retry(ctx, func() error { return c.openRates(ctx) })
}

func (c *cluster) keys(ca *pki.CA) error {
	private, public, err := token.NewKey(token.EdDSA)
	if err != nil {
		return err
	}
	certificate, err := ca.Issue(pki.Operator, "suite", nil, 24*time.Hour)
	if err != nil {
		return err
	}
	if c.operator, err = certificate.Credentials(); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(c.key, private, 0o600), os.WriteFile(filepath.Join(c.dir, "tokens.pub"), public, 0o600))
}

func (c *cluster) start(ca *pki.CA, role pki.Role, name, barrage string, log *os.File, args []string) (*exec.Cmd, error) {
	certificate, err := ca.Issue(role, name, []string{"127.0.0.1"}, 24*time.Hour)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(c.dir, name+"-tls")
	if err := certificate.Write(dir); err != nil {
		return nil, err
	}
	cmd := exec.Command(barrage, append(args, "--tls", dir)...) //nolint:noctx // it is ended by stop
	cmd.Env, cmd.Stdout, cmd.Stderr = c.env, log, log
	return cmd, cmd.Start()
}

// openRates lifts the limits that would stand in a benchmark's way; everything
// else is as by default.
func (c *cluster) openRates(ctx context.Context) error {
	conn, err := grpc.NewClient("passthrough:///"+c.address[0], grpc.WithTransportCredentials(credentials.NewTLS(c.operator.ClientConfig(pki.Core, "h2"))))
	if err != nil {
		return err
	}
	defer conn.Close()
	operator := rpc.NewOperatorClient(conn)
	now, err := operator.GetPolicies(ctx, &rpc.StatusRequest{})
	if err != nil {
		return err
	}
	result, err := operator.SetPolicies(ctx, &rpc.PutPolicies{Expect: now.GetVersion(), Policies: []*rpc.Policy{{
		Pattern: "bench-*", PublishRate: 100_000, PublishBurst: 100_000, UserRate: 100_000, UserBurst: 100_000,
		RetainMessages: 1_000_000, RetainBytes: 1 << 30, // what one load sends, to be read back
	}}})
	if err == nil && result.GetCode() != 0 {
		err = fmt.Errorf("set policies: code %d: %s", result.GetCode(), result.GetMessage())
	}
	return err
}

// stop ends the processes that start started, edges first.
func (c *cluster) stop() {
	for _, cmds := range [][]*exec.Cmd{c.edges, c.cores} {
		for _, cmd := range cmds {
			cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended
		}
		for _, cmd := range cmds {
			kill := time.AfterFunc(3*time.Second, func() { cmd.Process.Kill() }) //nolint:errcheck // likewise
			cmd.Wait()                                                           //nolint:errcheck // how it ended has no bearing on what was measured
			kill.Stop()
		}
	}
}

func pids(cmds []*exec.Cmd) string {
	var list []string
	for _, cmd := range cmds {
		list = append(list, strconv.Itoa(cmd.Process.Pid))
	}
	return strings.Join(list, ",")
}

func retry(ctx context.Context, f func() error) error {
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("not ready in time: %w", err)
		}
	}
}

func get(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return nil
}

func freePorts(n int) ([]string, error) {
	var list []string
	var held []net.Listener
	defer func() {
		for _, l := range held {
			l.Close()
		}
	}()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
		if err != nil {
			return nil, err
		}
		held, list = append(held, l), append(list, l.Addr().String())
	}
	return list, nil
}

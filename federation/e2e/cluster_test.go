package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/barrage-im/barrage/protocol/pki"
	"github.com/barrage-im/barrage/protocol/rpc"
	"github.com/barrage-im/barrage/protocol/token"
)

// A cluster is three core processes and two edges on loopback, as an operator
// would start them: own certificates, tokens signed with a key, data on disk.
type cluster struct {
	cores, edges []*process
	addresses    []string // of the cores
	endpoints    []string // of the edges, WebSocket and TCP in turns
	operator     *pki.Credentials
	operatorDir  string // the same, for commands
	key          any    // that signs tokens
}

type clusterOptions struct {
	tags  string   // of the build
	plant string   // a bug to plant, in a build with the tag plantedbugs
	data  []string // directories of the cores; empty: temporary ones
}

const (
	coreCount = 3
	edgeCount = 2
	// settle is how long a cluster may take to start, or to come back, on two
	// busy processors with the race detector next door.
	settle = 40 * time.Second
)

func startCluster(t *testing.T, o clusterOptions) *cluster {
	t.Helper()
	bin, dir := barrage(t, o.tags), t.TempDir()
	ca, err := pki.NewCA("e2e", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{operatorDir: filepath.Join(dir, "operator")}
	c.operator = issue(t, ca, pki.Operator, "tester", c.operatorDir)
	keyFile := c.newKey(t, dir)
	ports := freePorts(t, 2*coreCount+3*edgeCount)
	next := func() string {
		p := ports[0]
		ports = ports[1:]
		return fmt.Sprintf("127.0.0.1:%d", p)
	}
	for range coreCount {
		c.addresses = append(c.addresses, next())
	}
	for i := range coreCount {
		name := fmt.Sprintf("c%d", i+1)
		tlsDir, data := filepath.Join(dir, name+"-tls"), filepath.Join(dir, name)
		if o.data != nil {
			data = filepath.Join(o.data[i], "data")
		}
		issue(t, ca, pki.Core, name, tlsDir)
		ops := next()
		args := []string{
			"core", "--node", name, "--listen", c.addresses[i], "--data", data, "--tls", tlsDir, "--ops-listen", ops,
			"--join", strings.Join(slices.Delete(slices.Clone(c.addresses), i, i+1), ","),
		}
		if i == 0 {
			args = append(args, "--bootstrap")
		}
		c.cores = append(c.cores, newProcess(t, name, bin, ops, args...))
	}
	for i := range edgeCount {
		name := fmt.Sprintf("e%d", i+1)
		tlsDir := filepath.Join(dir, name+"-tls")
		issue(t, ca, pki.Edge, name, tlsDir)
		http, tcp, ops := next(), next(), next()
		// Each edge begins at another core node, so that proposals are relayed
		// and feeds are served by followers.
		cores := slices.Concat(c.addresses[i+1:], c.addresses[:i+1])
		c.edges = append(c.edges, newProcess(t, name, bin, ops, "edge-node", "--name", name, "--core", strings.Join(cores, ","),
			"--tls", tlsDir, "--listen-http", http, "--listen-tcp", tcp, "--ops-listen", ops,
			"--auth-keys", "EdDSA:"+keyFile, "--limits-per-user", "100", "--drain", "2s"))
		c.endpoints = append(c.endpoints, "ws://"+http+"/v1/ws", "tcp://"+tcp)
	}
	for _, p := range c.all() {
		p.env = append(p.env, "BARRAGE_PLANT="+o.plant)
	}
	// One after the other: a core that still looks for its cluster has its port
	// but does not answer there, and whoever asks it waits out a time limit.
	for _, part := range [][]*process{c.cores[:1], c.cores[1:], c.edges} {
		for _, p := range part {
			if err := p.start(); err != nil {
				t.Fatal(err)
			}
		}
		c.waitReady(t, part...)
	}
	c.generousPolicy(t)
	return c
}

func (c *cluster) all() []*process { return slices.Concat(c.cores, c.edges) }

func (c *cluster) waitReady(t *testing.T, of ...*process) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), settle)
	defer cancel()
	for _, p := range of {
		if err := p.ready(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func issue(t *testing.T, ca *pki.CA, role pki.Role, name, dir string) *pki.Credentials {
	t.Helper()
	cert, err := ca.Issue(role, name, []string{"127.0.0.1"}, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if dir != "" {
		if err := cert.Write(dir); err != nil {
			t.Fatal(err)
		}
	}
	creds, err := cert.Credentials()
	if err != nil {
		t.Fatal(err)
	}
	return creds
}

func (c *cluster) newKey(t *testing.T, dir string) (publicFile string) {
	t.Helper()
	private, public, err := token.NewKey(token.EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	if c.key, _, err = token.ParsePrivate(private); err != nil {
		t.Fatal(err)
	}
	publicFile = filepath.Join(dir, "tokens.pub")
	if err := os.WriteFile(publicFile, public, 0o600); err != nil {
		t.Fatal(err)
	}
	return publicFile
}

// token lets user do everything in every room for an hour.
func (c *cluster) token(user string) (string, error) {
	claims := token.Claims{Rooms: []token.Grant{{Pattern: "*", Role: "member"}}}
	claims.Subject = user
	claims.IssuedAt = numericDate(time.Now())
	claims.ExpiresAt = numericDate(time.Now().Add(time.Hour))
	return token.Sign(claims, token.EdDSA, c.key, "")
}

// command is an operator's hand, by way of one of the core nodes.
func (c *cluster) command(t *testing.T, core int) operator {
	t.Helper()
	return operator{bin: barrage(t, ""), server: c.addresses[core], dir: c.operatorDir}
}

// ask calls f with a client of the operator service of a core node that
// answers.
func (c *cluster) ask(ctx context.Context, f func(context.Context, rpc.OperatorClient) error) error {
	var errs []error
	for _, address := range c.addresses {
		err := func() error {
			conn, err := grpc.NewClient("passthrough:///"+address,
				grpc.WithTransportCredentials(credentials.NewTLS(c.operator.ClientConfig(pki.Core, "h2"))))
			if err != nil {
				return err
			}
			defer conn.Close()
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			return f(ctx, rpc.NewOperatorClient(conn))
		}()
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// generousPolicy keeps every message of a test: the checker wants to read the
// whole log at the end.
func (c *cluster) generousPolicy(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), settle)
	defer cancel()
	c.eventually(t, ctx, "set the room policy", func() error {
		return c.ask(ctx, func(ctx context.Context, op rpc.OperatorClient) error {
			now, err := op.GetPolicies(ctx, &rpc.StatusRequest{})
			if err != nil {
				return err
			}
			res, err := op.SetPolicies(ctx, &rpc.PutPolicies{Expect: now.GetVersion(), Policies: []*rpc.Policy{{
				Pattern: "*", RetainMessages: 1_000_000, RetainBytes: 1 << 30, RetainAgeMs: 24 * 3600 * 1000,
				PublishRate: 100_000, PublishBurst: 100_000, UserRate: 100_000, UserBurst: 100_000,
			}}})
			if err == nil && res.GetCode() != 0 {
				err = fmt.Errorf("code %d: %s", res.GetCode(), res.GetMessage())
			}
			return err
		})
	})
}

// leaderOf is the index of the core that leads a room's shard.
func (c *cluster) leaderOf(t *testing.T, room string) (leader int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), settle)
	defer cancel()
	c.eventually(t, ctx, "find the leader of "+room, func() error {
		return c.ask(ctx, func(ctx context.Context, op rpc.OperatorClient) error {
			s, err := op.ClusterStatus(ctx, &rpc.StatusRequest{})
			if err != nil {
				return err
			}
			shard, ok := rpc.ShardOf(s.GetState(), room)
			for _, n := range s.GetNodes() {
				leader = slices.IndexFunc(c.cores, func(p *process) bool { return p.name == n.GetNode().GetId() })
				if ok && leader >= 0 && slices.ContainsFunc(n.GetShards(), func(sh *rpc.ShardStatus) bool {
					return sh.GetShard() == shard && sh.GetState() == "leader"
				}) {
					return nil
				}
			}
			return fmt.Errorf("nobody leads shard %d", shard)
		})
	})
	return leader
}

// leader is the index of the core that leads most room shards.
func (c *cluster) leader(t *testing.T) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), settle)
	defer cancel()
	best := -1
	c.eventually(t, ctx, "find a leader", func() error {
		led := make([]int, len(c.cores))
		err := c.ask(ctx, func(ctx context.Context, op rpc.OperatorClient) error {
			s, err := op.ClusterStatus(ctx, &rpc.StatusRequest{})
			if err != nil {
				return err
			}
			for _, n := range s.GetNodes() {
				i := slices.IndexFunc(c.cores, func(p *process) bool { return p.name == n.GetNode().GetId() })
				for _, shard := range n.GetShards() {
					if i >= 0 && shard.GetShard() > 0 && shard.GetState() == "leader" {
						led[i]++
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		best = slices.Index(led, slices.Max(led))
		if led[best] == 0 {
			return errors.New("no core leads a shard")
		}
		return nil
	})
	return best
}

func (c *cluster) eventually(t *testing.T, ctx context.Context, what string, f func() error) {
	t.Helper()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

package core_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/barrage-im/barrage/core"
	"github.com/barrage-im/barrage/core/api"
	"github.com/barrage-im/barrage/protocol/pki"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// A cluster is core nodes in this process, on loopback.
type cluster struct {
	t     testing.TB
	ca    *pki.CA
	dir   string
	nodes []*node
}

type node struct {
	*core.Core
	cfg core.Config
}

const shards = 2

func startCluster(t testing.TB, n int) *cluster {
	t.Helper()
	ca, err := pki.NewCA("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, ca: ca, dir: t.TempDir()}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			if n.Core != nil {
				_ = n.Kill()
			}
		}
	})
	for range n {
		c.add()
	}
	return c
}

func (c *cluster) config(i int) core.Config {
	cfg := core.Default()
	cfg.Node, cfg.Region, cfg.Data = fmt.Sprintf("n%d", i), fmt.Sprintf("r%d", i), filepath.Join(c.dir, fmt.Sprintf("n%d", i))
	cfg.Listen, cfg.Shards, cfg.Heartbeat, cfg.Drain = "127.0.0.1:0", shards, 300*time.Millisecond, 3*time.Second
	cfg.Storage.Cache = 4 << 20
	if i == 1 {
		cfg.Bootstrap = true
	} else {
		cfg.Join = []string{c.nodes[0].cfg.Advertise}
	}
	return cfg
}

// add starts a further node and waits until it is a member.
func (c *cluster) add() *node {
	c.t.Helper()
	n := &node{cfg: c.config(len(c.nodes) + 1)}
	c.nodes = append(c.nodes, n)
	c.start(n)
	c.ready(n)
	return n
}

func (c *cluster) start(n *node) {
	c.t.Helper()
	ln, err := net.Listen("tcp", n.cfg.Listen)
	if err != nil {
		c.t.Fatal(err)
	}
	n.cfg.Listen = ln.Addr().String() // the same after a restart
	n.cfg.Advertise = n.cfg.Listen
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("CORE_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil)).With("at", n.cfg.Node)
	}
	n.Core, err = core.Start(c.t.Context(), n.cfg, core.Options{Credentials: c.credentials(pki.Core, n.cfg.Node), Listener: ln, Log: log})
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) ready(n *node) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	if err := n.WaitReady(ctx); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) credentials(role pki.Role, name string) *pki.Credentials {
	c.t.Helper()
	cert, err := c.ca.Issue(role, name, nil, time.Hour)
	if err != nil {
		c.t.Fatal(err)
	}
	creds, err := cert.Credentials()
	if err != nil {
		c.t.Fatal(err)
	}
	return creds
}

// dial connects to a node as somebody.
func (c *cluster) dial(n *node, role pki.Role, name string) *grpc.ClientConn {
	c.t.Helper()
	conn, err := api.Dial(n.cfg.Advertise, c.credentials(role, name), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (c *cluster) operator(n *node) rpc.OperatorClient {
	return rpc.NewOperatorClient(c.dial(n, pki.Operator, "op"))
}

// leads returns the node that leads a shard, as from itself knows.
func (c *cluster) leads(shard uint32) *node {
	c.t.Helper()
	var found *node
	eventually(c.t, "shard has a leader", func() bool {
		for _, n := range c.nodes {
			if n.Core == nil {
				continue
			}
			st, err := c.operator(n).GetNode(c.t.Context(), &rpc.StatusRequest{})
			if err != nil {
				continue
			}
			for _, s := range st.GetShards() {
				if s.GetShard() == shard && s.GetState() == "leader" {
					found = n
					return true
				}
			}
		}
		return false
	})
	return found
}

// follows returns a running node that does not lead the shard.
func (c *cluster) follows(shard uint32) *node {
	c.t.Helper()
	leader := c.leads(shard)
	for _, n := range c.nodes {
		if n != leader && n.Core != nil {
			return n
		}
	}
	c.t.Fatal("no follower")
	return nil
}

func (n *node) kill(t testing.TB) {
	t.Helper()
	if err := n.Kill(); err != nil {
		t.Fatal(err)
	}
	n.Core = nil
}

// eventually polls until f is true.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		<-tick.C
	}
}

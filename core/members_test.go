package core_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/barrage-im/barrage/core"
	"github.com/barrage-im/barrage/core/replica"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/pki"
	"github.com/barrage-im/barrage/protocol/rpc"
)

func TestANodeThatLostItsDataTakesItsPlaceUnderANewId(t *testing.T) {
	if testing.Short() {
		t.Skip("several nodes, several elections")
	}
	c := startCluster(t, 3)
	e := c.attach(c.nodes[0], 7, 1)
	room := roomOf(t, e.welcome.GetState(), 1, "lobby")
	e.publish(room, "ann", "k1", "kept")
	_ = e.published()
	n := c.nodes[2]
	n.kill(t)
	if err := os.RemoveAll(n.cfg.Data); err != nil {
		t.Fatal(err)
	}
	c.start(n)
	c.ready(n)
	if n.Node() != "n3.2" {
		t.Fatalf("the node came back as %q", n.Node())
	}
	var st *rpc.ClusterStatusResponse
	eventually(t, "its predecessor is gone", func() bool {
		var err error
		st, err = c.operator(n).ClusterStatus(t.Context(), &rpc.StatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, node := range st.GetState().GetNodes() {
			if node.GetId() == "n3" {
				return node.GetRemoved()
			}
		}
		return false
	})
	for _, node := range st.GetNodes() {
		for _, s := range node.GetShards() {
			if voters := fmt.Sprint(s.GetVoters()); voters != "[n1 n2 n3.2]" {
				t.Errorf("%s: shard %d is voted on by %s", node.GetNode().GetId(), s.GetShard(), voters)
			}
		}
	}
	f := c.feed(n, 7)
	f.listen()
	f.subscribe(room, 0, 0, 10)
	if got := f.texts(room, 1, 1); got[0] != "kept" {
		t.Fatalf("the new replica has %q", got)
	}
}

func TestRemovingANodeKeepsAMajority(t *testing.T) {
	if testing.Short() {
		t.Skip("several nodes, several elections")
	}
	c := startCluster(t, 3)
	op := c.operator(c.nodes[0])
	drop := func(id string) protocol.Code {
		t.Helper()
		res, err := op.DropNode(t.Context(), &rpc.RemoveNode{Id: id})
		if err != nil {
			t.Fatal(err)
		}
		return protocol.Code(res.GetCode())
	}
	if code := drop("nobody"); code != protocol.NotFound {
		t.Fatalf("drop nobody: %v", code)
	}
	c.nodes[2].kill(t)
	if code := drop("n2"); code != protocol.Forbidden {
		t.Fatalf("n2 was dropped while n3 was down: %v", code)
	}
	if code := drop("n3"); code != protocol.OK {
		t.Fatalf("drop the dead one: %v", code)
	}
	leader := c.leads(1)
	op = c.operator(leader) // which is to have another node do it
	if code := drop(leader.Node()); code != protocol.OK {
		t.Fatalf("drop a leader: %v", code)
	}
	rest := c.nodes[0]
	if leader == rest {
		rest = c.nodes[1]
	}
	e := c.attach(rest, 9, 1)
	e.publish(roomOf(t, e.welcome.GetState(), 1, "lobby"), "ann", "k", "alone")
	if r := e.published(); r[0].GetSeq() != 1 {
		t.Fatalf("the last node: %v", r[0])
	}
	op = c.operator(rest)
	if code := drop(rest.Node()); code != protocol.Forbidden {
		t.Fatalf("the last node was dropped: %v", code)
	}
	audit, err := op.Audit(t.Context(), &rpc.AuditRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(fmt.Sprint(audit.GetRecords()), "spiffe://barrage/test/operator/op") {
		t.Fatalf("the audit log does not name the operator: %v", audit.GetRecords())
	}
}

func TestDataOfAnotherClusterIsRefused(t *testing.T) { // B76
	if testing.Short() {
		t.Skip("several nodes, several elections")
	}
	c, other := startCluster(t, 1), startCluster(t, 1)
	stray := &node{cfg: c.config(2)}
	c.nodes = append(c.nodes, stray)
	c.start(stray)
	c.ready(stray)
	stray.kill(t)
	// The same directory, pointed at another cluster by mistake; its own is gone.
	c.nodes[0].kill(t)
	stray.cfg.Join = []string{other.nodes[0].cfg.Advertise}
	stray.cfg.Region = "moved" // so that it has to join again
	other.nodes = append(other.nodes, stray)
	other.start(stray)
	select {
	case err := <-stray.Failed():
		if !errors.Is(err, replica.ErrOtherCluster) {
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the node did not notice that the cluster is another one")
	}
	if state, _ := other.nodes[0].State(); len(state.GetNodes()) != 1 {
		t.Fatalf("the stray node got into the other cluster: %v", state.GetNodes())
	}
}

func TestTwoProcessesOnOneDirectoryAreRefused(t *testing.T) { // B76
	c := startCluster(t, 1)
	cfg := c.nodes[0].cfg
	cfg.Listen, cfg.Advertise = "127.0.0.1:0", ""
	second, err := core.Start(t.Context(), cfg, core.Options{Credentials: c.credentials(pki.Core, "n1")})
	if !errors.Is(err, replica.ErrLocked) {
		t.Fatalf("second process: %v, %v", second, err)
	}
}

func TestPoliciesReachTheRooms(t *testing.T) {
	c := startCluster(t, 2)
	op := c.operator(c.nodes[1])
	e := c.attach(c.nodes[1], 7, 1)
	room := roomOf(t, e.welcome.GetState(), 1, "lobby")
	e.publish(room, "ann", "k", "hi")
	_ = e.published()
	set := func(expect uint64) protocol.Code {
		t.Helper()
		res, err := op.SetPolicies(t.Context(), &rpc.PutPolicies{Expect: expect, Policies: []*rpc.Policy{{Pattern: "*", RetainMessages: 3}}})
		if err != nil {
			t.Fatal(err)
		}
		return protocol.Code(res.GetCode())
	}
	if code := set(0); code != protocol.OK {
		t.Fatal(code)
	}
	if code := set(0); code != protocol.EpochChanged {
		t.Fatalf("a stale change got %v", code)
	}
	eventually(t, "the room has the policy", func() bool {
		d, err := op.ShowRoom(t.Context(), &rpc.HeadRequest{Room: room})
		if err != nil {
			t.Fatal(err)
		}
		return d.GetPolicy().GetRetainMessages() == 3
	})
	list, err := op.ListRooms(t.Context(), &rpc.ListRoomsRequest{Pattern: "lobby*"})
	if err != nil || len(list.GetRooms()) != 1 || list.GetRooms()[0].GetSurvive() != "zone" || list.GetRooms()[0].GetRecoveryTimeMs() == 0 {
		t.Fatalf("list: %v, %v", list, err)
	}
}

func TestCommandsAskTheCluster(t *testing.T) {
	c := startCluster(t, 2)
	dir := t.TempDir()
	cert, err := c.ca.Issue(pki.Operator, "op", nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := cert.Write(dir); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		var out bytes.Buffer
		args = append(args, "--server", c.nodes[0].cfg.Advertise, "--tls", dir)
		if err := core.Command(t.Context(), args, &out, &out); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return out.String()
	}
	leader := c.leads(2)
	to := c.follows(2).Node()
	if out := run("transfer", "2", to); !strings.Contains(out, "another leader") {
		t.Fatal(out)
	}
	eventually(t, "the leader has changed", func() bool { return c.leads(2) != leader })
	out := run("status")
	for _, want := range []string{"n1", "n2", "r2", "control", "SHARD"} {
		if !strings.Contains(out, want) {
			t.Errorf("status does not say %q:\n%s", want, out)
		}
	}
	if out := run("status", "-o", "json"); !strings.Contains(out, `"unreachable"`) {
		t.Fatal(out)
	}
	if out := run("join-info"); !strings.Contains(out, c.nodes[1].cfg.Advertise) {
		t.Fatal(out)
	}
	if out := run("remove", "n2"); !strings.Contains(out, "n2 is out") {
		t.Fatal(out)
	}
}

func TestANodeThatLeavesInOrderCostsNoElection(t *testing.T) {
	c := startCluster(t, 3)
	leader := c.leads(1)
	began := time.Now()
	if err := leader.Close(); err != nil {
		t.Fatal(err)
	}
	leader.Core = nil
	if took := time.Since(began); took > leader.cfg.Drain+2*time.Second {
		t.Fatalf("closing took %s", took)
	}
	st, err := c.operator(c.follows(1)).GetNode(t.Context(), &rpc.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range st.GetShards() {
		if s.GetLeader() == "" || s.GetLeader() == leader.cfg.Node {
			t.Errorf("shard %d is led by %q", s.GetShard(), s.GetLeader())
		}
	}
}

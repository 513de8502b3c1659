package control_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/core/control"
	"github.com/barrage-im/barrage/core/machine"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// replica is a control state with its store.
type replica struct {
	*control.Control
	store machine.Memory
	index uint64
}

func newReplica() *replica { return &replica{Control: control.New()} }

func (r *replica) applyEntry(entry []byte) (*control.Effects, error) {
	r.index++
	effects, err := r.Apply(r.index, entry, &r.store)
	if err != nil {
		return nil, err
	}
	return effects.(*control.Effects), nil
}

// must applies commands as one entry.
func (r *replica) must(t *testing.T, timeMS int64, commands ...*rpc.ControlCommand) *control.Effects {
	t.Helper()
	entry, err := control.AppendEntry(nil, timeMS, commands...)
	if err != nil {
		t.Fatal(err)
	}
	effects, err := r.applyEntry(entry)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Check(); err != nil {
		t.Fatal(err)
	}
	return effects
}

func initCluster() *rpc.ControlCommand {
	return &rpc.ControlCommand{Actor: "ann", Op: &rpc.ControlCommand_Init{Init: &rpc.Init{Cluster: "c1", Placements: []*rpc.Placement{
		{Name: "default", Shards: []uint32{1, 2, 3}, Survive: "region"}, {Name: "eu", Shards: []uint32{4}, Survive: "zone", Home: "eu"},
	}}}}
}

func putNode(n *rpc.Node) *rpc.ControlCommand {
	return &rpc.ControlCommand{Actor: "ann", Op: &rpc.ControlCommand_PutNode{PutNode: &rpc.PutNode{Node: n}}}
}

func removeNode(id string) *rpc.ControlCommand {
	return &rpc.ControlCommand{Actor: "ann", Op: &rpc.ControlCommand_RemoveNode{RemoveNode: &rpc.RemoveNode{Id: id}}}
}

func putPolicies(expect uint64, table ...*rpc.Policy) *rpc.ControlCommand {
	return &rpc.ControlCommand{Actor: "bob", Op: &rpc.ControlCommand_PutPolicies{PutPolicies: &rpc.PutPolicies{Expect: expect, Policies: table}}}
}

func putEdge(incarnation uint64, sessions uint32, draining bool) *rpc.ControlCommand {
	return &rpc.ControlCommand{Op: &rpc.ControlCommand_PutEdge{PutEdge: &rpc.PutEdge{Edge: &rpc.Edge{
		Incarnation: incarnation, Name: fmt.Sprintf("edge-%d", incarnation), Region: "eu", TtlMs: 5000,
		Endpoints: []string{"ws://127.0.0.1:1"}, Sessions: sessions, Draining: draining,
	}}}}
}

func removeEdge(incarnation uint64) *rpc.ControlCommand {
	return &rpc.ControlCommand{Op: &rpc.ControlCommand_RemoveEdge{RemoveEdge: &rpc.RemoveEdge{Incarnation: incarnation}}}
}

func tick() *rpc.ControlCommand { return &rpc.ControlCommand{Op: &rpc.ControlCommand_Tick{}} }

func node(id string) *rpc.Node {
	return &rpc.Node{Id: id, Address: "127.0.0.1:7000", Region: "eu", Voter: true, Version: "1"}
}

func codes(e *control.Effects) string {
	var out []string
	for _, r := range e.Results {
		out = append(out, protocol.Code(r.Code).Name())
	}
	return strings.Join(out, " ")
}

func TestAClusterIsInitialisedOnce(t *testing.T) {
	r := newReplica()
	bad := func(p ...*rpc.Placement) *rpc.ControlCommand {
		return &rpc.ControlCommand{Op: &rpc.ControlCommand_Init{Init: &rpc.Init{Cluster: "c", Placements: p}}}
	}
	e := r.must(t, 1000,
		putNode(node("n1")), putEdge(1, 0, false), putPolicies(0), tick(),
		bad(), bad(&rpc.Placement{Name: "a", Survive: "region"}), bad(&rpc.Placement{Name: "a", Survive: "moon", Shards: []uint32{1}}),
		bad(&rpc.Placement{Name: "a", Survive: "zone", Shards: []uint32{0}}),
		bad(&rpc.Placement{Name: "a", Survive: "zone", Shards: []uint32{1}}, &rpc.Placement{Name: "b", Survive: "zone", Shards: []uint32{1}}))
	want := "unavailable unavailable unavailable ok" + strings.Repeat(" bad_argument", 5)
	if got := codes(e); got != want || e.Changed || r.State().Version != 0 {
		t.Fatalf("before init: %s, changed %t; want %s and no change", got, e.Changed, want)
	}
	e = r.must(t, 1000, initCluster(), initCluster(), putNode(node("n1")))
	if got := codes(e); got != "ok bad_argument ok" || !e.Changed {
		t.Errorf("init: %s", got)
	}
	if s := r.State(); s.Cluster != "c1" || len(s.Placements) != 2 || len(s.Nodes) != 1 || s.Version != 1 {
		t.Errorf("state %v", s)
	}
}

func TestNodeIDsAreNeverReused(t *testing.T) {
	r := newReplica()
	r.must(t, 1000, initCluster(), putNode(node("n1")), putNode(node("n2")))
	e := r.must(t, 1000, removeNode("n1"), removeNode("n1"), putNode(node("n1")), removeNode("n9"), putNode(&rpc.Node{Id: "n3"}))
	if got := codes(e); got != "ok ok forbidden not_found bad_argument" {
		t.Errorf("results %s", got)
	}
	if err := r.Load(&r.store); err != nil {
		t.Fatal(err)
	}
	if e := r.must(t, 1000, putNode(node("n1"))); codes(e) != "forbidden" {
		t.Errorf("after a restart: %s", codes(e))
	}
	if n := r.State().Nodes; len(n) != 2 || !n[0].Removed || n[1].Removed {
		t.Errorf("nodes %v", n)
	}
	before := r.State()
	if e := r.must(t, 1000, putNode(node("n2"))); e.Changed || r.State().Version != before.Version {
		t.Error("putting the same node again changed the state")
	}
}

func TestPoliciesAreSwappedOnlyByWhoReadThem(t *testing.T) {
	r := newReplica()
	r.must(t, 1000, initCluster())
	ok := &rpc.Policy{Pattern: "eu-*", Placement: "eu", Verbs: []string{"join"}}
	e := r.must(t, 1000, putPolicies(1, ok), putPolicies(0, ok), putPolicies(0, ok), putPolicies(1))
	if got := codes(e); got != "epoch_changed ok epoch_changed ok" || e.Results[3].Version != 2 {
		t.Errorf("results %s, version %d", got, e.Results[3].Version)
	}
	for name, p := range map[string][]*rpc.Policy{
		"empty pattern":     {{}},
		"unknown placement": {{Pattern: "a", Placement: "moon"}},
		"twice":             {{Pattern: "a"}, {Pattern: "a"}},
		"unknown verb":      {{Pattern: "a", Verbs: []string{"fly"}}},
		"too large":         {{Pattern: "a", MessageBytes: protocol.MaxMessage + 1}},
		"too many":          make([]*rpc.Policy, rpc.MaxPolicies+1),
	} {
		for i := range p {
			if p[i] == nil {
				p[i] = &rpc.Policy{Pattern: fmt.Sprint(i)}
			}
		}
		e := r.must(t, 1000, putPolicies(2, p...))
		if codes(e) != "bad_argument" || e.Results[0].Message == "" || r.State().Policies.Version != 2 {
			t.Errorf("%s: %v", name, e.Results[0])
		}
	}
}

func TestEdgesAreThereAsLongAsTheirLease(t *testing.T) {
	r := newReplica()
	r.must(t, 1000, initCluster())
	if e := r.must(t, 1000, putEdge(7, 1, false)); !e.Changed || r.Due() != 6001 {
		t.Fatalf("changed %t, due %d; want a change and 6001", e.Changed, r.Due())
	}
	version, audited := r.State().Version, len(r.Audit(0, 0))
	if e := r.must(t, 4000, putEdge(7, 2, false)); e.Changed || r.State().Version != version || len(r.Audit(0, 0)) != audited {
		t.Error("a renewed lease counts as a change")
	}
	if got := r.State().Edges[0].Sessions; got != 2 {
		t.Errorf("%d sessions, want those of the renewal", got)
	}
	if e := r.must(t, 5000, putEdge(7, 2, true)); !e.Changed || !r.State().Edges[0].Draining {
		t.Error("draining was not told")
	}
	if err := r.Load(&r.store); err != nil {
		t.Fatal(err)
	}
	r.must(t, 10_000, tick())
	if len(r.State().Edges) != 1 {
		t.Fatal("the edge is gone before its lease ended")
	}
	if e := r.must(t, 10_001, tick()); !e.Changed || len(r.State().Edges) != 0 || r.Due() != 0 {
		t.Errorf("edges %v, due %d after the lease ended", r.State().Edges, r.Due())
	}
	r.must(t, 10_001, putEdge(8, 0, false))
	if e := r.must(t, 10_001, removeEdge(8), removeEdge(8)); codes(e) != "ok ok" || len(r.State().Edges) != 0 {
		t.Errorf("remove: %s", codes(e))
	}
	if e := r.must(t, 10_001, putEdge(0, 0, false)); codes(e) != "bad_argument" {
		t.Errorf("an edge without incarnation: %s", codes(e))
	}
}

func TestASnapshotOfTheStateNeverChanges(t *testing.T) {
	r := newReplica()
	r.must(t, 1000, initCluster(), putNode(node("n1")), putEdge(7, 1, false))
	snapshot := r.State()
	before := proto.Clone(snapshot)
	r.must(t, 2000, removeNode("n1"), putNode(node("n0")), putEdge(7, 9, true), putEdge(3, 0, false), putPolicies(0, &rpc.Policy{Pattern: "*"}))
	r.must(t, 9000, tick())
	if !proto.Equal(snapshot, before) {
		t.Errorf("a snapshot changed:\n%v\n%v", before, snapshot)
	}
}

func TestTheAuditLogSaysWhoDidWhat(t *testing.T) {
	r := newReplica()
	r.SetMaxAudit(3)
	r.must(t, 1000, initCluster())
	r.must(t, 2000, putNode(node("n1")), putPolicies(0, &rpc.Policy{Pattern: "a*"}), removeNode("n1"))
	var got []string
	for _, a := range r.Audit(0, 0) {
		got = append(got, fmt.Sprintf("%d %d %s %s: %s", a.Index, a.TimeMs, a.Actor, a.Action, a.Detail))
	}
	want := "2 2000 ann put_node: n1 at 127.0.0.1:7000 in eu, voter, version 1\n3 2000 bob put_policies: version 1: a*\n4 2000 ann remove_node: n1"
	if strings.Join(got, "\n") != want {
		t.Errorf("audit log:\n%s\nwant:\n%s", strings.Join(got, "\n"), want)
	}
	if page := r.Audit(2, 1); len(page) != 1 || page[0].Index != 3 {
		t.Errorf("page behind 2: %v", page)
	}
	if page := r.Audit(4, 1); len(page) != 0 {
		t.Errorf("page behind the end: %v", page)
	}
}

func TestEntriesOfAnotherSchemaStopTheReplica(t *testing.T) {
	sound, err := control.AppendEntry(nil, 1000, initCluster())
	if err != nil {
		t.Fatal(err)
	}
	damaged := append([]byte(nil), sound...)
	damaged[9] ^= 1
	frame := func(content ...byte) []byte {
		return machine.CloseFrame(append(machine.AppendFrame(nil), content...), 0)
	}
	for name, c := range map[string]struct {
		entry []byte
		want  error
	}{
		"format":        {append([]byte{9}, sound[1:]...), machine.ErrNewer},
		"entry field":   {frame(0x1a, 0x00), machine.ErrNewer},
		"command":       {frame(0x12, 0x03, 0xa2, 0x06, 0x00), machine.ErrNewer},
		"damaged":       {damaged, machine.ErrCorrupt},
		"no such bytes": {frame(0x12, 0x05), machine.ErrCorrupt},
	} {
		r := newReplica()
		if _, err := r.applyEntry(c.entry); !errors.Is(err, c.want) || r.store.Len() > 0 {
			t.Errorf("%s: Apply says %v and left %d keys, want %v", name, err, r.store.Len(), c.want)
		}
	}
}

func TestCommandsOfANewerVersionAreKnownAsSuch(t *testing.T) {
	newer := &rpc.ControlCommand{}
	if err := proto.Unmarshal([]byte{0xa2, 0x06, 0x00}, newer); err != nil {
		t.Fatal(err)
	}
	if control.Known(newer) || !control.Known(tick()) {
		t.Error("Known does not tell a newer command from one of ours")
	}
}

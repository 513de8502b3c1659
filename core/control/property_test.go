package control_test

import (
	"errors"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/barrage-im/barrage/core/control"
	"github.com/barrage-im/barrage/core/machine"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// TestRandomLogs: a replica that is loaded anew now and then does and stores
// the same as one that runs through, and versions tell every change.
func TestRandomLogs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := newReplica(), newReplica()
		a.SetMaxAudit(5)
		b.SetMaxAudit(5)
		a.SetChunk(4)
		b.SetChunk(4)
		removed := map[string]bool{}
		now := int64(0)
		for n := range rapid.IntRange(1, 40).Draw(t, "entries") {
			now += rapid.SampledFrom([]int64{0, 0, 1, 900, 3000, 6000, control.UploadTTL}).Draw(t, "passes")
			var commands []*rpc.ControlCommand
			if n == 0 {
				commands = append(commands, initCluster())
			}
			for range rapid.IntRange(0, 4).Draw(t, "commands") {
				commands = append(commands, drawCommand(t))
			}
			entry, err := control.AppendEntry(nil, now, commands...)
			if err != nil {
				t.Fatal(err)
			}
			if rapid.IntRange(0, 3).Draw(t, "restart") == 0 {
				if err := b.Load(&b.store); err != nil {
					t.Fatalf("load: %v", err)
				}
			}
			before := a.State()
			ea, err := a.applyEntry(entry)
			if err != nil {
				t.Fatal(err)
			}
			eb, err := b.applyEntry(entry)
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(ea.Changed, codes(ea)) != fmt.Sprint(eb.Changed, codes(eb)) || !proto.Equal(a.State(), b.State()) {
				t.Fatalf("replicas differ: %v and %v", a.State(), b.State())
			}
			if key := a.store.Diff(&b.store); key != nil {
				t.Fatalf("stores differ at %q", key)
			}
			for _, r := range []*replica{a, b} {
				if err := errors.Join(r.Check(), r.CheckStore(&r.store)); err != nil {
					t.Fatal(err)
				}
			}
			if ea.Changed != (a.State().Version > before.Version) || !ea.Changed && !sameButSessions(before, a.State()) {
				t.Fatalf("changed %t from\n%v to\n%v", ea.Changed, before, a.State())
			}
			for _, n := range a.State().Nodes {
				if removed[n.Id] && !n.Removed {
					t.Fatalf("node %s is back", n.Id)
				}
				removed[n.Id] = n.Removed
			}
		}
	})
}

func drawCommand(t *rapid.T) *rpc.ControlCommand {
	id := rapid.SampledFrom([]string{"n1", "n2", "n3"}).Draw(t, "node")
	incarnation := uint64(rapid.IntRange(0, 3).Draw(t, "edge"))
	switch rapid.IntRange(0, 14).Draw(t, "op") {
	case 0:
		n := node(id)
		n.Version = rapid.SampledFrom([]string{"1", "2"}).Draw(t, "version")
		return putNode(n)
	case 1:
		return removeNode(id)
	case 2:
		return putPolicies(uint64(rapid.IntRange(0, 3).Draw(t, "expect")),
			&rpc.Policy{Pattern: rapid.SampledFrom([]string{"", "a", "b*"}).Draw(t, "pattern")})
	case 3:
		e := putEdge(incarnation, 0, false)
		e.GetPutEdge().Edge.Region = "us"
		e.GetPutEdge().Edge.Filters = []*rpc.FilterReport{{Name: "a", Version: uint64(rapid.IntRange(0, 2).Draw(t, "runs"))}}
		return e
	case 4:
		return putEdge(incarnation, uint32(rapid.IntRange(0, 2).Draw(t, "sessions")), rapid.Bool().Draw(t, "draining"))
	case 5:
		return removeEdge(incarnation)
	case 6:
		return &rpc.ControlCommand{Actor: "nobody"}
	case 7:
		return removeFilter(rapid.SampledFrom([]string{"a", "b", ""}).Draw(t, "set"))
	case 8, 9, 10:
		b := rapid.SampledFrom(drawn).Draw(t, "bundle")
		return putChunk(b, 4*rapid.IntRange(0, 3).Draw(t, "chunk"), 4)
	case 11, 12, 13:
		return putFilter(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "set"), rapid.SampledFrom(drawn).Draw(t, "bundle"),
			uint64(rapid.IntRange(1, 4).Draw(t, "version")), rapid.SampledFrom([]string{"enforce", "report"}).Draw(t, "mode"),
			rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"eu", "us"}), 0, 2, rapid.ID).Draw(t, "regions")...)
	default:
		return tick()
	}
}

// drawn are bundles of one to three chunks.
var drawn = []string{"abc", "abcdefgh", "abcdefghi"}

func sameButSessions(a, b *rpc.ControlState) bool {
	a, b = proto.Clone(a).(*rpc.ControlState), proto.Clone(b).(*rpc.ControlState)
	for _, s := range []*rpc.ControlState{a, b} {
		for _, e := range s.Edges {
			e.Sessions = 0
		}
	}
	return proto.Equal(a, b)
}

// FuzzApply: whatever an entry holds, an error changes nothing and what was
// stored can be loaded.
func FuzzApply(f *testing.F) {
	for _, c := range []*rpc.ControlCommand{
		initCluster(), putNode(node("n1")), removeNode("n0"), putPolicies(0, &rpc.Policy{Pattern: "*"}), putEdge(1, 1, false), removeEdge(7), tick(),
		{},
		putChunk("abc", 0, control.MaxChunk), putFilter("a", "def", 1, "report"), putFilter("b", "def", 2, "enforce", "eu"), removeFilter("b"),
	} {
		content, err := proto.Marshal(&rpc.ControlEntry{TimeMs: 2000, Commands: []*rpc.ControlCommand{c}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		r := newReplica()
		r.must(t, 1000, initCluster(), putNode(node("n0")), putEdge(7, 1, false), putChunk("def", 0, control.MaxChunk), putFilter("b", "def", 1, "report"))
		before := r.store.Clone()
		_, err := r.applyEntry(machine.CloseFrame(append(machine.AppendFrame(nil), content...), 0))
		if err != nil && (!before.Same(&r.store) || !errors.Is(err, machine.ErrNewer) && !errors.Is(err, machine.ErrCorrupt)) {
			t.Fatalf("refused with %v", err)
		}
		if err := errors.Join(r.Check(), r.CheckStore(&r.store)); err != nil {
			t.Fatal(err)
		}
		if err := control.New().Load(&r.store); err != nil {
			t.Fatal(err)
		}
	})
}

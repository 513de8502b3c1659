package edgenode

import (
	"testing"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/wire"
)

func TestResumeAheadOfThisReplicaWaitsForIt(t *testing.T) {
	core := startCore(t)
	core.Append("lobby", texts(3)...)
	e := startEdge(t, core)
	epoch := enter(t, e, "tcp", "first").join("lobby").GetEpoch()
	core.Lag(true)
	core.Append("lobby", "four", "five")
	c := enter(t, e, "ws-json", "moved") // has seen 5 in another region
	if j := c.join("lobby", since(epoch, 5)); !j.GetRecovered() || j.GetHead() != 5 || len(j.GetMessages()) != 0 {
		t.Fatalf("joined %v", j)
	}
	core.Append("lobby", "six")
	core.Lag(false)
	c.expect("lobby", 6, 6)
}

func TestWhatHistoryLostWhileCoreWasAwayIsAGap(t *testing.T) {
	core := startCore(t)
	e := startEdge(t, core)
	c := enter(t, e, "ws-proto", "ann")
	c.join("lobby")
	core.Append("lobby", texts(3)...)
	c.expect("lobby", 1, 3)
	core.Stop()
	core.Append("lobby", texts(97)...)
	core.Trim("lobby", 90)
	if err := core.Start(); err != nil {
		t.Fatal(err)
	}
	g := c.wait("gap", func(f *wire.ServerFrame) bool { return f.GetGap() != nil }).GetGap()
	if g.GetFirst() != 4 || g.GetLast() != 89 || g.GetReason() != "trimmed" {
		t.Errorf("gap %v", g)
	}
	eventually(t, "the rest comes", func() bool { seqs, _, _ := c.log("lobby"); return seqs[len(seqs)-1] == 100 })
	if seqs, _, _ := c.log("lobby"); len(seqs) != 3+11 || seqs[3] != 90 {
		t.Errorf("got %v", seqs)
	}
}

func TestEmptyRoomIsLetGoAfterItsLinger(t *testing.T) {
	t.Parallel()
	core := startCore(t)
	e := startEdge(t, core, func(c *Config) { c.Tails.Linger = time.Millisecond })
	c := enter(t, e, "tcp", "ann")
	c.join("lobby")
	_ = c.conn.Close()
	eventually(t, "room is dropped", func() bool { return e.hub.Room("lobby") == nil })
	core.Append("lobby", "unheard")
	d := enter(t, e, "tcp", "ben")
	if j := d.join("lobby", func(j *wire.Join) { j.Recent = 5 }); len(j.GetMessages()) != 1 {
		t.Errorf("joined %v", j)
	}
}

func TestJoinWithoutCoreIsRefusedForNow(t *testing.T) {
	t.Parallel()
	core := startCore(t)
	e := startEdge(t, core, func(c *Config) { c.Tails.JoinTimeout = 50 * time.Millisecond })
	c := enter(t, e, "ws-json", "ann")
	core.Stop()
	eventually(t, "edge notices", func() bool { return e.Ready() != nil })
	f := c.call(&wire.ClientFrame{Command: &wire.ClientFrame_Join{Join: &wire.Join{Room: "lobby"}}})
	refused(t, f, protocol.Unavailable)
	if !f.GetError().GetTemporary() || f.GetError().GetRetryAfterMs() == 0 {
		t.Errorf("refused with %v", f)
	}
	if err := core.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "edge is back", func() bool { return e.Ready() == nil })
	c.join("lobby")
}

func TestHistoryAndMembersPages(t *testing.T) {
	core := startCore(t)
	core.Append("lobby", texts(30)...)
	e := startEdge(t, core, func(c *Config) { c.Limits.ReadRate, c.Limits.ReadBurst = 1, 4 })
	c := enter(t, e, "ws-json", "ann")
	epoch := c.join("lobby").GetEpoch()
	history := func(h *wire.History) *wire.ServerFrame {
		h.Room = "lobby"
		return c.call(&wire.ClientFrame{Command: &wire.ClientFrame_History{History: h}})
	}
	m := history(&wire.History{From: 11, Limit: 5, Epoch: epoch}).GetMessages()
	if len(m.GetMessages()) != 5 || m.GetMessages()[0].GetSeq() != 11 || !m.GetMore() || m.GetHead() != 30 {
		t.Errorf("page %v", m)
	}
	refused(t, history(&wire.History{From: 1, Epoch: "zz"}), protocol.EpochChanged)
	core.Trim("lobby", 20)
	f := history(&wire.History{From: 1})
	refused(t, f, protocol.Trimmed)
	if f.GetError().GetFirst() != 20 || f.GetError().GetHead() != 30 {
		t.Errorf("trimmed: %v", f)
	}
	eventually(t, "the member is stated", func() bool { n, _ := core.Members("lobby"); return n == 1 })
	members := c.call(&wire.ClientFrame{Command: &wire.ClientFrame_Members{Members: &wire.Members{Room: "lobby"}}}).GetMembers()
	if members.GetTotal() != 1 || members.GetMembers()[0].GetUser() != "ann" || members.GetMembers()[0].GetName() != "ann" {
		t.Errorf("members %v", members)
	}
	refused(t, history(&wire.History{From: 20}), protocol.RateLimited)
}

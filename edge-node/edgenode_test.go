package edgenode

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
	"github.com/barrage-im/barrage/protocol/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMessagesReachMembersOfEveryFormat(t *testing.T) {
	e := startEdge(t, startCore(t))
	var members []*peer
	for format := range formats {
		c := enter(t, e, format, "member-"+format)
		c.join("lobby")
		members = append(members, c)
	}
	for i := range 5 {
		f := members[i%len(members)].call(publish("lobby", fmt.Sprint("k", i), fmt.Sprint("hello ", i)))
		if p := f.GetPublished(); p.GetSeq() != uint64(i+1) || p.GetSurvive() != "zone" || p.GetEpoch() == "" {
			t.Fatalf("publish %d: %v", i, f)
		}
	}
	for _, c := range members {
		c.expect("lobby", 1, 5)
		if _, texts, _ := c.log("lobby"); texts[4] != "hello 4" {
			t.Errorf("got %q", texts)
		}
	}
}

func TestRetryUnderItsKeyIsTheSameMessage(t *testing.T) {
	core := startCore(t)
	c := enter(t, startEdge(t, core), "tcp", "ann")
	first := c.call(publish("lobby", "k", "once")).GetPublished()
	again := c.call(publish("lobby", "k", "once")).GetPublished()
	if first.GetSeq() != again.GetSeq() || !again.GetDuplicate() || len(core.Texts("lobby")) != 1 {
		t.Fatalf("first %v, again %v, log %v", first, again, core.Texts("lobby"))
	}
}

func TestResumeFromTheTailDoesNotAskCore(t *testing.T) {
	core := startCore(t)
	e := startEdge(t, core)
	stays := enter(t, e, "tcp", "stays")
	epoch := stays.join("lobby").GetEpoch()
	core.Append("lobby", texts(20)...)
	stays.expect("lobby", 1, 20)
	reads, heads := core.Reads()

	c := enter(t, e, "ws-json", "back")
	j := c.join("lobby", since(epoch, 7))
	if !j.GetRecovered() || j.GetGap() != nil || j.GetHead() != 20 {
		t.Fatalf("joined %v", j)
	}
	c.expect("lobby", 8, 20)
	if r, h := core.Reads(); r != reads || h != heads {
		t.Errorf("core was asked for %d pages and %d heads", r-reads, h-heads)
	}
}

func TestResumeOlderThanTheTailReadsHistory(t *testing.T) {
	core := startCore(t)
	core.Append("lobby", texts(3000)...)
	e := startEdge(t, core)
	epoch := enter(t, e, "tcp", "first").join("lobby").GetEpoch()
	c := enter(t, e, "ws-proto", "back")
	if j := c.join("lobby", since(epoch, 10)); !j.GetRecovered() {
		t.Fatalf("joined %v", j)
	}
	c.expect("lobby", 11, 3000)
	core.Append("lobby", "live")
	c.expect("lobby", 11, 3001)
}

func TestResumeBeyondRetentionNamesTheGap(t *testing.T) {
	core := startCore(t)
	core.Append("lobby", texts(1000)...)
	core.Trim("lobby", 500)
	e := startEdge(t, core)
	epoch := enter(t, e, "tcp", "first").join("lobby").GetEpoch()
	c := enter(t, e, "ws-json", "back")
	j := c.join("lobby", since(epoch, 10))
	if g := j.GetGap(); j.GetRecovered() || g.GetFirst() != 11 || g.GetLast() != 499 || g.GetReason() != "trimmed" {
		t.Fatalf("joined %v", j)
	}
	c.expect("lobby", 500, 1000)
}

func TestResumeOfAnotherEpochIsTold(t *testing.T) {
	core := startCore(t)
	core.Append("lobby", "a", "b")
	e := startEdge(t, core)
	c := enter(t, e, "tcp", "back")
	j := c.join("lobby", since("zz", 40), func(j *wire.Join) { j.Recent = 1 })
	if j.GetRecovered() || j.GetGap().GetReason() != "epoch" || j.GetHead() != 2 || len(j.GetMessages()) != 1 {
		t.Fatalf("joined %v", j)
	}
}

func TestResumeAheadAsksForTheTrueHead(t *testing.T) {
	core := startCore(t)
	core.Append("lobby", texts(3)...)
	e := startEdge(t, core)
	c := enter(t, e, "tcp", "ahead")
	epoch := c.join("lobby").GetEpoch()
	other := enter(t, e, "tcp", "liar")
	f := other.call(&wire.ClientFrame{Command: &wire.ClientFrame_Join{Join: &wire.Join{Room: "lobby", Epoch: epoch, Since: ptr(uint64(99))}}})
	if err := f.GetError(); protocol.Code(err.GetCode()) != protocol.Future || err.GetHead() != 3 {
		t.Fatalf("join beyond the head: %v", f)
	}
	if _, heads := core.Reads(); heads != 1 {
		t.Errorf("core was asked for %d heads", heads)
	}
	other.join("lobby") // the seat was given back
}

func TestJoinWithRecentMessages(t *testing.T) {
	core := startCore(t)
	core.Append("lobby", texts(50)...)
	c := enter(t, startEdge(t, core), "ws-json", "new")
	if j := c.join("lobby", func(j *wire.Join) { j.Recent = 10 }); len(j.GetMessages()) != 10 || j.GetHead() != 50 {
		t.Fatalf("joined %v", j)
	}
	core.Append("lobby", "next")
	c.expect("lobby", 41, 51)
}

func TestNewEpochUnderMembers(t *testing.T) {
	core := startCore(t)
	e := startEdge(t, core)
	c := enter(t, e, "tcp", "ann")
	c.join("lobby")
	core.Append("lobby", "old")
	c.expect("lobby", 1, 1)
	core.Renew("lobby")
	core.Append("lobby", "new")
	c.wait("gap of the epoch", func(f *wire.ServerFrame) bool { return f.GetGap().GetReason() == "epoch" })
	c.wait("message of the new epoch", func(f *wire.ServerFrame) bool {
		return len(f.GetBatch().GetMessages()) == 1 && f.GetBatch().GetMessages()[0].GetText() == "new"
	})
}

func TestSlowReaderIsBroughtOnWithoutGapAndSlowsNobody(t *testing.T) {
	t.Parallel()
	core := startCore(t)
	e := startEdge(t, core, func(c *Config) { c.Tails.TailBytes, c.WriteStall = 64<<10, time.Minute })
	slow, fast := enter(t, e, "tcp", "slow"), enter(t, e, "ws-proto", "fast")
	slow.join("lobby")
	fast.join("lobby")
	slow.pause()
	long := strings.Repeat("x", 4000)
	head := uint64(0)
	for range 50 { // 10 MB: more than any socket buffer holds
		head = core.Append("lobby", many(long, 50)...)
		fast.expect("lobby", 1, head)
	}
	slow.goOn()
	slow.expect("lobby", 1, head)
	if r, _ := core.Reads(); r == 0 {
		t.Error("the slow reader never fell behind the tail")
	}
}

func TestStuckReaderIsClosed(t *testing.T) {
	t.Parallel()
	core := startCore(t)
	e := startEdge(t, core, func(c *Config) { c.WriteStall = 200 * time.Millisecond })
	stuck := enter(t, e, "tcp", "stuck")
	stuck.join("lobby")
	stuck.pause()
	long := strings.Repeat("x", 4000)
	eventually(t, "stuck reader is gone", func() bool {
		core.Append("lobby", many(long, 200)...)
		return e.Sessions() == 0
	})
	stuck.goOn()
}

func TestTooFarBehindIsAGap(t *testing.T) {
	core := startCore(t)
	core.Append("lobby", texts(2000)...)
	e := startEdge(t, core, func(c *Config) { c.Tails.Behind = 500 })
	epoch := enter(t, e, "tcp", "first").join("lobby").GetEpoch()
	c := enter(t, e, "tcp", "back")
	j := c.join("lobby", since(epoch, 10))
	if g := j.GetGap(); j.GetRecovered() || g.GetReason() != "slow" || g.GetFirst() != 11 {
		t.Fatalf("joined %v", j)
	}
	c.expect("lobby", j.GetGap().GetLast()+1, 2000)
}

func TestOrderHoldsBackWhatFollowsARefusal(t *testing.T) {
	core := startCore(t)
	refusing := true
	core.Refuse(func(p *rpc.Publish) protocol.Code {
		if refusing && p.GetKey() == "k3" {
			return protocol.RateLimited
		}
		return protocol.OK
	})
	c := enter(t, startEdge(t, core), "tcp", "ann")
	ordered := func(n int) *wire.ClientFrame {
		f := publish("lobby", fmt.Sprint("k", n), fmt.Sprint("m", n))
		f.GetPublish().Order = uint64(n)
		return f
	}
	var ids []uint64
	for n := 1; n <= 6; n++ {
		ids = append(ids, c.send(ordered(n)))
	}
	for i, id := range ids {
		f := c.reply(id)
		if accepted := f.GetPublished() != nil; accepted != (i < 2) {
			t.Errorf("publish %d: %v", i+1, f)
		}
		if err := f.GetError(); err != nil && !err.GetTemporary() {
			t.Errorf("publish %d was refused for good: %v", i+1, err)
		}
	}
	core.Refuse(nil)
	for n := 3; n <= 6; n++ {
		eventually(t, fmt.Sprint("publish ", n, " is taken"), func() bool { return c.call(ordered(n)).GetPublished() != nil })
	}
	if got := strings.Join(core.Texts("lobby"), " "); got != "m1 m2 m3 m4 m5 m6" {
		t.Errorf("log: %s", got)
	}
	if f := c.call(ordered(9)); protocol.Code(f.GetError().GetCode()) != protocol.OutOfOrder {
		t.Errorf("a jump: %v", f)
	}
	faults(t, core)
}

func TestRefusalForGoodUsesItsOrderUp(t *testing.T) {
	c := enter(t, startEdge(t, startCore(t)), "tcp", "ann")
	f := publish("lobby", "k1", strings.Repeat("x", 5000))
	f.GetPublish().Order = 1
	if r := c.call(f); protocol.Code(r.GetError().GetCode()) != protocol.TooLarge {
		t.Fatalf("got %v", r)
	}
	f = publish("lobby", "k2", "short")
	f.GetPublish().Order = 2
	if r := c.call(f); r.GetPublished() == nil {
		t.Fatalf("got %v", r)
	}
}

func TestLaneResetRepeatsInOrderAndLosesNothing(t *testing.T) {
	core := startCore(t)
	c := enter(t, startEdge(t, core), "tcp", "ann")
	c.join("lobby")
	core.Silence(true)
	var ids []uint64
	for n := range 50 {
		ids = append(ids, c.send(publish("lobby", fmt.Sprint("k", n), fmt.Sprint("m", n))))
	}
	eventually(t, "core applies what it does not answer", func() bool { return len(core.Texts("lobby")) > 0 })
	core.Silence(false)
	core.Reset()
	for n := 50; n < 100; n++ {
		ids = append(ids, c.send(publish("lobby", fmt.Sprint("k", n), fmt.Sprint("m", n))))
	}
	for i, id := range ids {
		if p := c.reply(id).GetPublished(); p.GetSeq() != uint64(i+1) {
			t.Fatalf("publish %d got seq %d", i, p.GetSeq())
		}
	}
	c.expect("lobby", 1, 100)
	faults(t, core)
}

func TestLostLeaseRestatesMembers(t *testing.T) {
	core := startCore(t)
	e := startEdge(t, core)
	for i := range 3 {
		enter(t, e, "tcp", fmt.Sprint("user-", i)).join("lobby")
	}
	eventually(t, "three members", func() bool { n, _ := core.Members("lobby"); return n == 3 })
	core.Forget()
	eventually(t, "three members again", func() bool { n, _ := core.Members("lobby"); return n == 3 })
	c := enter(t, e, "tcp", "reader")
	f := c.call(&wire.ClientFrame{Command: &wire.ClientFrame_Members{Members: &wire.Members{Room: "lobby"}}})
	if m := f.GetMembers(); len(m.GetMembers()) != 3 || m.GetMembers()[0].GetUser() != "user-0" {
		t.Errorf("members %v", f)
	}
	faults(t, core)
}

func TestCoreGoesAndComesBack(t *testing.T) {
	t.Parallel()
	core := startCore(t)
	e := startEdge(t, core)
	c := enter(t, e, "ws-json", "ann")
	epoch := c.join("lobby").GetEpoch()
	c.call(publish("lobby", "k0", "before"))
	core.Stop()
	eventually(t, "edge notices", func() bool { return e.Ready() != nil })
	eventually(t, "publishes are refused for now", func() bool {
		err := c.call(publish("lobby", "k1", "during")).GetError()
		return protocol.Code(err.GetCode()) == protocol.Unavailable && err.GetTemporary() && err.GetRetryAfterMs() > 0
	})
	// The tail still answers.
	back := enter(t, e, "tcp", "back")
	if j := back.join("lobby", since(epoch, 0)); len(j.GetMessages()) != 1 {
		t.Fatalf("joined without core: %v", j)
	}
	core.Append("lobby", "meanwhile")
	if err := core.Start(); err != nil {
		t.Fatal(err)
	}
	c.expect("lobby", 1, 2)
	eventually(t, "publishes are taken again", func() bool { return c.call(publish("lobby", "k1", "during")).GetPublished() != nil })
	back.expect("lobby", 1, 3)
	faults(t, core)
}

// Core forgets an edge that ends in good order at once, and does not take it for
// one that is there until its lease lapses.
func TestAnEndingEdgeSaysGoodbye(t *testing.T) {
	core := startCore(t)
	e := startEdge(t, core)
	incarnation := e.core.Incarnation()
	eventually(t, "core knows the edge", func() bool { return core.Edge(incarnation) != nil })
	e.Close()
	eventually(t, "core has forgotten the edge", func() bool { return core.Edge(incarnation) == nil })
}

func TestPresenceIsCoalescedAndPushed(t *testing.T) {
	core := startCore(t)
	e := startEdge(t, core)
	watcher := enter(t, e, "tcp", "watcher")
	watcher.join("lobby")
	for i := range 20 {
		enter(t, e, "tcp", fmt.Sprint("user-", i)).join("lobby")
	}
	watcher.wait("count of 21", func(f *wire.ServerFrame) bool { return f.GetPresence().GetMembers() == 21 })
	if _, n := core.Members("lobby"); n > 15 {
		t.Errorf("%d statements for 21 joins", n)
	}
}

func TestMembersHearOfPolicyChanges(t *testing.T) {
	core := startCore(t)
	e := startEdge(t, core)
	for _, format := range []string{"ws-json", "tcp"} {
		c := enter(t, e, format, format)
		c.join("lobby")
		core.Policy(func(p *rpc.Policy) { p.SlowModeMs += 1500 })
		c.wait("slow mode", func(f *wire.ServerFrame) bool { return f.GetRoom().GetSlowModeMs() >= 1500 })
	}
}

func TestLeaveEndsDelivery(t *testing.T) {
	core := startCore(t)
	e := startEdge(t, core)
	stays, leaves := enter(t, e, "tcp", "stays"), enter(t, e, "tcp", "leaves")
	stays.join("lobby")
	leaves.join("lobby")
	if f := leaves.call(&wire.ClientFrame{Command: &wire.ClientFrame_Leave{Leave: &wire.Leave{Room: "lobby"}}}); f.GetLeft() == nil {
		t.Fatalf("leave: %v", f)
	}
	core.Append("lobby", "after")
	stays.expect("lobby", 1, 1)
	leaves.call(&wire.ClientFrame{Command: &wire.ClientFrame_Ping{Ping: &wire.Ping{}}})
	if seqs, _, _ := leaves.log("lobby"); len(seqs) > 0 {
		t.Errorf("got %v after leaving", seqs)
	}
	eventually(t, "core hears of it", func() bool { n, _ := core.Members("lobby"); return n == 1 })
}

func faults(t *testing.T, core interface{ Faults() []string }) {
	t.Helper()
	if f := core.Faults(); len(f) > 0 {
		t.Errorf("the edge broke the rules of lanes: %v", f)
	}
}

func many(text string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = text
	}
	return list
}

func ptr[T any](v T) *T { return &v }

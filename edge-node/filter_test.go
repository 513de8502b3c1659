package edgenode

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/barrage-im/barrage/edge-node/coretest"
	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/filter/bundle"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
	"github.com/barrage-im/barrage/protocol/wire"
)

// theKey signs what tests put in force.
var theKey = ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize)))

// screened starts an edge that trusts theKey, with a word for each verdict in
// force: blockword, holdword and so on.
func screened(t *testing.T, core *coretest.Core, change ...func(*Config)) *Edge {
	t.Helper()
	text, err := bundle.MarshalPublicKey(theKey.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "filter.pub")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	e := startEdge(t, core, append([]func(*Config){func(c *Config) { c.Filter.Keys = []string{path} }}, change...)...)
	var entries []filter.Entry
	for a := filter.Flag; a <= filter.Block; a++ {
		entries = append(entries, filter.Entry{Word: a.String() + "word", Severity: 3, Action: a, Categories: []string{"test"}})
	}
	putRules(t, core, e, &rpc.FilterStage{Version: 7, Mode: "enforce"}, entries...)
	return e
}

// putRules puts a version in force and waits until it is, or is refused.
func putRules(t *testing.T, core *coretest.Core, e *Edge, stage *rpc.FilterStage, entries ...filter.Entry) {
	t.Helper()
	b, err := bundle.Make(bundle.Manifest{Name: "words", Version: stage.GetVersion()}, []*filter.List{{Name: "list", Entries: entries}}, theKey)
	if err != nil {
		t.Fatal(err)
	}
	stage.Digest, stage.Size = core.PutBundle(b), uint32(len(b))
	core.PutFilters(&rpc.FilterSet{Name: "words", Rooms: "*", Stages: []*rpc.FilterStage{stage}})
	eventually(t, "the edge reports the version", func() bool {
		r := reportOf(core, e)
		return r.GetVersion() == stage.GetVersion() && r.GetMode() == stage.GetMode() || r.GetRefused() == stage.GetVersion()
	})
}

func reportOf(core *coretest.Core, e *Edge) *rpc.FilterReport {
	if list := core.Edge(e.core.Incarnation()).GetFilters(); len(list) == 1 {
		return list[0]
	}
	return nil
}

// setPolicy changes the policy and waits until the edge knows it.
func setPolicy(t *testing.T, core *coretest.Core, e *Edge, change func(*rpc.Policy)) {
	t.Helper()
	before := e.core.State().GetPolicies().GetVersion()
	core.Policy(change)
	eventually(t, "the edge knows the policy", func() bool { return e.core.State().GetPolicies().GetVersion() != before })
}

func ordered(room, key, text string, n uint64) *wire.ClientFrame {
	f := publish(room, key, text)
	f.GetPublish().Order = n
	return f
}

func code(f *wire.ServerFrame) protocol.Code { return protocol.Code(f.GetError().GetCode()) }

// item is what a feed holds as its n-th message, once it is there.
func item(t *testing.T, core *coretest.Core, feed string, n int) (m *wire.Message, data map[string]any) {
	t.Helper()
	eventually(t, fmt.Sprintf("item %d of %s", n, feed), func() bool { return len(core.Messages(feed)) > n })
	m = core.Messages(feed)[n]
	if err := json.Unmarshal(m.GetData(), &data); err != nil {
		t.Fatalf("%s: %v", m.GetData(), err)
	}
	return m, data
}

func TestVerdictsAtTheDoor(t *testing.T) {
	for name := range formats {
		t.Run(name, func(t *testing.T) {
			core := startCore(t)
			e := screened(t, core)
			ann := enter(t, e, name, "ann")
			say := func(key, text string) *wire.ServerFrame { return ann.call(publish("lobby", key, text)) }

			if f := say("k1", "what a BlockWord!"); code(f) != protocol.Blocked || f.GetError().GetTemporary() {
				t.Errorf("blocked: %v", f)
			}
			if f := say("k2", "what a holdword"); code(f) != protocol.Held || f.GetError().GetTemporary() {
				t.Errorf("held: %v", f)
			}
			if p := say("k3", "what a maskword, 你好").GetPublished(); p.GetVerdict() != "mask" || p.GetText() != "what a ********, 你好" || p.GetSeq() != 1 {
				t.Errorf("masked: %v", p)
			}
			if p := say("k4", "what a shadowword").GetPublished(); p.GetVerdict() != "" || p.GetText() != "" || p.GetSeq() != 2 {
				t.Errorf("shadowed: %v; its sender must see nothing of it", p)
			}
			if p := say("k5", "what a flagword").GetPublished(); p.GetVerdict() != "" || p.GetSeq() != 3 {
				t.Errorf("flagged: %v", p)
			}
			if p := say("k6", "nothing").GetPublished(); p.GetSeq() != 4 {
				t.Errorf("clean: %v", p)
			}
			room := core.Messages("lobby")
			if len(room) != 4 || room[0].GetText() != "what a ********, 你好" || !room[1].GetShadow() || room[2].GetShadow() {
				t.Errorf("the room holds %v", room)
			}
			for i, want := range []struct{ kind, key, text, action string }{
				{"blocked", "k1", "what a BlockWord!", "block"},
				{"held", "k2", "what a holdword", "hold"},
				{"shadowed", "k4", "what a shadowword", "shadow"},
				{"flagged", "k5", "what a flagword", "flag"},
			} {
				m, data := item(t, core, protocol.FeedRoom("lobby"), i)
				if m.GetKind() != want.kind || m.GetText() != want.text || m.GetSender() != core.Messages("lobby")[0].GetSender() ||
					data["key"] != want.key || data["room"] != "lobby" || data["action"] != want.action || data["set"] != "words" ||
					data["rules"] != 7.0 || data["severity"] != 3.0 || fmt.Sprint(data["categories"]) != "[test]" {
					t.Errorf("item %d: %v %v, want %+v", i, m, data, want)
				}
			}
			faults(t, core)
		})
	}
}

func TestVerdictAndRulesTravelInTheCommand(t *testing.T) {
	core := startCore(t)
	e := screened(t, core)
	got := make(chan *rpc.Publish, 16)
	core.Refuse(func(p *rpc.Publish) protocol.Code {
		if p.GetRoom() == "lobby" {
			got <- p
		}
		return protocol.OK
	})
	ann := enter(t, e, "tcp", "ann")
	for text, verdict := range map[string]uint32{"clean": 0, "flagword": 1, "maskword": 2, "shadowword": 3} {
		ann.call(publish("lobby", text, text))
		if p := <-got; p.GetVerdict() != verdict || p.GetRules() != 7 {
			t.Errorf("%s: verdict %d of rules %d", text, p.GetVerdict(), p.GetRules())
		}
	}
}

// What is held is in the feed before its sender is told, and when the feed
// cannot take it now the sender keeps it.
func TestHeldIsToldOnceTheFeedHasIt(t *testing.T) {
	core := startCore(t)
	e := screened(t, core)
	refusals := 2
	core.Refuse(func(p *rpc.Publish) protocol.Code {
		if protocol.IsFeed(p.GetRoom()) && refusals > 0 {
			refusals--
			return protocol.Overloaded
		}
		return protocol.OK
	})
	ann := enter(t, e, "tcp", "ann")
	// Until the lane to core is released again the edge itself refuses, for
	// now: a client sends again after any temporary refusal.
	attempts := 0
	for deadline := time.Now().Add(20 * time.Second); ; attempts++ {
		held := ann.send(ordered("lobby", "k1", "holdword", 1))
		behind := ann.send(ordered("lobby", "k2", "clean", 2))
		f, next := ann.reply(held), ann.reply(behind)
		if f.GetError().GetTemporary() && time.Now().Before(deadline) {
			if code(next) != protocol.OutOfOrder {
				t.Fatalf("attempt %d: what is behind it: %v", attempts, next)
			}
			if n := len(core.Messages("lobby")); n != 0 {
				t.Fatalf("%d messages went by", n)
			}
			continue
		}
		if code(f) != protocol.Held {
			t.Fatalf("attempt %d: %v", attempts, f)
		}
		if next.GetPublished() == nil {
			t.Errorf("%v", next)
		}
		break
	}
	if attempts < 2 {
		t.Errorf("told after %d refusals; the feed refused twice", attempts)
	}
	// Sent again, as after a lost answer: held once.
	if f := ann.call(publish("lobby", "k1", "holdword")); code(f) != protocol.Held {
		t.Errorf("again: %v", f)
	}
	if n := len(core.Messages(protocol.FeedRoom("lobby"))); n != 1 {
		t.Errorf("the feed holds %d items", n)
	}
	faults(t, core)
}

func TestARefusedMessageKeepsTheOrder(t *testing.T) {
	core := startCore(t)
	e := screened(t, core)
	ann := enter(t, e, "ws-json", "ann")
	var last uint64
	for n, text := range []string{"one", "blockword", "three", "holdword", "five"} {
		last = ann.send(ordered("lobby", fmt.Sprint("k", n), text, uint64(n+1)))
	}
	if f := ann.reply(last); f.GetPublished() == nil {
		t.Errorf("the last: %v", f)
	}
	if got := fmt.Sprint(core.Texts("lobby")); got != "[one three five]" {
		t.Errorf("the room holds %s", got)
	}
}

func TestBlockedFloodsDoNotFloodModerators(t *testing.T) {
	core := startCore(t)
	e := screened(t, core)
	ann := enter(t, e, "tcp", "ann")
	var last uint64
	const flood = 300
	for i := range flood {
		last = ann.send(publish("lobby", fmt.Sprint("k", i), "blockword"))
	}
	ann.reply(last)
	if f := ann.call(publish("lobby", "z", "flagword")); f.GetPublished() == nil {
		t.Fatal(f)
	}
	feed := protocol.FeedRoom("lobby")
	eventually(t, "the flag is told", func() bool {
		list := core.Messages(feed)
		return len(list) > 0 && list[len(list)-1].GetKind() == "flagged"
	})
	if n := len(core.Messages(feed)); n > 40 {
		t.Errorf("%d items of %d blocked messages", n, flood)
	}
}

func TestLargeItemsAreCut(t *testing.T) {
	core := startCore(t)
	e := screened(t, core)
	ann := enter(t, e, "tcp", "ann")
	for i, c := range []struct {
		text, data string
		cut        bool
	}{
		{"holdword", "a document", false},
		{"holdword", strings.Repeat("d", 3500), true},
		{"holdword " + strings.Repeat("é", 2000), "", true},
	} {
		f := publish("lobby", fmt.Sprint("k", i), c.text)
		f.GetPublish().Data = []byte(c.data)
		if f := ann.call(f); code(f) != protocol.Held {
			t.Fatal(f)
		}
		m, data := item(t, core, protocol.FeedRoom("lobby"), i)
		if size := len(m.GetText()) + len(m.GetData()); size > 4096 || (data["cut"] == true) != c.cut {
			t.Errorf("item %d has %d bytes, cut: %v", i, size, data["cut"])
		}
		if !strings.HasPrefix(c.text, m.GetText()) || len(m.GetText()) < min(len(c.text), 3000) {
			t.Errorf("item %d: text of %d bytes", i, len(m.GetText()))
		}
	}
}

func TestReportModeAndPolicies(t *testing.T) {
	core := startCore(t)
	e := screened(t, core)
	ann := enter(t, e, "tcp", "ann")
	feed := protocol.FeedRoom("lobby")

	setPolicy(t, core, e, func(p *rpc.Policy) { p.Filter = "report" })
	if f := ann.call(publish("lobby", "k1", "blockword")); f.GetPublished().GetSeq() != 1 {
		t.Errorf("reported only: %v", f)
	}
	if m, data := item(t, core, feed, 0); m.GetKind() != "reported" || data["action"] != "block" {
		t.Errorf("%v %v", m, data)
	}
	setPolicy(t, core, e, func(p *rpc.Policy) { p.Filter = "off" })
	if f := ann.call(publish("lobby", "k2", "blockword")); f.GetPublished().GetSeq() != 2 {
		t.Errorf("off: %v", f)
	}
	setPolicy(t, core, e, func(p *rpc.Policy) { p.Filter, p.FilterSeverity = "enforce", 4 })
	if f := ann.call(publish("lobby", "k3", "blockword")); f.GetPublished().GetSeq() != 3 {
		t.Errorf("below the severity that counts: %v", f)
	}
	setPolicy(t, core, e, func(p *rpc.Policy) { p.FilterSeverity = 3 })
	if f := ann.call(publish("lobby", "k4", "blockword")); code(f) != protocol.Blocked {
		t.Errorf("enforced again: %v", f)
	}
	putRules(t, core, e, &rpc.FilterStage{Version: 8, Mode: "report"}, filter.Entry{Word: "newword", Severity: 4, Action: filter.Hold})
	if f := ann.call(publish("lobby", "k5", "newword")); f.GetPublished().GetSeq() != 4 {
		t.Errorf("a stage on trial: %v", f)
	}
	core.PutFilters()
	eventually(t, "the set is gone", func() bool { return reportOf(core, e) == nil })
	if f := ann.call(publish("lobby", "k6", "newword")); f.GetPublished().GetSeq() != 5 {
		t.Errorf("after the set: %v", f)
	}
}

func TestARefusedVersionIsReportedToCore(t *testing.T) {
	core := startCore(t)
	e := screened(t, core)
	putRules(t, core, e, &rpc.FilterStage{Version: 8, Mode: "enforce"}, filter.Entry{Word: "e", Severity: 1, Action: filter.Block}, filter.Entry{Word: "的", Severity: 1, Action: filter.Block})
	r := reportOf(core, e)
	if r.GetVersion() != 7 || r.GetRefused() != 8 || !strings.Contains(r.GetProblem(), "ordinary messages") {
		t.Errorf("reported: %v", r)
	}
	if f := enter(t, e, "tcp", "ann").call(publish("lobby", "k1", "blockword")); code(f) != protocol.Blocked {
		t.Errorf("what was in force is not any more: %v", f)
	}
}

// A bundle that the present node does not have is fetched from another.
func TestRulesComeFromTheNodeThatHasThem(t *testing.T) {
	empty, full := startCore(t), startCore(t)
	e := screened(t, full) // sees to it that full has the bundle
	stages := e.core.State().GetFilters()
	other := startEdge(t, empty, func(c *Config) {
		c.Name, c.Core, c.Filter.Keys = "edge-2", []string{empty.Address(), full.Address()}, e.cfg.Filter.Keys
	})
	empty.PutFilters(stages...)
	eventually(t, "the rules are in force", func() bool { return reportOf(empty, other).GetVersion() == 7 })
}

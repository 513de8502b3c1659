package edgenode

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/barrage-im/barrage/edge-node/coretest"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
	"github.com/barrage-im/barrage/protocol/token"
	"github.com/barrage-im/barrage/protocol/wire"
)

// moderated is a core whose rooms olga owns and mia moderates.
func moderated(t *testing.T) *coretest.Core {
	t.Helper()
	core := startCore(t)
	core.Policy(func(p *rpc.Policy) { p.Owners, p.Moderators = []string{"olga"}, []string{"mia"} })
	return core
}

func moderate(action string, change ...func(*wire.Moderate)) *wire.ClientFrame {
	m := &wire.Moderate{Room: "lobby", Action: action}
	for _, f := range change {
		f(m)
	}
	return &wire.ClientFrame{Command: &wire.ClientFrame_Moderate{Moderate: m}}
}

func user(name string) func(*wire.Moderate) { return func(m *wire.Moderate) { m.User = name } }

func seq(n uint64) func(*wire.Moderate) { return func(m *wire.Moderate) { m.Seq = n } }

func joining(room string) *wire.ClientFrame {
	return &wire.ClientFrame{Command: &wire.ClientFrame_Join{Join: &wire.Join{Room: room}}}
}

func reading(room string) *wire.ClientFrame {
	return &wire.ClientFrame{Command: &wire.ClientFrame_History{History: &wire.History{Room: room}}}
}

// holds is what the client holds of the lobby, as short texts.
func (c *peer) holds() (list []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.frames {
		if f.GetJoined().GetRoom() == "lobby" {
			list = append(list, short(f.GetJoined().GetMessages())...)
		}
		if f.GetBatch().GetRoom() == "lobby" {
			list = append(list, short(f.GetBatch().GetMessages())...)
		}
	}
	return list
}

// short is "seq sender text" of each message, with its mark.
func short(ms []*wire.Message) (list []string) {
	for _, m := range ms {
		s := fmt.Sprintf("%d %s %s", m.GetSeq(), m.GetSender(), m.GetText())
		switch {
		case m.GetGone() != "":
			s += m.GetGone()
		case m.GetRetracts() != 0:
			s += fmt.Sprintf(" retracts %d", m.GetRetracts())
		case m.GetShadow():
			s += " (shadow)"
		}
		list = append(list, s)
	}
	return list
}

func (c *peer) expectHeld(want ...string) {
	c.t.Helper()
	end := time.Now().Add(patience)
	for {
		got := c.holds()
		if slices.Equal(got, want) {
			return
		}
		if time.Now().After(end) {
			c.t.Fatalf("got %q, want %q", got, want)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestRolesOfTokensAndPolicies(t *testing.T) {
	core := moderated(t)
	sign, trust := signer(t)
	e := startEdge(t, core, trust)
	for name, want := range map[string]struct {
		grants               []token.Grant
		role                 string
		publishes, moderates bool
	}{
		"ann":  {[]token.Grant{{Pattern: "*", Role: "member"}}, "member", true, false},
		"ben":  {[]token.Grant{{Pattern: "*", Role: "muted", Verbs: []string{"publish"}}}, "muted", false, false},
		"cleo": {[]token.Grant{{Pattern: "lob*", Role: "moderator"}, {Pattern: "*", Role: "muted"}}, "moderator", true, true},
		"dora": {[]token.Grant{{Pattern: "studio", Role: "moderator"}, {Pattern: "lobby", Verbs: []string{"join"}}}, "member", false, false},
		"mia":  {nil, "moderator", true, true},
		"olga": {[]token.Grant{{Pattern: "*", Role: "muted"}}, "owner", true, true},
	} {
		c := dial(t, e, "ws-json")
		c.call(connect(sign(name, time.Hour, want.grants...)))
		if role := c.join("lobby").GetRole(); role != want.role {
			t.Errorf("%s is told to be %q, want %q", name, role, want.role)
		}
		if f := c.call(publish("lobby", "k", "hi")); (f.GetPublished() != nil) != want.publishes {
			t.Errorf("%s publishes: %v", name, f)
		}
		if f := c.call(moderate(protocol.Unmute, user("zoe"))); (f.GetModerated() != nil) != want.moderates {
			t.Errorf("%s moderates: %v", name, f)
		}
		if f := c.call(joining("mod:lobby")); (f.GetJoined() != nil) != want.moderates {
			t.Errorf("%s joins the feed: %v", name, f)
		}
		if !want.moderates {
			refused(t, c.call(reading("mod:lobby")), protocol.Forbidden)
			refused(t, c.call(&wire.ClientFrame{Command: &wire.ClientFrame_Members{Members: &wire.Members{Room: "mod:lobby"}}}), protocol.Forbidden)
		}
		refused(t, c.call(publish("mod:lobby", "k", "hi")), protocol.Forbidden)
		refused(t, c.call(moderate(protocol.Slow, func(m *wire.Moderate) { m.Room = "mod:lobby" })), protocol.Forbidden)
	}
	core.Policy(func(p *rpc.Policy) { p.Role = protocol.RoleMuted })
	d := dial(t, e, "tcp")
	d.call(connect(sign("ann", time.Hour, token.Grant{Pattern: "*", Role: "member"})))
	eventually(t, "the policy mutes members", func() bool {
		return protocol.Code(d.call(publish("lobby", "k2", "hi")).GetError().GetCode()) == protocol.Muted
	})
	f := dial(t, e, "tcp") // a grant that says what we do not know allows nothing
	f.call(connect(sign("fay", time.Hour, token.Grant{Pattern: "*", Role: "guest", Verbs: []string{"join"}})))
	refused(t, f.call(joining("lobby")), protocol.Forbidden)
}

func TestTheFeedOfALongNameIsEnteredFromItsRoom(t *testing.T) {
	core := moderated(t)
	e := startEdge(t, core)
	c := enter(t, e, "tcp", "mia")
	room := strings.Repeat("r", protocol.MaxRoomName)
	feed := protocol.FeedRoom(room)
	refused(t, c.call(joining(feed)), protocol.Forbidden)
	c.join(room)
	c.join(feed)
	d := enter(t, e, "tcp", "ann")
	d.join(room)
	refused(t, d.call(joining(feed)), protocol.Forbidden)
}

func TestModeratorsCommandsAreChecked(t *testing.T) {
	core := moderated(t)
	e := startEdge(t, core)
	c := enter(t, e, "ws-json", "mia")
	for _, f := range []*wire.ClientFrame{
		moderate("dance"),
		moderate(protocol.Mute),
		moderate(protocol.Mute, user("ann"), seq(3)),
		moderate(protocol.Retract),
		moderate(protocol.Slow, func(m *wire.Moderate) { m.DurationMs = 1 << 40 }),
		moderate(protocol.Ban, user("ann"), func(m *wire.Moderate) { m.Reason = strings.Repeat("r", protocol.MaxReason+1) }),
	} {
		refused(t, c.call(f), protocol.BadArgument)
	}
	refused(t, c.call(moderate(protocol.Mute, user("ann"), func(m *wire.Moderate) { m.Room = "a b" })), protocol.BadRoom)
	if n := len(core.Moderated()); n != 0 {
		t.Errorf("core heard of %d commands", n)
	}
	core.RefuseModerate(func(*rpc.Moderate) protocol.Code { return protocol.Forbidden })
	f := c.call(moderate(protocol.Unban, user("ann")))
	refused(t, f, protocol.Forbidden)
	if !strings.Contains(f.GetError().GetMessage(), "higher role") {
		t.Errorf("refused with %v", f)
	}
}

// Moderation goes the way of publishes: behind what the same edge has published
// before, once more after a reset, and answered once.
func TestModerationIsSentAgainAfterAReset(t *testing.T) {
	core := moderated(t)
	e := startEdge(t, core)
	c := enter(t, e, "tcp", "mia")
	c.call(publish("lobby", "k1", "one"))
	core.Silence(true)
	pub := c.send(publish("lobby", "k2", "two"))
	mod := c.send(moderate(protocol.Retract, seq(2), func(m *wire.Moderate) { m.Reason = "oops" }))
	eventually(t, "core applies them", func() bool { return len(core.Moderated()) == 1 })
	core.Silence(false)
	core.Reset()
	if f := c.reply(pub); f.GetPublished().GetSeq() != 2 {
		t.Errorf("published %v", f)
	}
	f := c.reply(mod)
	if m := f.GetModerated(); m.GetSeq() < 3 || m.GetAction() != protocol.Retract || m.GetRoom() != "lobby" {
		t.Errorf("moderated %v", f)
	}
	list := core.Moderated()
	if len(list) != 2 || list[1].GetActor() != "mia" || list[1].GetRank() != uint32(rpc.Rank_MODERATOR) || list[1].GetReason() != "oops" || list[1].GetDeadlineMs() == 0 {
		t.Errorf("core was told %v", list)
	}
	c.call(publish("lobby", "k3", "three"))
	c.mu.Lock()
	defer c.mu.Unlock()
	answers := 0
	for _, f := range c.frames {
		if f.GetId() == mod {
			answers++
		}
	}
	if answers != 1 || len(core.Faults()) != 0 {
		t.Errorf("%d answers, faults %v", answers, core.Faults())
	}
}

func TestRetractionReachesWhoIsHereAndWhoComesLater(t *testing.T) {
	for format := range formats {
		core := moderated(t)
		e := startEdge(t, core)
		here := enter(t, e, format, "ann")
		epoch := here.join("lobby").GetEpoch()
		core.Put("lobby", protocol.RecordMark{}, "eve", "", "rude", nil)
		core.Put("lobby", protocol.RecordMark{}, "bob", "", "nice", nil)
		here.expectHeld("1 eve rude", "2 bob nice")
		mia := enter(t, e, format, "mia")
		if m := mia.call(moderate(protocol.Retract, seq(1), func(m *wire.Moderate) { m.Reason = "be kind" })).GetModerated(); m.GetSeq() != 3 {
			t.Fatalf("moderated %v", m)
		}
		here.expectHeld("1 eve rude", "2 bob nice", "3 mia be kind retracts 1")
		want := []string{"1 eve retracted", "2 bob nice", "3 mia be kind retracts 1"}
		late := enter(t, e, format, "late")
		late.join("lobby", func(j *wire.Join) { j.Recent = 10 })
		late.expectHeld(want...)
		back := enter(t, e, format, "back")
		back.join("lobby", since(epoch, 0))
		back.expectHeld(want...)
		if got := short(back.call(reading("lobby")).GetMessages().GetMessages()); !slices.Equal(got, want) {
			t.Errorf("%s: history is %q", format, got)
		}
		refused(t, mia.call(moderate(protocol.Retract, seq(99))), protocol.Trimmed)
	}
}

func (c *peer) sanction(action string) *wire.Sanction {
	c.t.Helper()
	return c.wait(action, func(f *wire.ServerFrame) bool { return f.GetSanction().GetAction() == action }).GetSanction()
}

func TestMutedUsersAreToldAndRefused(t *testing.T) {
	core := moderated(t)
	e := startEdge(t, core)
	mia, ann, other := enter(t, e, "ws-json", "mia"), enter(t, e, "tcp", "ann"), enter(t, e, "ws-proto", "ann")
	for _, c := range []*peer{mia, ann, other} {
		c.join("lobby")
	}
	before := time.Now().UnixMilli()
	f := mia.call(moderate(protocol.Mute, user("ann"), func(m *wire.Moderate) { m.DurationMs, m.Reason = 60_000, "spam" }))
	if until := f.GetModerated().GetUntilMs(); until < before+60_000 {
		t.Errorf("moderated %v", f)
	}
	for _, c := range []*peer{ann, other} {
		if s := c.sanction(protocol.Mute); s.GetReason() != "spam" || s.GetUntilMs() != f.GetModerated().GetUntilMs() || s.GetRoom() != "lobby" {
			t.Errorf("told %v", s)
		}
	}
	core.Refuse(func(*rpc.Publish) protocol.Code { t.Error("a muted user's message reached core"); return protocol.OK })
	r := ann.call(publish("lobby", "k1", "hi"))
	refused(t, r, protocol.Muted)
	if !strings.Contains(r.GetError().GetMessage(), "spam") {
		t.Errorf("refused with %v", r)
	}
	core.Refuse(nil)
	third := enter(t, e, "tcp", "ann")
	if role := third.join("lobby").GetRole(); role != protocol.RoleMuted {
		t.Errorf("a muted user joins as %s", role)
	}
	mia.call(moderate(protocol.Unmute, user("ann")))
	ann.sanction(protocol.Unmute)
	if f := ann.call(publish("lobby", "k2", "hi")); f.GetPublished() == nil {
		t.Errorf("after unmute: %v", f)
	}
	// From a room without members here core is the one to refuse.
	core.Moderate(&rpc.Moderate{Room: "studio", Action: protocol.Mute, User: "ann", Rank: 1})
	refused(t, ann.call(publish("studio", "k3", "hi")), protocol.Muted)
}

func TestBannedUsersAreTakenOut(t *testing.T) {
	core := moderated(t)
	e := startEdge(t, core)
	mia, eve, bob := enter(t, e, "ws-json", "mia"), enter(t, e, "tcp", "eve"), enter(t, e, "ws-proto", "bob")
	for _, c := range []*peer{mia, eve, bob} {
		c.join("lobby")
	}
	core.Append("lobby", "before")
	eve.expectHeld("1 core before")
	mia.call(moderate(protocol.Ban, user("eve"), func(m *wire.Moderate) { m.Reason = "enough" }))
	if s := eve.sanction(protocol.Ban); s.GetReason() != "enough" || s.GetUntilMs() != 0 {
		t.Errorf("told %v", s)
	}
	core.Append("lobby", "after")
	bob.expectHeld("1 core before", "2 core after")
	for _, f := range []*wire.ClientFrame{
		joining("lobby"), reading("lobby"), publish("lobby", "k", "hi"),
		{Command: &wire.ClientFrame_Members{Members: &wire.Members{Room: "lobby"}}},
	} {
		refused(t, eve.call(f), protocol.Banned)
	}
	refused(t, eve.call(&wire.ClientFrame{Command: &wire.ClientFrame_Leave{Leave: &wire.Leave{Room: "lobby"}}}), protocol.NotJoined)
	eve.expectHeld("1 core before")
	eventually(t, "core learns that eve left", func() bool { n, _ := core.Members("lobby"); return n == 2 })
	mia.call(moderate(protocol.Unban, user("eve")))
	eventually(t, "eve may come back", func() bool { return eve.call(joining("lobby")).GetJoined() != nil })

	// A sanction reaches lower ranks only.
	olga := enter(t, e, "tcp", "olga")
	olga.join("lobby")
	mia.call(moderate(protocol.Ban, user("olga")))
	core.Moderate(&rpc.Moderate{Room: "lobby", Action: protocol.Ban, User: "mia", Rank: uint32(rpc.Rank_OPERATOR)})
	mia.sanction(protocol.Ban)
	if f := olga.call(publish("lobby", "k", "still here")); f.GetPublished() == nil {
		t.Errorf("an owner is not reached by a moderator: %v", f)
	}
}

// A ban that comes while its user is joining is not missed.
func TestBanDuringAJoin(t *testing.T) {
	core := moderated(t)
	e := startEdge(t, core)
	keeper := enter(t, e, "tcp", "keeper")
	keeper.join("lobby")
	for i := range 50 {
		name := fmt.Sprint("user", i)
		c := enter(t, e, "tcp", name)
		join := c.send(joining("lobby"))
		core.Moderate(&rpc.Moderate{Room: "lobby", Action: protocol.Ban, User: name, Rank: 1})
		if f := c.reply(join); f.GetJoined() != nil {
			c.sanction(protocol.Ban)
		} else {
			refused(t, f, protocol.Banned)
		}
		refused(t, c.call(&wire.ClientFrame{Command: &wire.ClientFrame_Leave{Leave: &wire.Leave{Room: "lobby"}}}), protocol.NotJoined)
		_ = c.conn.Close()
	}
}

func TestShadowIsForItsSenderAndModerators(t *testing.T) {
	public := []string{"1 bob hello", "2  withheld", "3 bob bye"}
	views := map[string][]string{
		"ann": public, "bob": public,
		"eve": {"1 bob hello", "2 eve coins", "3 bob bye"},
		"mia": {"1 bob hello", "2 eve coins (shadow)", "3 bob bye"},
	}
	put := func(core *coretest.Core) {
		core.Put("lobby", protocol.RecordMark{}, "bob", "", "hello", nil)
		core.Put("lobby", protocol.RecordMark{Shadow: true}, "eve", "", "coins", []byte("data"))
		core.Put("lobby", protocol.RecordMark{}, "bob", "", "bye", nil)
	}
	for format := range formats {
		t.Run(format, func(t *testing.T) {
			core := moderated(t)
			e := startEdge(t, core)
			here := map[string]*peer{}
			epoch := ""
			for name := range views {
				here[name] = enter(t, e, format, name)
				epoch = here[name].join("lobby").GetEpoch()
			}
			put(core)
			for name, want := range views {
				here[name].expectHeld(want...) // flushed
				recent := enter(t, e, format, name)
				recent.join("lobby", func(j *wire.Join) { j.Recent = 10 })
				recent.expectHeld(want...)
				back := enter(t, e, format, name)
				back.join("lobby", since(epoch, 0))
				back.expectHeld(want...)
				page := back.call(reading("lobby")).GetMessages().GetMessages()
				if got := short(page); !slices.Equal(got, want) {
					t.Errorf("history for %s: %q, want %q", name, got, want)
				}
				if len(page) == 3 && (len(page[1].GetData()) > 0) != (name == "eve" || name == "mia") {
					t.Errorf("data for %s: %v", name, page[1])
				}
			}
			core.Moderate(&rpc.Moderate{Room: "lobby", Action: protocol.Retract, Seq: 2, Actor: "mia", Rank: 1})
			late := enter(t, e, format, "ann")
			late.join("lobby", since(epoch, 1))
			late.expectHeld("2  withheld", "3 bob bye", "4 mia  retracts 2")
			mia := enter(t, e, format, "mia")
			mia.join("lobby", since(epoch, 1))
			mia.expectHeld("2 eve retracted", "3 bob bye", "4 mia  retracts 2")
		})
	}
}

// What is read from history on the way, for joins behind the tail and members
// that fell behind it, withholds too.
func TestShadowBehindTheTail(t *testing.T) {
	core := moderated(t)
	e := startEdge(t, core, func(c *Config) { c.Tails.TailMessages, c.Tails.TailBytes = 10, 1000 })
	first := enter(t, e, "tcp", "first")
	epoch := first.join("lobby").GetEpoch()
	for i := range 300 {
		core.Put("lobby", protocol.RecordMark{Shadow: i%3 == 1}, []string{"bob", "eve", "bob"}[i%3], "", "text", nil)
	}
	for name, want := range map[string]string{"ann": "2  withheld", "eve": "2 eve text", "mia": "2 eve text (shadow)"} {
		c := enter(t, e, "ws-json", name)
		c.join("lobby", since(epoch, 0))
		c.expect("lobby", 1, 300)
		list := c.holds()
		for i := 1; i < 300; i += 3 {
			if got := strings.Replace(list[i], fmt.Sprint(i+1), "2", 1); got != want {
				t.Fatalf("%s holds %q, want %q", name, list[i], want)
			}
		}
	}
}

// Shadow messages count with their full size: what their readers get stays
// below the largest frame.
func TestManyShadowsStayBelowTheLargestFrame(t *testing.T) {
	core := moderated(t)
	e := startEdge(t, core)
	ann, mia := enter(t, e, "ws-json", "ann"), enter(t, e, "ws-json", "mia")
	epoch := ann.join("lobby").GetEpoch()
	mia.join("lobby")
	text := strings.Repeat("\x01", 4000) // in JSON six times as long
	for range 150 {
		core.Put("lobby", protocol.RecordMark{Shadow: true}, "eve", "", text, nil)
	}
	mia.expect("lobby", 1, 150)
	ann.expect("lobby", 1, 150)
	back := enter(t, e, "ws-json", "mia")
	back.join("lobby", since(epoch, 0))
	back.expect("lobby", 1, 150)
}

func TestLosingTheRoleLosesTheView(t *testing.T) {
	core := startCore(t)
	sign, trust := signer(t)
	e := startEdge(t, core, trust)
	grant := token.Grant{Pattern: "*", Role: "member"}
	c, d := dial(t, e, "tcp"), dial(t, e, "ws-json")
	c.call(connect(sign("mia", time.Hour, token.Grant{Pattern: "*", Role: "moderator"})))
	d.call(connect(sign("max", time.Hour, token.Grant{Pattern: "*", Role: "moderator"})))
	c.join("lobby")
	d.join("lobby")
	d.join("mod:lobby")
	core.Put("lobby", protocol.RecordMark{Shadow: true}, "eve", "", "one", nil)
	c.expectHeld("1 eve one (shadow)")
	refresh := func(user string) *wire.ClientFrame {
		return &wire.ClientFrame{Command: &wire.ClientFrame_Refresh{Refresh: &wire.Refresh{Token: sign(user, time.Hour, grant)}}}
	}
	c.call(refresh("mia"))
	core.Put("lobby", protocol.RecordMark{Shadow: true}, "eve", "", "two", nil)
	c.expectHeld("1 eve one (shadow)", "2  withheld")
	d.send(refresh("max"))
	if code := protocol.Code(d.closed().GetCode()); code != protocol.CloseTokenExpired {
		t.Errorf("who may not read the feed any more is closed with %v", code)
	}
	core.Policy(func(p *rpc.Policy) { p.Moderators = []string{"mia"} })
	eventually(t, "the policy makes a moderator", func() bool {
		core.Put("lobby", protocol.RecordMark{Shadow: true}, "eve", "", "three", nil)
		time.Sleep(20 * time.Millisecond)
		list := c.holds()
		return strings.Contains(list[len(list)-1], "eve three (shadow)")
	})
}

func TestSlowModeOfModerators(t *testing.T) {
	core := moderated(t)
	e := startEdge(t, core)
	mia, ann := enter(t, e, "tcp", "mia"), enter(t, e, "tcp", "ann")
	ann.join("lobby")
	if f := mia.call(moderate(protocol.Slow, func(m *wire.Moderate) { m.DurationMs = 60_000 })); f.GetModerated() == nil || f.GetModerated().GetUntilMs() != 0 {
		t.Fatalf("moderated %v", f)
	}
	state := ann.wait("the room's state", func(f *wire.ServerFrame) bool { return f.GetRoom() != nil }).GetRoom()
	if state.GetSlowModeMs() != 60_000 {
		t.Errorf("state %v", state)
	}
	for i, c := range []*peer{ann, mia, mia, mia} {
		if f := c.call(publish("lobby", fmt.Sprint("k", i), "hi")); f.GetPublished() == nil {
			t.Errorf("publish %d: %v", i, f)
		}
	}
	refused(t, ann.call(publish("lobby", "k9", "hi")), protocol.SlowMode)

	// A room without members here: core says so with the first publish.
	core.Moderate(&rpc.Moderate{Room: "studio", Action: protocol.Slow, DurationMs: 60_000, Rank: 1})
	for i := range 2 { // the first teaches the edge, the second takes the place
		if f := ann.call(publish("studio", fmt.Sprint("k", i), "hi")); f.GetPublished() == nil {
			t.Errorf("publish %d: %v", i, f)
		}
	}
	refused(t, ann.call(publish("studio", "k3", "hi")), protocol.SlowMode)
	core.Moderate(&rpc.Moderate{Room: "studio", Action: protocol.Slow, Rank: 1})
	if f := mia.call(publish("studio", "k", "hi")); f.GetPublished() == nil {
		t.Errorf("a moderator in slow mode: %v", f)
	}
	if f := ann.call(publish("studio", "k4", "hi")); f.GetPublished() == nil {
		t.Errorf("after slow mode: %v", f)
	}
}

func TestApprovingAHeldMessage(t *testing.T) {
	core := moderated(t)
	e := startEdge(t, core)
	mia, bob := enter(t, e, "ws-json", "mia"), enter(t, e, "tcp", "bob")
	bob.join("lobby")
	note := func(change ...func(map[string]any)) []byte {
		m := map[string]any{"room": "lobby", "key": "k-1", "kind": "text", "data": []byte{1, 2}, "action": "hold", "severity": 3, "set": "words"}
		for _, f := range change {
			f(m)
		}
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := core.Put("mod:lobby", protocol.RecordMark{}, "ann", protocol.KindHeld, "odd but fine", note())
	for range 2 {
		f := mia.call(moderate(protocol.Approve, seq(good)))
		if m := f.GetModerated(); m.GetSeq() != 1 || m.GetAction() != protocol.Approve || m.GetRoom() != "lobby" {
			t.Fatalf("approved %v", f)
		}
	}
	bob.expectHeld("1 ann odd but fine")
	m := bob.wait("batch", func(f *wire.ServerFrame) bool { return f.GetBatch() != nil }).GetBatch().GetMessages()[0]
	if m.GetKind() != "text" || !slices.Equal(m.GetData(), []byte{1, 2}) {
		t.Errorf("published %v", m)
	}
	for why, at := range map[string]uint64{
		"flagged only":    core.Put("mod:lobby", protocol.RecordMark{}, "ann", "flagged", "x", note()),
		"another room":    core.Put("mod:lobby", protocol.RecordMark{}, "ann", protocol.KindHeld, "x", note(func(m map[string]any) { m["room"] = "studio" })),
		"cut":             core.Put("mod:lobby", protocol.RecordMark{}, "ann", protocol.KindHeld, "x", note(func(m map[string]any) { m["cut"] = true })),
		"no key":          core.Put("mod:lobby", protocol.RecordMark{}, "ann", protocol.KindHeld, "x", note(func(m map[string]any) { delete(m, "key") })),
		"what is no JSON": core.Put("mod:lobby", protocol.RecordMark{}, "ann", protocol.KindHeld, "x", []byte("?")),
	} {
		if f := mia.call(moderate(protocol.Approve, seq(at))); protocol.Code(f.GetError().GetCode()) != protocol.BadArgument {
			t.Errorf("%s: %v", why, f)
		}
	}
	refused(t, mia.call(moderate(protocol.Approve, seq(99))), protocol.Future)
	refused(t, bob.call(moderate(protocol.Approve, seq(good))), protocol.Forbidden)
	core.Moderate(&rpc.Moderate{Room: "lobby", Action: protocol.Mute, User: "cy", Rank: 1})
	muted := core.Put("mod:lobby", protocol.RecordMark{}, "cy", protocol.KindHeld, "x", note(func(m map[string]any) { m["key"] = "k-2" }))
	f := mia.call(moderate(protocol.Approve, seq(muted)))
	refused(t, f, protocol.Muted)
	if !strings.Contains(f.GetError().GetMessage(), "author") {
		t.Errorf("refused with %v", f)
	}
	if len(core.Texts("lobby")) != 1 {
		t.Errorf("the room holds %q", core.Texts("lobby"))
	}
}

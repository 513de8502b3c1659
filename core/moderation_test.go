package core_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/pki"
	"github.com/barrage-im/barrage/protocol/rpc"
	"github.com/barrage-im/barrage/protocol/wire"
)

func moderateCommand(t testing.TB, m *rpc.Moderate) []byte {
	return encode(t, &rpc.Command{Op: &rpc.Command_Moderate{Moderate: m}})
}

// last is the answer to the newest command.
func (e *testEdge) last() *rpc.Result {
	e.t.Helper()
	results := e.published()
	return results[len(results)-1]
}

// lastCode is last's, of a command that is answered with an epoch or a refusal.
func (e *testEdge) lastCode() protocol.Code {
	e.t.Helper()
	return protocol.Code(e.last().GetCode())
}

// operate moderates as an operator at a node, and must be obeyed.
func (c *cluster) operate(n *node, m *rpc.Moderate) {
	c.t.Helper()
	res, err := c.operator(n).ModerateRoom(c.t.Context(), m)
	if err != nil || res.GetResult().GetCode() != 0 {
		c.t.Fatalf("%v: %v, %v", m, res, err)
	}
}

// history reads a room at a node, when the node has come to seq head.
func (c *cluster) history(n *node, room string, head uint64) []*wire.Message {
	c.t.Helper()
	client := rpc.NewCoreClient(c.dial(n, pki.Edge, "edge"))
	var page *rpc.HistoryPage
	eventually(c.t, fmt.Sprintf("%s has message %d", n.cfg.Node, head), func() bool {
		var err error
		page, err = client.ReadHistory(c.t.Context(), &rpc.HistoryRequest{Room: room})
		return err == nil && page.GetHead() >= head
	})
	if protocol.CRC(page.GetRecords()) != page.GetCrc() {
		c.t.Fatal("a page with a wrong checksum")
	}
	return decodeBatch(c.t, page.GetRecords()).GetMessages()
}

func TestModerationHoldsAfterTheLeaderIsLost(t *testing.T) {
	c := startCluster(t, 3)
	leader, follower := c.leads(1), c.follows(1)
	e := c.attach(follower, 7, 1)
	room := roomOf(t, e.welcome.GetState(), 1, "lobby")

	// Before anybody came, through a node that does not lead.
	c.operate(follower, &rpc.Moderate{Room: room, Action: "mute", User: "mallory", Reason: "spam"})
	c.operate(leader, &rpc.Moderate{Room: room, Action: "ban", User: "eve", DurationMs: 3_600_000})
	e.publish(room, "ann", "k1", "one")
	e.publish(room, "mallory", "k1", "spam")
	if code := e.lastCode(); code != protocol.Muted {
		t.Fatalf("a muted user's publish: %s", code)
	}
	e.publish(room, "eve", "k1", "spam")
	if r := e.last(); protocol.Code(r.GetCode()) != protocol.Banned || r.GetRetryAfterMs() == 0 || r.GetRetryAfterMs() > 3_600_000 {
		t.Fatalf("a banned user's publish: %v", r)
	}
	e.send(encode(t, &rpc.Command{Op: &rpc.Command_Publish{Publish: &rpc.Publish{
		Room: room, User: "bob", Key: "k1", Body: protocol.AppendBody(nil, "bob", "Bob", "", "two", nil), Verdict: 3, Rules: 7,
	}}}))
	e.send(moderateCommand(t, &rpc.Moderate{Room: room, Actor: "mod", Name: "Mod", Rank: 1, Action: "retract", Seq: 1, Reason: "rude"}))
	if r := e.last(); r.GetCode() != 0 || r.GetSeq() != 3 {
		t.Fatalf("retraction: %v", r)
	}
	e.send(moderateCommand(t, &rpc.Moderate{Room: room, Actor: "mod", Rank: 1, Action: "unmute", User: "mallory"}))
	if code := e.lastCode(); code != protocol.Forbidden {
		t.Fatalf("a moderator lifts what an operator gave: %s", code)
	}

	leader.kill(t)
	e.publish(room, "mallory", "k2", "spam")
	if code := e.lastCode(); code != protocol.Muted {
		t.Fatalf("after the leader was lost: %s", code)
	}
	e.send(moderateCommand(t, &rpc.Moderate{Room: room, Actor: "mod", Rank: 1, Action: "retract", Seq: 1}))
	if r := e.last(); r.GetSeq() != 3 || !r.GetDuplicate() {
		t.Fatalf("retracted again: %v", r)
	}
	c.start(leader) // from its store
	c.ready(leader)
	for _, n := range c.nodes {
		c.checkModerated(n, room)
	}

	// Every voter is lost, the state is not.
	for _, n := range c.nodes {
		n.kill(t)
	}
	for _, n := range c.nodes {
		c.start(n)
	}
	for _, n := range c.nodes {
		c.ready(n)
		c.checkModerated(n, room)
	}
}

// checkModerated reads at one node what TestModerationHoldsAfterTheLeaderIsLost
// did.
func (c *cluster) checkModerated(n *node, room string) {
	t := c.t
	t.Helper()
	m := c.history(n, room, 3)
	if len(m) != 3 || m[0].GetGone() != "retracted" || m[0].GetSender() != "ann" || m[0].GetText() != "" ||
		!m[1].GetShadow() || m[1].GetText() != "two" || m[2].GetRetracts() != 1 || m[2].GetSender() != "mod" || m[2].GetText() != "rude" {
		t.Fatalf("%s: history says %v", n.cfg.Node, m)
	}
	op := c.operator(n)
	state, err := op.RoomModeration(t.Context(), &rpc.HeadRequest{Room: room})
	if err != nil || len(state.GetSanctions()) != 2 || state.GetSanctions()[0].GetAction() != "ban" || state.GetSanctions()[1].GetUser() != "mallory" {
		t.Fatalf("%s: moderation %v, %v", n.cfg.Node, state, err)
	}
	audit, err := op.Audit(t.Context(), &rpc.AuditRequest{Shard: 1})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range audit.GetRecords() {
		got = append(got, fmt.Sprint(r.GetShard(), " ", r.GetActor(), " ", r.GetAction(), " ", strings.ReplaceAll(r.GetDetail(), room, "R")))
	}
	want := []string{
		"1 op mute room R, user mallory, as operator: spam", "1 op ban room R, user eve, for 1h0m0s, as operator",
		"1 mod retract room R, message 1, as moderator: rude",
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%s: audit %q", n.cfg.Node, got)
	}
	client := rpc.NewCoreClient(c.dial(n, pki.Edge, "edge"))
	for user, code := range map[string]protocol.Code{"eve": protocol.Banned, "mallory": protocol.OK, "ann": protocol.OK, "": protocol.OK} {
		page, err := client.ReadHistory(t.Context(), &rpc.HistoryRequest{Room: room, User: user})
		if err != nil || protocol.Code(page.GetCode()) != code || code != protocol.OK && len(page.GetRecords())+int(page.GetHead()) > 0 {
			t.Fatalf("%q reads history: %v, %v", user, page, err)
		}
		members, err := client.ListMembers(t.Context(), &rpc.MembersRequest{Room: room, User: user})
		if err != nil || protocol.Code(members.GetCode()) != code {
			t.Fatalf("%q lists members: %v, %v", user, members, err)
		}
	}
	if page, err := client.ReadHistory(t.Context(), &rpc.HistoryRequest{Room: room, User: "eve", Rank: 3}); err != nil || page.GetCode() != 0 {
		t.Fatalf("a rank above reads history: %v, %v", page, err)
	}
}

func TestEdgesAreToldOfModeration(t *testing.T) {
	c := startCluster(t, 1)
	e := c.attach(c.nodes[0], 7, 1)
	room := roomOf(t, e.welcome.GetState(), 1, "lobby")
	c.operate(c.nodes[0], &rpc.Moderate{Room: room, Action: "mute", User: "mallory", DurationMs: 2500})
	c.operate(c.nodes[0], &rpc.Moderate{Room: room, Action: "slow", DurationMs: 3000})
	e.publish(room, "ann", "k1", "one")
	if r := e.last(); r.GetSlowModeMs() != 3000 {
		t.Fatalf("published: %v", r)
	}
	f := c.feed(c.nodes[0], 7)
	f.listen()
	f.subscribe(room, 0, 0, 10)
	s := f.subscribed()
	if m := s.GetModeration(); len(m.GetSanctions()) != 1 || m.GetSanctions()[0].GetUser() != "mallory" || m.GetSlowModeMs() != 3000 || s.GetPolicy().GetSlowModeMs() != 3000 {
		t.Fatalf("subscribed: %v", s)
	}
	told := func(is func(u *rpc.RoomUpdate) bool) {
		t.Helper()
		for {
			if u := f.next().GetUpdate(); u != nil && u.GetModeration() != nil && is(u) {
				return
			}
		}
	}
	c.operate(c.nodes[0], &rpc.Moderate{Room: room, Action: "slow"})
	told(func(u *rpc.RoomUpdate) bool {
		return u.GetModeration().GetSlowModeMs() == 0 && u.GetPolicy() != nil && u.GetPolicy().GetSlowModeMs() == 0
	})
	told(func(u *rpc.RoomUpdate) bool { return len(u.GetModeration().GetSanctions()) == 0 })
	e.publish(room, "mallory", "k1", "I am back")
	if r := e.last(); r.GetCode() != 0 || r.GetSlowModeMs() != 0 {
		t.Fatalf("published afterwards: %v", r)
	}
}

func TestWhoMayModerate(t *testing.T) {
	c := startCluster(t, 1)
	n := c.nodes[0]
	e := c.attach(n, 7, 1)
	room := roomOf(t, e.welcome.GetState(), 1, "lobby")
	e.publish(room, "ann", "k1", "one")
	e.send(moderateCommand(t, &rpc.Moderate{Room: room, Actor: "edge", Rank: 3, Action: "ban", User: "ann"}))
	if code := e.lastCode(); code != protocol.BadCommand {
		t.Fatalf("an edge acts as an operator: %s", code)
	}
	m := &rpc.Moderate{Room: room, Action: "ban", User: "ann"}
	for _, role := range []pki.Role{pki.Edge, pki.Core} {
		if _, err := rpc.NewOperatorClient(c.dial(n, role, "n1")).ModerateRoom(t.Context(), m); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s moderates as an operator: %v", role, err)
		}
	}
	for _, role := range []pki.Role{pki.Edge, pki.Operator} {
		if _, err := rpc.NewPeerClient(c.dial(n, role, "n1")).ModerateRoom(t.Context(), m); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s moderates as a node: %v", role, err)
		}
	}
	if _, err := rpc.NewOperatorClient(c.dial(n, pki.Edge, "edge")).RoomModeration(t.Context(), &rpc.HeadRequest{Room: room}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("an edge asks as an operator: %v", err)
	}
	op := c.operator(n)
	for want, m := range map[protocol.Code]*rpc.Moderate{
		protocol.BadArgument: {Room: room, Action: "shout"},
		protocol.Future:      {Room: room, Action: "retract", Seq: 9},
		protocol.NotFound:    {Room: room + "x", Action: "retract", Seq: 9},
		protocol.Expired:     {Room: room, Action: "mute", User: "ann", DeadlineMs: time.Now().Add(-time.Minute).UnixMilli()},
	} {
		res, err := op.ModerateRoom(t.Context(), m)
		if err != nil || protocol.Code(res.GetResult().GetCode()) != want || res.GetMessage() == "" {
			t.Errorf("%v: %v, %v; want %s and why", m, res, err, want)
		}
	}
	if _, err := op.Audit(t.Context(), &rpc.AuditRequest{Shard: 99}); status.Code(err) != codes.NotFound {
		t.Errorf("the audit log of no shard: %v", err)
	}
	if _, err := op.RoomModeration(t.Context(), &rpc.HeadRequest{Room: "a/b"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("the moderation of no room: %v", err)
	}
}

// While nobody leads, an operator's moderation waits; a node that does not lead
// says so to its peers.
func TestAnOperatorsModerationWaitsForALeader(t *testing.T) {
	c := startCluster(t, 3)
	leader, follower := c.leads(1), c.follows(1)
	room := roomOf(t, c.attach(follower, 7, 1).welcome.GetState(), 1, "lobby")
	m := &rpc.Moderate{Room: room, Actor: "op", Rank: 3, Action: "mute", User: "ann"}
	res, err := rpc.NewPeerClient(c.dial(follower, pki.Core, "n9")).ModerateRoom(t.Context(), m)
	if err != nil || protocol.Code(res.GetCode()) != protocol.NotLeader {
		t.Fatalf("a follower answers %v, %v", res, err)
	}
	leader.kill(t)
	c.operate(follower, m)
	state, err := c.operator(follower).RoomModeration(t.Context(), &rpc.HeadRequest{Room: room})
	if err != nil || len(state.GetSanctions()) != 1 {
		eventually(t, "the follower has applied it", func() bool {
			state, err = c.operator(follower).RoomModeration(t.Context(), &rpc.HeadRequest{Room: room})
			return err == nil && len(state.GetSanctions()) == 1
		})
	}
}

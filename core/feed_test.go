package core_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

func presence(t testing.TB, room string, sessions uint32) []byte {
	return encode(t, &rpc.Command{Op: &rpc.Command_Presence{Presence: &rpc.Presence{Rooms: []*rpc.RoomPresence{{
		Room: room, Sessions: sessions, Users: []*rpc.UserPresence{{User: "ann", Name: "Ann", Sessions: sessions}},
	}}}}})
}

func TestASubscriptionIsAnsweredWhenItsRoomComesIntoBeing(t *testing.T) {
	c := startCluster(t, 1)
	e := c.attach(c.nodes[0], 7, 1)
	room := roomOf(t, e.welcome.GetState(), 1, "lobby")
	f := c.feed(c.nodes[0], 7)
	f.listen()
	f.subscribe(room, 0, 0, 0)
	e.send(presence(t, room, 1))
	if s := f.subscribed(); s.GetMembers() != 1 || s.GetHead() != 0 || s.GetStart() != 0 || s.GetPolicy().GetRetainMessages() == 0 {
		t.Fatalf("subscribed: %v", s)
	}
	e.send(presence(t, room, 3))
	for {
		if u := f.next().GetUpdate(); u != nil && u.GetMembers() == 3 {
			break
		}
	}
}

func TestAFeedResumesWhereItsEdgeIs(t *testing.T) {
	c := startCluster(t, 2)
	follower := c.follows(1)
	e := c.attach(c.nodes[0], 7, 1)
	room := roomOf(t, e.welcome.GetState(), 1, "lobby")
	for i := range 60 {
		e.publish(room, fmt.Sprint("u", i%10), fmt.Sprint("k", i), fmt.Sprint("m", i+1))
	}
	epoch := e.published()[0].GetEpoch()
	f := c.feed(follower, 7)
	f.listen()

	f.subscribe(room, epoch, 25, 0) // in the middle of a block, most likely
	if s := f.subscribed(); s.GetStart() != 25 || s.GetEpoch() != epoch {
		t.Fatalf("resume after 25: %v", s)
	}
	if got := f.texts(room, 26, 60); got[0] != "m26" || got[34] != "m60" {
		t.Fatalf("resumed with %v", got)
	}

	f.subscribe(room, epoch, 70, 0) // ahead of this replica: answered at once, and it waits
	if s := f.subscribed(); s.GetStart() != 70 {
		t.Fatalf("resume ahead of the head: %v", s)
	}
	for i := 60; i < 75; i++ {
		e.publish(room, fmt.Sprint("u", i%10), fmt.Sprint("k", i), fmt.Sprint("m", i+1))
	}
	_ = e.published()
	if got := f.texts(room, 71, 75); got[0] != "m71" {
		t.Fatalf("after the wait: %v", got)
	}

	f.subscribe(room, 0, 0, 5)
	if s := f.subscribed(); s.GetStart() != 70 || s.GetHead() != 75 {
		t.Fatalf("five recent ones: %v", s)
	}
	_ = f.texts(room, 71, 75)

	f.subscribe(room, 1, 4, 0) // a room of that name that is no more
	if s := f.subscribed(); s.GetStart() != 0 || s.GetEpoch() != epoch {
		t.Fatalf("resume in an old epoch: %v", s)
	}
	if g := f.next().GetGap(); g.GetReason() != "epoch" || g.GetEpoch() != 1 || g.GetFirst() != 5 {
		t.Fatalf("gap of the old epoch: %v", g)
	}
	_ = f.texts(room, 1, 75)
}

func TestWhatHistoryNoLongerHoldsIsAGap(t *testing.T) {
	c := startCluster(t, 1)
	res, err := c.operator(c.nodes[0]).SetPolicies(t.Context(), &rpc.PutPolicies{Policies: []*rpc.Policy{{Pattern: "*", RetainMessages: 10}}})
	if err != nil || res.GetCode() != 0 {
		t.Fatal(res, err)
	}
	e := c.attach(c.nodes[0], 7, 1)
	room := roomOf(t, e.welcome.GetState(), 1, "lobby")
	op := c.operator(c.nodes[0])
	for i := range 40 {
		e.publish(room, fmt.Sprint("u", i%10), fmt.Sprint("k", i), fmt.Sprint("m", i+1))
	}
	epoch := e.published()[0].GetEpoch()
	eventually(t, "history is trimmed", func() bool {
		e.publish(room, "x", protocol.FormatEpoch(uint64(len(e.published()))), "more")
		_ = e.published()
		d, err := op.ShowRoom(t.Context(), &rpc.HeadRequest{Room: room})
		return err == nil && d.GetFirst() > 20
	})
	f := c.feed(c.nodes[0], 7)
	f.listen()
	f.subscribe(room, epoch, 3, 0)
	s := f.subscribed()
	if s.GetStart() != s.GetFirst()-1 {
		t.Fatalf("subscribed: %v", s)
	}
	if g := f.next().GetGap(); g.GetReason() != "trimmed" || g.GetFirst() != 4 || g.GetLast() != s.GetStart() {
		t.Fatalf("gap: %v", g)
	}
	_ = f.texts(room, s.GetFirst(), s.GetHead())
}

func TestASlowFeedDelaysNobody(t *testing.T) {
	if testing.Short() {
		t.Skip("moves 12 MiB")
	}
	c := startCluster(t, 1)
	res, err := c.operator(c.nodes[0]).SetPolicies(t.Context(), &rpc.PutPolicies{
		Policies: []*rpc.Policy{{Pattern: "*", PublishRate: 100_000, PublishBurst: 100_000}},
	})
	if err != nil || res.GetCode() != 0 {
		t.Fatal(res, err)
	}
	e := c.attach(c.nodes[0], 7, 1)
	room := roomOf(t, e.welcome.GetState(), 1, "lobby")
	eventually(t, "the policy reaches the shard", func() bool {
		e.publish(room, "first", "first", "first")
		_ = e.published()
		d, err := c.operator(c.nodes[0]).ShowRoom(t.Context(), &rpc.HeadRequest{Room: room})
		return err == nil && d.GetPolicy().GetPublishRate() == 100_000
	})
	slow, quick := c.feed(c.nodes[0], 8), c.feed(c.nodes[0], 9)
	quick.listen()
	slow.subscribe(room, 0, 0, 0)
	quick.subscribe(room, 0, 0, 0)
	const n, size = 3000, 4000
	text := strings.Repeat("x", size)
	read := uint64(1)
	_ = quick.subscribed()
	for i := range n {
		e.publish(room, fmt.Sprint("u", i), fmt.Sprint("k", i), text)
		if i%250 == 249 {
			_ = e.published() // within the room's rate
			_ = quick.texts(room, read+1, uint64(i+2))
			read = uint64(i + 2)
		}
	}
	for _, r := range e.published() {
		if r.GetCode() != 0 {
			t.Fatalf("publish: %v", r)
		}
	}
	// Nobody has read the slow feed; it goes on where it stopped, or is told.
	slow.listen()
	next := slow.subscribed().GetStart() + 1
	for next <= n+1 {
		m := slow.next()
		switch {
		case m.GetGap() != nil:
			if m.GetGap().GetFirst() != next || m.GetGap().GetReason() != "trimmed" {
				t.Fatalf("gap %v, expected %d", m.GetGap(), next)
			}
			next = m.GetGap().GetLast() + 1
		case m.GetBlock() != nil:
			if m.GetBlock().GetFirst() != next {
				t.Fatalf("block from %d, expected %d", m.GetBlock().GetFirst(), next)
			}
			next += uint64(len(blockTexts(t, m.GetBlock())))
		}
	}
}

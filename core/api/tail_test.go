package api

import (
	"fmt"
	"testing"

	"github.com/barrage-im/barrage/core/room"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

func watchRoom(h *hub, name string) *cursor {
	c := &cursor{feed: &feed{wake: make(chan struct{}, 1)}, hub: h, room: name}
	h.watch(c)
	return c
}

func block(epoch, first uint64, count int, text string) room.Block {
	b := room.Block{Room: "r", Epoch: epoch, First: first, Count: uint32(count)}
	for i := range uint64(count) {
		b.Records = protocol.AppendRecord(b.Records, first+i, 1, protocol.AppendBody(nil, "u", "", "", text, nil))
	}
	b.CRC = protocol.CRC(b.Records)
	return b
}

func apply(h *hub, blocks ...room.Block) { h.applied(&room.Effects{Blocks: blocks}) }

func TestATailIsKeptAsLongAsACursorNeedsIt(t *testing.T) {
	h := newHub(1)
	quick, slow := watchRoom(h, "r"), watchRoom(h, "r")
	for _, c := range []*cursor{quick, slow} {
		h.place(c, 9, 1, 0)
	}
	apply(h, block(9, 1, 3, "a"), block(9, 4, 2, "b"))
	got, r := h.read(quick, nil)
	if r != reached || len(got) != 2 {
		t.Fatalf("%v, %d blocks", r, len(got))
	}
	h.advance(quick, 6)
	if _, r = h.read(quick, nil); r != level {
		t.Fatal(r)
	}
	if h.bytes == 0 {
		t.Fatal("the slow cursor's blocks are gone")
	}
	h.advance(slow, 3) // in the middle of a block
	got, r = h.read(slow, nil)
	if r != reached || len(got) != 2 {
		t.Fatalf("%v, %d blocks", r, len(got))
	}
	m, err := message(&got[0], slow.next)
	if err != nil || m.GetFirst() != 3 || m.GetCount() != 1 || protocol.RecordSeq(m.GetRecords()) != 3 || protocol.CRC(m.GetRecords()) != m.GetCrc() {
		t.Fatalf("%v, %v", m, err)
	}
	h.advance(slow, 6)
	if _, r = h.read(slow, nil); r != level || h.bytes != 0 {
		t.Fatalf("%v, %d bytes that nobody needs", r, h.bytes)
	}
}

func TestATailIsBounded(t *testing.T) {
	h := newHub(1)
	c := watchRoom(h, "r")
	h.place(c, 9, 1, 0)
	for i := range uint64(2 * maxTailBlocks) {
		apply(h, block(9, i+1, 1, fmt.Sprintf("%01000d", i)))
	}
	tl := h.rooms["r"]
	if len(tl.blocks) > maxTailBlocks || tl.bytes > maxTailBytes || h.bytes != tl.bytes {
		t.Fatalf("%d blocks, %d bytes, %d in all", len(tl.blocks), tl.bytes, h.bytes)
	}
	if _, r := h.read(c, nil); r != behind {
		t.Fatalf("a cursor that the tail lost is %v", r)
	}
	h.unwatch(c)
	if h.bytes != 0 || len(h.rooms) != 0 {
		t.Fatal("something is left of a room that nobody watches")
	}
}

func TestATailDoesNotContinueAnotherEpoch(t *testing.T) {
	h := newHub(1)
	c := watchRoom(h, "r")
	h.place(c, 9, 1, 0)
	apply(h, block(9, 1, 1, "old"))
	h.applied(&room.Effects{Gone: []room.Gone{{Room: "r", Epoch: 9}}, Blocks: []room.Block{block(12, 1, 1, "new")}})
	if got, r := h.read(c, nil); r != other || len(got) != 0 {
		t.Fatalf("%v, %d blocks", r, len(got))
	}
	h.place(c, 12, 1, 1)
	if got, r := h.read(c, nil); r != reached || got[0].Epoch != 12 {
		t.Fatal(r)
	}
	h.restored()
	if _, r := h.read(c, nil); r != other {
		t.Fatalf("after a restore: %v", r)
	}
	h.applied(&room.Effects{Updates: []room.Update{{Room: "r", Epoch: 12, Members: 3}}})
	if u, ok := h.takeUpdate(c); !ok || !u.all {
		t.Fatalf("what changed with the restore nobody tells: %+v", u)
	}
}

func TestUpdatesAddUp(t *testing.T) {
	users := func(names ...string) (out []*rpc.UserPresence) {
		for _, n := range names {
			out = append(out, &rpc.UserPresence{User: n})
		}
		return out
	}
	h := newHub(1)
	c := watchRoom(h, "r")
	h.place(c, 9, 1, 0)
	for i, u := range []room.Update{
		{Joined: users("ann", "bob")},
		{Left: users("ann"), Policy: &rpc.Policy{Pattern: "x"}},
		{Moderation: &rpc.Moderation{SlowModeMs: 5}},
		{Moderation: &rpc.Moderation{SlowModeMs: 6}},
		{Joined: users("cid")},
	} {
		u.Room, u.Epoch, u.Members = "r", 9, uint64(i)
		h.applied(&room.Effects{Updates: []room.Update{u}})
	}
	u, ok := h.takeUpdate(c)
	if !ok || u.members != 4 || u.all || u.moderation.GetSlowModeMs() != 6 || u.policy.GetPattern() != "x" || fmt.Sprint(names(u.joined), names(u.left)) != "[bob cid] [ann]" {
		t.Fatalf("%+v", u)
	}
	if _, ok := h.takeUpdate(c); ok {
		t.Fatal("told twice")
	}
	var crowd []string
	for i := range maxUpdateUsers + 1 {
		crowd = append(crowd, fmt.Sprint(i))
	}
	h.applied(&room.Effects{Updates: []room.Update{{Room: "r", Epoch: 9, Members: 300, Joined: users(crowd...)}}})
	if u, _ := h.takeUpdate(c); u.members != 300 || u.joined != nil {
		t.Fatalf("a crowd is told by name: %d", len(u.joined))
	}
}

func names(users []*rpc.UserPresence) (out []string) {
	for _, u := range users {
		out = append(out, u.GetUser())
	}
	return out
}

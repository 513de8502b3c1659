package room_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/barrage-im/barrage/core/room"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

func bigMessages() *rpc.Policy {
	return &rpc.Policy{Pattern: "*", MessageBytes: protocol.MaxMessage, RetainBytes: 1 << 30}
}

func TestEntriesOfAnotherSchemaStopTheReplica(t *testing.T) {
	sound := room.AppendEntry(nil, 1000, section(1, 1, 1, lease("e", 5000)))
	newer := slices.Clone(sound)
	newer[0]++
	damaged := slices.Clone(sound)
	damaged[len(damaged)-1] ^= 1
	unknown := section(1, 1, 1, lease("e", 5000), []byte{0xa2, 0x06, 0x00})
	for _, c := range []struct {
		name  string
		entry []byte
		want  error
	}{
		{"format", newer, room.ErrNewer},
		{"command", room.AppendEntry(nil, 1000, unknown), room.ErrNewer},
		{"entry field", room.AppendEntry(nil, 1000, []byte{0x1a, 0x00}), room.ErrNewer},
		{"checksum", damaged, room.ErrCorrupt},
		{"cut off", sound[:3], room.ErrCorrupt},
		{"empty", nil, room.ErrCorrupt},
	} {
		r := newReplica()
		if _, err := r.applyEntry(c.entry); !errors.Is(err, c.want) {
			t.Errorf("%s: Apply says %v, want %v", c.name, err, c.want)
		}
		if r.store.Len() != 0 {
			t.Errorf("%s: the store has %d keys after a refused entry", c.name, r.store.Len())
		}
	}
}

func TestSeqStaysExactInJSON(t *testing.T) {
	r := newReplica()
	r.must(1000, section(1, 1, 1, lease("e", 5000), presence(&rpc.RoomPresence{Room: "a", Sessions: 1})))
	r.SetHead("a", protocol.MaxSeq-1)
	e := r.must(1000, section(1, 1, 3, publish("a", "u", "1", "x"), publish("a", "u", "2", "x")))
	first, second := e.Sections[0].Results[0], e.Sections[0].Results[1]
	if first.Seq != protocol.MaxSeq || protocol.Code(second.Code) != protocol.Overloaded {
		t.Errorf("results %v, %v; want the last seq, then a refusal", first, second)
	}
}

func TestTimeNeverGoesBack(t *testing.T) {
	r := newReplica()
	r.must(5000, section(0, 0, 0, tick()))
	if e := r.must(4000, section(0, 0, 0, tick())); e.Time != 5000 || r.Time() != 5000 {
		t.Errorf("time %d after an entry from the past, want 5000", e.Time)
	}
}

func TestListPagesThroughManyRooms(t *testing.T) {
	r := newReplica()
	r.must(1000, section(1, 1, 1, lease("e", 600_000)))
	const rooms = 3000 // several runs of the name index
	var want []string
	for i := range uint64(rooms) {
		name := fmt.Sprintf("room-%04d", i*7919%rooms)
		want = append(want, name)
		r.must(1000, section(1, 1, 2+i, presence(&rpc.RoomPresence{Room: name, Sessions: 1})))
	}
	slices.Sort(want)
	var got []string
	for after := ""; ; after = got[len(got)-1] {
		page := r.List(after, 700, nil)
		if len(page) == 0 {
			break
		}
		for _, info := range page {
			got = append(got, info.Room)
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("pages hold %d rooms, want the %d in order", len(got), len(want))
	}
	if odd := r.List("", 10, func(n string) bool { return n == "room-0042" }); len(odd) != 1 || odd[0].Room != "room-0042" {
		t.Errorf("List with a match returned %v", odd)
	}
	// The edge goes, and the rooms after it, a bounded number at a time.
	due := r.Due()
	for steps := 0; r.Len() > 0; steps++ {
		before := r.Len()
		e := r.must(r.Due(), section(0, 0, 0, tick()))
		if before-r.Len() != len(e.Gone) || len(e.Gone) > 64 {
			t.Fatalf("%d rooms of %d left, %d are said to be gone", before-r.Len(), before, len(e.Gone))
		}
		if steps > 200 {
			t.Fatalf("%d rooms are left at %d, ticks began at %d", r.Len(), r.Time(), due)
		}
	}
	if err := r.Check(&r.store); err != nil {
		t.Fatal(err)
	}
	if due := r.Due(); due != 0 {
		t.Errorf("something is due at %d in an empty shard", due)
	}
	r.store.Delete([]byte{'m'})
	if r.store.Len() != 0 {
		t.Errorf("%d keys are left of an empty shard", r.store.Len())
	}
}

// Old blocks go in portions: an entry that finds many does not stall.
func TestDeletionIsSpreadOverEntries(t *testing.T) {
	r := newReplica()
	r.must(1000, section(0, 0, 0, policies(1, &rpc.Policy{Pattern: "*", RetainMessages: 1, PublishRate: 100_000, PublishBurst: 100_000})),
		section(1, 1, 1, lease("e", 600_000)))
	const blocks = 3000
	for i := range uint64(blocks) {
		r.must(1000, section(1, 1, 2+i, publish("a", "u", fmt.Sprint(i), "x")))
	}
	if n := len(r.blockKeys()); n != blocks {
		t.Fatalf("%d blocks; keys of the window need all %d", n, blocks)
	}
	for steps := 0; len(r.blockKeys()) > 1; steps++ {
		before := len(r.blockKeys())
		r.must(r.Due(), section(0, 0, 0, tick()))
		if n := before - len(r.blockKeys()); n > 1100 {
			t.Fatalf("one entry deleted %d blocks", n)
		}
		if steps > 20 {
			t.Fatalf("%d blocks are left", len(r.blockKeys()))
		}
	}
	if err := r.Check(&r.store); err != nil {
		t.Fatal(err)
	}
	again := room.New(1)
	if err := again.Load(&r.store); err != nil {
		t.Fatal(err)
	}
	if err := again.Check(&r.store); err != nil {
		t.Fatal(err)
	}
}

func TestUpdatesNameABoundedNumberOfUsers(t *testing.T) {
	r := newReplica()
	st := &rpc.RoomPresence{Room: "a", Sessions: 400}
	for i := range 400 {
		st.Users = append(st.Users, &rpc.UserPresence{User: fmt.Sprintf("u%03d", i), Sessions: 1})
	}
	e := r.must(1000, section(0, 0, 0, policies(1, &rpc.Policy{Pattern: "*", PresenceEvents: true})),
		section(1, 1, 1, lease("e", 5000), presence(st)))
	if len(e.Updates) != 1 || len(e.Updates[0].Joined) != room.MaxPresenceEvents || e.Updates[0].Members != 400 {
		t.Fatalf("%d updates; want one of 400 members that names %d", len(e.Updates), room.MaxPresenceEvents)
	}
	e = r.must(9000, section(0, 0, 0, tick()))
	if len(e.Updates) != 1 || len(e.Updates[0].Left) != room.MaxPresenceEvents || e.Updates[0].Members != 0 {
		t.Fatalf("%d updates after the edge was lost; want one of 0 members that names %d", len(e.Updates), room.MaxPresenceEvents)
	}
}

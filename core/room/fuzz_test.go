package room_test

import (
	"errors"
	"testing"

	"github.com/barrage-im/barrage/core/room"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

func seeds() [][]byte {
	return [][]byte{
		lease("e", 5000), publish("a", "u", "k", "hi"), release("a"), tick(), term(),
		presence(&rpc.RoomPresence{Room: "a", Sessions: 1, Users: []*rpc.UserPresence{{User: "u", Sessions: 1}}}),
		policies(1, &rpc.Policy{Pattern: "*", RetainMessages: 1}),
		moderate(&rpc.Moderate{Room: "a", Actor: "m", Rank: 1, Action: "retract", Seq: 1, Reason: "rude"}),
		moderate(&rpc.Moderate{Room: "a", Actor: "m", Rank: 2, Action: "mute", User: "u", DurationMs: 5000}),
		moderate(&rpc.Moderate{Room: "b", Actor: "m", Rank: 2, Action: "slow", DurationMs: 5000}),
		{},
		{0x12},
		{0x12, 0x00},
		{0x12, 0x05, 0x0a, 0xff},
		{0x0a, 0x00, 0x12, 0x00},
		{0xa2, 0x06, 0x00},
	}
}

// prepared is a replica with a lane, a room and a member.
func prepared() *replica {
	r := newReplica()
	r.must(1000, section(1, 1, 1, lease("e", 5000), publish("a", "u", "k", "hi"),
		presence(&rpc.RoomPresence{Room: "a", Sessions: 1, Users: []*rpc.UserPresence{{User: "u", Sessions: 1}}})))
	r.must(1000, section(0, 0, 0,
		moderate(&rpc.Moderate{Room: "c", Actor: "m", Rank: 1, Action: "mute", User: "v", DurationMs: 900}),
		moderate(&rpc.Moderate{Room: "c", Actor: "m", Rank: 1, Action: "ban", User: "v"}),
		moderate(&rpc.Moderate{Room: "c", Actor: "m", Rank: 1, Action: "slow", DurationMs: 900})))
	r.must(1000, section(1, 1, 4, publish("d", "u", "k", "hi"), moderate(&rpc.Moderate{Room: "d", Actor: "m", Rank: 1, Action: "retract", Seq: 1})))
	return r
}

// tryEntry applies an entry; whatever it holds, the state stays sound, an error
// changes nothing, and what was stored can be loaded.
func tryEntry(t *testing.T, r *replica, entry []byte) *room.Effects {
	before := r.store.Clone()
	effects, err := r.applyEntry(entry)
	if err != nil {
		if !errors.Is(err, room.ErrNewer) && !errors.Is(err, room.ErrCorrupt) {
			t.Fatalf("untyped error: %v", err)
		}
		if !before.Same(&r.store) {
			t.Fatal("an entry that was refused changed the store")
		}
	}
	if err := r.Check(&r.store); err != nil {
		t.Fatal(err)
	}
	if err := room.New(1).Load(&r.store); err != nil {
		t.Fatal(err)
	}
	return effects
}

func FuzzApplyEntry(f *testing.F) {
	for _, c := range seeds() {
		f.Add(room.AppendEntry(nil, 2000, section(1, 1, 6, c)))
		f.Add(room.AppendEntry(nil, -5, section(0, 0, 0, c)))
	}
	f.Add([]byte{})
	f.Add([]byte{2, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, entry []byte) { tryEntry(t, prepared(), entry) })
}

func FuzzApplySections(f *testing.F) {
	for _, c := range seeds() {
		f.Add(int64(2000), section(1, 1, 6, c))
	}
	f.Add(int64(1)<<62, []byte{0x12, 0x01, 0xff})
	f.Fuzz(func(t *testing.T, timeMS int64, sections []byte) {
		tryEntry(t, prepared(), room.AppendEntry(nil, timeMS, sections))
	})
}

func FuzzApplyCommand(f *testing.F) {
	for _, c := range seeds() {
		f.Add(uint64(1), c)
		f.Add(uint64(0), c)
	}
	f.Fuzz(func(t *testing.T, edge uint64, command []byte) {
		edge %= 2
		r := prepared()
		effects := tryEntry(t, r, room.AppendEntry(nil, 2000, section(edge, 1, 6, command)))
		if (effects != nil) != room.Known(command) {
			t.Fatalf("Known = %t, applied = %t", room.Known(command), effects != nil)
		}
		if effects != nil && (len(effects.Sections) != 1 || len(effects.Sections[0].Results) != 1) {
			t.Fatalf("%+v: want one result", effects.Sections)
		}
		if effects != nil {
			for _, b := range effects.Blocks {
				if protocol.RecordSeq(b.Records) != b.First {
					t.Fatalf("block %+v does not begin with its first seq", b)
				}
			}
		}
	})
}

// FuzzLoad: a damaged store is refused, never believed.
func FuzzLoad(f *testing.F) {
	f.Add(uint16(0), uint16(0), byte(1))
	f.Add(uint16(5), uint16(30), byte(0x80))
	f.Fuzz(func(t *testing.T, at, offset uint16, flip byte) {
		r := prepared()
		i := 0
		var key, value []byte
		_ = r.store.Scan([]byte{0}, []byte{0xff}, false, func(k, v []byte) bool {
			if i == int(at)%r.store.Len() {
				key, value = append(key, k...), append(value, v...)
			}
			i++
			return true
		})
		value[int(offset)%len(value)] ^= flip
		r.store.Set(key, value)
		err := room.New(1).Load(&r.store)
		if flip != 0 && !errors.Is(err, room.ErrCorrupt) {
			t.Fatalf("%q was damaged; Load says %v", key, err)
		}
		if flip == 0 && err != nil {
			t.Fatal(err)
		}
	})
}

package room_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/core/room"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

func TestABodyThatWouldReadAsAMarkIsRefused(t *testing.T) {
	r := newReplica()
	bodies := []string{"\x40\x01", "\x4a\x01x", "\x58\x01", "\x08\x05", "\x10\x05", "\x00"}
	commands := [][]byte{lease("e", 5000)}
	for i, body := range bodies {
		commands = append(commands, encode(&rpc.Command{Op: &rpc.Command_Publish{Publish: &rpc.Publish{
			Room: "a", User: "u", Key: fmt.Sprint(i), Body: []byte(body),
		}}}))
	}
	e := r.must(1000, section(1, 1, 1, commands...))
	for i, res := range e.Sections[0].Results[1:] {
		if protocol.Code(res.Code) != protocol.BadCommand {
			t.Errorf("body %x: %v", bodies[i], res)
		}
	}
	if len(e.Blocks) > 0 {
		t.Errorf("%+v", e.Blocks)
	}
}

// A reader's snapshot may be later than what it knows of the room: what was
// retracted stays so as long as its bytes are there.
func TestNoReaderEverGetsWhatWasRetracted(t *testing.T) {
	r := newReplica()
	r.must(1000, section(0, 0, 0, policies(1, &rpc.Policy{Pattern: "*", RetainMessages: 2})))
	r.must(1000, section(1, 1, 1, lease("e", 600_000), publish("a", "u", "k1", "secret"), publish("a", "u", "k2", "two")))
	before, _ := r.Info("a")
	r.must(1000, section(1, 1, 4, moderate(&rpc.Moderate{Room: "a", Actor: "m", Rank: 1, Action: "retract", Seq: 1})))
	for i := range 4 {
		now := int64(1000 + i*70_000)
		r.must(now, section(1, 1, uint64(5+i), publish("a", "u", fmt.Sprint("later", i), "x")))
		for _, reverse := range []bool{false, true} {
			page, err := room.History(&r.store, before, 1, 0, 0, reverse)
			if strings.Contains(string(page.Records), "secret") {
				t.Fatalf("after %d: read %q", i, page.Records)
			}
			if i == 3 && (err == nil || err.Code != protocol.Trimmed) {
				t.Fatalf("the block is gone, and reading it says %v", err)
			}
		}
	}
	left := 0
	_ = r.store.Scan([]byte{'t'}, []byte{'u'}, false, func(_, _ []byte) bool { left++; return true })
	if left != 0 {
		t.Fatalf("%d tombstones outlive their blocks", left)
	}
}

func TestAStoreWithoutATombstoneIsNotLoaded(t *testing.T) {
	r := prepared()
	var key []byte
	_ = r.store.Scan([]byte{'t'}, []byte{'u'}, false, func(k, _ []byte) bool {
		key = append(key, k...)
		return false
	})
	if key == nil {
		t.Fatal("no tombstone is stored")
	}
	r.store.Delete(key)
	if err := room.New(1).Load(&r.store); !errors.Is(err, room.ErrCorrupt) {
		t.Fatalf("loaded: %v", err)
	}
}

func TestLookingForSanctionsTakesNoMemory(t *testing.T) {
	m := &rpc.Moderation{}
	for i := range 1000 {
		for _, action := range []string{"ban", "mute"} {
			m.Sanctions = append(m.Sanctions, &rpc.Sanction{User: fmt.Sprintf("a-user-with-a-rather-long-name-%04d", i), Action: action, Rank: 1, UntilMs: 5000})
		}
	}
	m.Sanctions = m.Sanctions[1:] // the first user is muted only
	for user, want := range map[string]protocol.Code{
		"a-user-with-a-rather-long-name-0000": protocol.Muted, "a-user-with-a-rather-long-name-0999": protocol.Banned,
		"a-user-with-a-rather-long-name-": protocol.OK, "z": protocol.OK,
	} {
		b := []byte(user)
		if n := testing.AllocsPerRun(10, func() { room.Sanctioned(m, b, 0, 1000) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
		if code, left := room.Sanctioned(m, b, 0, 1000); code != want || want != protocol.OK && left != 4000 {
			t.Errorf("%s: %s for %d ms, want %s", user, code, left, want)
		}
		if code, _ := room.Sanctioned(m, b, 1, 1000); code != protocol.OK {
			t.Errorf("%s of the same rank: %s", user, code)
		}
		if code, _ := room.Sanctioned(m, b, 0, 5000); code != protocol.OK {
			t.Errorf("%s afterwards: %s", user, code)
		}
	}
	if code, _ := room.Sanctioned((*rpc.Moderation)(nil), "u", 0, 0); code != protocol.OK {
		t.Error(code)
	}
}

// What is told is shared: a later decision must not change it.
func TestWhatWasToldOfModerationStays(t *testing.T) {
	r := newReplica()
	var told []*rpc.Moderation
	var copies []proto.Message
	act := func(m *rpc.Moderate) {
		m.Room, m.Actor, m.Rank = "a", "m", 1
		r.must(1000, section(0, 0, 0, moderate(m)))
		told = append(told, r.Moderation("a"))
		copies = append(copies, proto.Clone(r.Moderation("a")))
	}
	act(&rpc.Moderate{Action: "mute", User: "b"})
	act(&rpc.Moderate{Action: "mute", User: "d"})
	act(&rpc.Moderate{Action: "mute", User: "a"})
	act(&rpc.Moderate{Action: "ban", User: "b", Reason: "again"})
	act(&rpc.Moderate{Action: "mute", User: "d", Reason: "again"})
	act(&rpc.Moderate{Action: "unmute", User: "b"})
	act(&rpc.Moderate{Action: "slow", DurationMs: 5})
	for i := range told {
		if !proto.Equal(told[i], copies[i]) {
			t.Errorf("%v became %v", copies[i], told[i])
		}
	}
}

// Rooms keep the fingerprint of their policy: what is new in policies counts,
// and what was there before has the fingerprint that it had.
func TestPoliciesOfModerationReachTheirRooms(t *testing.T) {
	r := newReplica()
	r.must(1000, section(1, 1, 1, lease("e", 600_000), publish("a", "u", "k", "x")))
	version := uint64(0)
	told := func(p *rpc.Policy) bool {
		version++
		p.Pattern = "*"
		e := r.must(1000, section(0, 0, 0, policies(version, p)), section(1, 1, 2+version, publish("a", "u", fmt.Sprint(version), "x")))
		return len(e.Updates) == 1 && e.Updates[0].Policy != nil
	}
	for i, p := range []*rpc.Policy{
		{Owners: []string{"x"}},
		{Owners: []string{"x", "y"}},
		{Moderators: []string{"x", "y"}},
		{Role: "muted"},
		{Filter: "off"},
		{Hook: "off"},
		{FilterSeverity: 2},
		{FilterSeverity: 3},
		{},
	} {
		if !told(p) {
			t.Errorf("%d: nobody hears of %v", i, p)
		}
	}
	if told(&rpc.Policy{}) {
		t.Error("the same policy is told again")
	}
}

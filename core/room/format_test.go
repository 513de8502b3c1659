package room_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/barrage-im/barrage/core/room"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// The log and the store are read by later versions: a difference here needs a
// new entry format, or a reader for both.
func TestFormatOnDisk(t *testing.T) {
	entry := room.AppendEntry(nil, 1000, append(
		section(0, 0, 0, policies(1, &rpc.Policy{Pattern: "*", PublishRate: 1, PublishBurst: 2})),
		section(7, 1, 1, lease("edge", 5000), publish("a", "u", "k1", "one"), publish("a", "u", "k2", "two"), publish("a", "u", "k3", "held"),
			presence(&rpc.RoomPresence{Room: "b", Sessions: 2, Users: []*rpc.UserPresence{{User: "u", Name: "U", Sessions: 2}}}))...))
	r := newReplica()
	if _, err := r.applyEntry(entry); err != nil {
		t.Fatal(err)
	}
	moderation := room.AppendEntry(nil, 1001, section(7, 1, 6,
		moderate(&rpc.Moderate{Room: "a", Actor: "m", Name: "M", Rank: 1, Action: "retract", Seq: 1, Reason: "rude"}),
		moderate(&rpc.Moderate{Room: "a", Actor: "m", Rank: 1, Action: "mute", User: "u", DurationMs: 5000, Reason: "rude"}),
		moderate(&rpc.Moderate{Room: "a", Actor: "m", Rank: 1, Action: "ban", User: "u"}),
		moderate(&rpc.Moderate{Room: "c", Actor: "m", Rank: 1, Action: "slow", DurationMs: 5000})))
	if _, err := r.applyEntry(moderation); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	fmt.Fprintf(&got, "entry\n  %x\n", entry)
	fmt.Fprintf(&got, "entry\n  %x\n", moderation)
	_ = r.store.Scan([]byte{0}, []byte{0xff}, false, func(k, v []byte) bool {
		fmt.Fprintf(&got, "%q\n  %x\n", k, v)
		return true
	})
	const golden = "testdata/format.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Error(firstDifference(string(want), got.String()))
	}
}

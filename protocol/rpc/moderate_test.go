package rpc_test

import (
	"strings"
	"testing"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

func TestModerationsAreChecked(t *testing.T) {
	for _, c := range []struct {
		m    *rpc.Moderate
		want string // in the error; empty: none
	}{
		{&rpc.Moderate{Action: "retract", Seq: 1, Reason: strings.Repeat("r", protocol.MaxReason)}, ""},
		{&rpc.Moderate{Action: "mute", User: "ann", DurationMs: uint64(protocol.MaxSanction.Milliseconds())}, ""},
		{&rpc.Moderate{Action: "unban", User: "ann"}, ""},
		{&rpc.Moderate{Action: "slow", DurationMs: rpc.MaxSlowMode}, ""},
		{&rpc.Moderate{Action: "slow"}, ""},
		{&rpc.Moderate{Action: "approve", Seq: 1}, `action "approve" is none of [retract mute unmute ban unban slow]`},
		{&rpc.Moderate{Action: "retract"}, "retract needs the seq of a message"},
		{&rpc.Moderate{Action: "retract", Seq: 1 << 53}, "retract needs the seq"},
		{&rpc.Moderate{Action: "mute"}, `user "": a user id`},
		{&rpc.Moderate{Action: "ban", User: "a b"}, `user "a b": a user id`},
		{&rpc.Moderate{Action: "ban", User: "ann", DurationMs: uint64(protocol.MaxSanction.Milliseconds()) + 1}, "until it is lifted"},
		{&rpc.Moderate{Action: "slow", DurationMs: rpc.MaxSlowMode + 1}, "the most is 86400000"},
		{&rpc.Moderate{Action: "mute", User: "ann", Reason: strings.Repeat("r", protocol.MaxReason+1)}, "257 bytes, at most 256"},
		{&rpc.Moderate{Action: "mute", User: "ann", Reason: "\xff"}, "valid UTF-8"},
		{&rpc.Moderate{Room: "a/b", Action: "slow"}, "room"},
	} {
		if c.m.Room == "" {
			c.m.Room = "lobby"
		}
		err := rpc.CheckModerate(c.m)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %q", c.m, err, c.want)
		}
	}
}

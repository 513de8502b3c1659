package hub

import (
	"log/slog"
	"testing"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
	"github.com/barrage-im/barrage/protocol/wire"
)

type told struct {
	Owner
	list []*wire.Sanction
}

func (o *told) Sanctioned(_ *Member, s *wire.Sanction) { o.list = append(o.list, s) }

func decided(list ...*rpc.Sanction) *rpc.Moderation { return &rpc.Moderation{Sanctions: list} }

// A sanction given between the making of a join's reply and the moment from
// which the member is found is told all the same.
func TestSanctionsMissedDuringAJoinAreTold(t *testing.T) {
	h, err := New(Default(), nil, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	r, owner := &Room{name: "lobby", hub: h}, &told{}
	m := &Member{owner: owner, room: r, user: "eve"}
	was := decided()
	r.moderation.Store(was)
	r.recall(m, was)
	r.moderation.Store(decided(
		&rpc.Sanction{User: "ann", Action: protocol.Ban, Rank: 1},
		&rpc.Sanction{User: "eve", Action: protocol.Ban, Rank: 1, Reason: "spam"},
		&rpc.Sanction{User: "eve", Action: protocol.Mute, Rank: 0},
	))
	r.recall(m, was)
	if len(owner.list) != 1 || owner.list[0].GetAction() != protocol.Ban || owner.list[0].GetReason() != "spam" || owner.list[0].GetRoom() != "lobby" {
		t.Errorf("told %v", owner.list)
	}
}

func TestSanctionsReachLowerRanksUntilTheirEnd(t *testing.T) {
	now := time.UnixMilli(1000)
	m := decided(
		&rpc.Sanction{User: "ann", Action: protocol.Ban, Rank: 2, UntilMs: 1000},
		&rpc.Sanction{User: "ann", Action: protocol.Mute, Rank: 2, UntilMs: 1001},
		&rpc.Sanction{User: "bob", Action: protocol.Ban, Rank: 1},
	)
	for _, c := range []struct {
		action, user string
		rank         rpc.Rank
		under        bool
	}{
		{protocol.Ban, "ann", 0, false}, // over
		{protocol.Mute, "ann", 0, true},
		{protocol.Mute, "ann", 1, true},
		{protocol.Mute, "ann", 2, false},
		{protocol.Ban, "bob", 0, true},
		{protocol.Ban, "bob", 1, false},
		{protocol.Mute, "bob", 0, false},
		{protocol.Ban, "zoe", 0, false},
	} {
		if got := Sanction(m, c.action, c.user, c.rank, now); (got != nil) != c.under {
			t.Errorf("%s of %s with rank %v: %v", c.action, c.user, c.rank, got)
		}
	}
	if Sanction(nil, protocol.Ban, "ann", 0, now) != nil {
		t.Error("a sanction where nothing was decided")
	}
}

func TestChangesAreToldOnce(t *testing.T) {
	mute := &rpc.Sanction{User: "ann", Action: protocol.Mute, Rank: 1}
	longer := &rpc.Sanction{User: "ann", Action: protocol.Mute, Rank: 1, UntilMs: 5}
	ban := &rpc.Sanction{User: "bob", Action: protocol.Ban, Rank: 1}
	for why, c := range map[string]struct {
		was, is *rpc.Moderation
		want    map[string]string
	}{
		"nothing":  {decided(mute, ban), decided(mute, ban), nil},
		"given":    {nil, decided(mute, ban), map[string]string{"ann": "mute", "bob": "ban"}},
		"lifted":   {decided(mute, ban), nil, map[string]string{"ann": "unmute", "bob": "unban"}},
		"extended": {decided(mute), decided(longer), map[string]string{"ann": "mute"}},
	} {
		got := changes(c.was, c.is)
		if len(got) != len(c.want) {
			t.Errorf("%s: %v", why, got)
		}
		for user, action := range c.want {
			if len(got[user]) != 1 || got[user][0].action != action {
				t.Errorf("%s: %s gets %v, want %s", why, user, got[user], action)
			}
		}
	}
}

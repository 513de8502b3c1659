package protocol_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/barrage-im/barrage/protocol"
)

func TestFeedsAreRoomsOfTheirOwn(t *testing.T) {
	seen := map[string]string{}
	for _, room := range []string{"lobby", "群聊", strings.Repeat("a", 124), strings.Repeat("a", 125), strings.Repeat("a", 128), strings.Repeat("日", 42)} {
		feed := protocol.FeedRoom(room)
		if _, err := protocol.CanonicalRoom(feed); err != nil {
			t.Errorf("the feed of %s: %v", room, err)
		}
		if other := seen[feed]; other != "" {
			t.Errorf("%s is the feed of %s and %s", feed, room, other)
		}
		seen[feed] = room
		if !protocol.IsFeed(feed) || protocol.IsFeed(room) {
			t.Errorf("%s and its feed %s are not told apart", room, feed)
		}
		if of, ok := protocol.FeedOf(feed); ok != (len(room) <= 124) || ok && of != room {
			t.Errorf("%s is the feed of %q, %v; want %s", feed, of, ok, room)
		}
	}
	if _, ok := protocol.FeedOf("lobby"); ok {
		t.Error("lobby is no feed")
	}
}

func TestModeratorsActions(t *testing.T) {
	ms := uint64(protocol.MaxSanction.Milliseconds())
	for why, c := range map[string]struct {
		action, user string
		seq, ms      uint64
		reason       string
		good         bool
	}{
		"retract":                  {protocol.Retract, "", 4, 0, "off topic", true},
		"retract nothing":          {protocol.Retract, "", 0, 0, "", false},
		"retract beyond 2^53":      {protocol.Retract, "", protocol.MaxSeq + 1, 0, "", false},
		"retract for a while":      {protocol.Retract, "", 4, 1000, "", false},
		"retract a user":           {protocol.Retract, "ann", 4, 0, "", false},
		"mute":                     {protocol.Mute, "ann", 0, ms, "spam", true},
		"mute for ever":            {protocol.Mute, "ann", 0, 0, "", true},
		"mute for eleven years":    {protocol.Mute, "ann", 0, ms + 1, "", false},
		"mute nobody":              {protocol.Mute, "", 0, 0, "", false},
		"mute who cannot be":       {protocol.Mute, "a b", 0, 0, "", false},
		"mute a message":           {protocol.Mute, "ann", 4, 0, "", false},
		"ban":                      {protocol.Ban, "ann", 0, 60_000, "", true},
		"unban for a while":        {protocol.Unban, "ann", 0, 1, "", false},
		"slow":                     {protocol.Slow, "", 0, 5000, "", true},
		"slow for two days":        {protocol.Slow, "", 0, 48 * 60 * 60 * 1000, "", false},
		"approve":                  {protocol.Approve, "", 9, 0, "", true},
		"a reason of 513 bytes":    {protocol.Mute, "ann", 0, 0, strings.Repeat("r", protocol.MaxReason+1), false},
		"an action nobody knows":   {"dance", "", 0, 0, "", false},
		"no action":                {"", "", 0, 0, "", false},
		"mute in another spelling": {"Mute", "ann", 0, 0, "", false},
	} {
		err := protocol.CheckModerate(c.action, c.user, c.seq, c.ms, c.reason)
		if c.good && err != nil || !c.good && !errors.Is(err, &protocol.Error{Code: protocol.BadArgument}) {
			t.Errorf("%s: %v", why, err)
		}
	}
}

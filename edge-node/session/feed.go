package session

import (
	"encoding/json"
	"time"

	"github.com/barrage-im/barrage/edge-node/limit"
	"github.com/barrage-im/barrage/edge-node/screen"
	"github.com/barrage-im/barrage/edge-node/upstream"
	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// Limits of a moderation feed.
const (
	// feedRate and feedBurst bound, for each room, what its feed is told of
	// messages that moderators need not decide on: refused ones, and what rules
	// on trial would have done. Whoever floods a room must not flood them.
	feedRate  = 1 // a second
	feedBurst = 20
	// minText is what is kept of a text at least, in bytes, when an item is cut.
	minText = 64
)

// Kinds of items besides protocol.KindHeld.
const (
	kindFlagged  = "flagged"
	kindShadowed = "shadowed"
	kindBlocked  = "blocked"
	kindReported = "reported" // rules on trial would have had action done
)

// A note is the data of an item: what happened to a message, and what its text
// does not say.
type note struct {
	Room       string   `json:"room"`
	Key        string   `json:"key"`
	Kind       string   `json:"kind,omitempty"`
	Action     string   `json:"action"`
	Severity   uint8    `json:"severity,omitempty"`
	Categories []string `json:"categories,omitempty"`
	Set        string   `json:"set"`
	Rules      uint64   `json:"rules,omitempty"`
	Reason     string   `json:"reason,omitempty"`
	Data       []byte   `json:"data,omitempty"`
	Cut        bool     `json:"cut,omitempty"` // text or data is not all of it
}

// A feed tells moderators of messages. It is an upstream.Owner for the items
// that nobody waits for.
type feed struct {
	srv   *Server
	rates *limit.Table
}

func newFeed(s *Server) *feed {
	return &feed{srv: s, rates: limit.NewTable(feedRate, feedBurst, maxRateKeys)}
}

// item is what moderators are told of a message; nil: nothing. The strongest
// that was done counts, then what would have been.
func (f *feed) item(room string, m *upstream.Message, v *verdict) *upstream.Message {
	kind, finding := "", &v.Finding
	switch v.Action {
	case filter.Flag:
		kind = kindFlagged
	case filter.Shadow:
		kind = kindShadowed
	case filter.Hold:
		kind = protocol.KindHeld
	case filter.Block:
		kind = kindBlocked
	case filter.Pass, filter.Mask: // seen as it is by everybody
		if v.Reported.Action == filter.Pass {
			return nil
		}
		kind, finding = kindReported, &v.Reported
	}
	if kind == kindBlocked || kind == kindReported {
		if ok, _ := f.rates.Allow(room, time.Now()); !ok {
			f.srv.met.unfed.WithLabelValues("flood").Inc()
			return nil
		}
	}
	n := &note{
		Room: room, Key: string(m.Key), Kind: string(m.Kind), Action: finding.Action.String(), Severity: finding.Severity,
		Categories: finding.Categories, Set: finding.Set, Rules: finding.Rules, Reason: v.reason, Data: m.Data,
	}
	text, data := n.fit(string(m.Text), f.size(room))
	// The message's own key: when the sender sends it again, the feed does not
	// hold it twice.
	return &upstream.Message{User: m.User, Name: m.Name, Key: []byte(n.Key), Kind: []byte(kind), Text: []byte(text), Data: data}
}

// size is the largest message of a room's feed.
func (f *feed) size(room string) int {
	return messageSize(f.srv.policy(protocol.FeedRoom(room)))
}

// fit cuts what is too much for one message: the data first, which people
// cannot read, then the reason, then the text.
func (n *note) fit(text string, limit int) (_ string, data []byte) {
	encode := func() int {
		data, _ = json.Marshal(n) // of strings and numbers: it cannot fail
		return len(text) + len(data) - limit
	}
	over := encode()
	if over > 0 && len(n.Data) > 0 {
		n.Data, n.Cut = nil, true
		over = encode()
	}
	if over > 0 && len(text)-over < minText && n.Reason != "" {
		n.Reason, n.Cut = "", true
		over = encode()
	}
	if over > 0 {
		n.Cut = true
		over = encode()
		text = screen.CutText(text, max(len(text)-over, min(minText, len(text))))
	}
	return text, data
}

// tell puts an item that nobody waits for into a room's feed.
func (f *feed) tell(room string, item *upstream.Message) {
	if item == nil {
		return
	}
	out := upstream.Publish{
		Room: protocol.FeedRoom(room), DeadlineMS: time.Now().Add(f.srv.cfg.PublishTimeout).UnixMilli(), Owner: f,
	}
	if err := f.srv.core.Publish(out, item); err != nil {
		f.lost(err.Code)
		return
	}
	f.srv.met.fed.WithLabelValues(string(item.Kind)).Inc()
}

// Answered implements upstream.Owner.
func (f *feed) Answered(_ *upstream.Publish, r *rpc.Result) {
	if code := protocol.Code(r.GetCode()); code != protocol.OK && code != protocol.KeyConflict {
		f.lost(code)
	}
}

// Flush implements upstream.Owner.
func (f *feed) Flush() {}

func (f *feed) lost(code protocol.Code) { f.srv.met.unfed.WithLabelValues(code.Name()).Inc() }

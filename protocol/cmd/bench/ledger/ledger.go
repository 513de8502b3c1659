// Package ledger accounts for every message of a load: what was sent, how it
// was answered, and what each member received of it. It knows no protocol and
// does no I/O; the same accounts are kept for Barrage and for the peers it is
// compared with.
package ledger

import (
	"fmt"
	"sync"
	"time"
)

// A Ledger is the account of one run. All methods may be called by any
// goroutine.
type Ledger struct {
	mu         sync.Mutex // guards the fields below
	publishers []*publisher
	tracks     []*Track
	refusals   map[string]uint64
	sent       uint64
	acked      uint64
	refused    uint64
	unknown    uint64
	delivered  uint64
	gaps       uint64
	ack        *Latency
	delivery   *Latency
	since      int64 // latencies of messages sent earlier are not recorded
}

// publisher is what was sent by one publisher to one room.
type publisher struct {
	room  int
	sent  uint32
	acked []uint64 // a bit for each message, by its number
	// unknown are the messages whose outcome nobody knows: each member may have
	// them or not.
	unknown map[uint32]bool
}

// New makes an empty account.
func New() *Ledger {
	return &Ledger{refusals: map[string]uint64{}, ack: NewLatency(), delivery: NewLatency()}
}

// Publisher opens the account of a publisher of a room and returns its number.
func (l *Ledger) Publisher(room int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.publishers = append(l.publishers, &publisher{room: room, unknown: map[uint32]bool{}})
	return len(l.publishers) - 1
}

// Member opens the account of a member of a room. Publishers of the room must
// be open already, and nothing sent yet.
func (l *Ledger) Member(room int) *Track {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := &Track{ledger: l, room: room}
	for i, p := range l.publishers {
		if p.room == room {
			t.from = append(t.from, stretch{publisher: i})
		}
	}
	l.tracks = append(l.tracks, t)
	return t
}

// MeasureFrom drops the latencies of everything sent before now: the warm-up.
func (l *Ledger) MeasureFrom(now int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since = now
}

// Sent books a message about to be sent and returns its number.
func (l *Ledger) Sent(id int) uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.publishers[id]
	p.sent++
	l.sent++
	return p.sent
}

// Acked books an acknowledgement that arrived now for a message sent then.
func (l *Ledger) Acked(id int, n uint32, sent, now int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.publishers[id]
	for int(n/64) >= len(p.acked) {
		p.acked = append(p.acked, 0)
	}
	p.acked[n/64] |= 1 << (n % 64)
	l.acked++
	if sent >= l.since {
		l.ack.Record(now - sent)
	}
}

// Refused books a message that was refused, and why.
func (l *Ledger) Refused(id int, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused++
	l.refusals[reason]++
}

// Unknown books a message whose outcome nobody knows.
func (l *Ledger) Unknown(id int, n uint32, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.publishers[id].unknown[n] = true
	l.unknown++
	l.refusals[reason]++
}

// Progress is how far a run is.
type Progress struct {
	Sent, Acked, Refused, Unknown, Delivered uint64
}

// Pending is how many messages have no answer yet.
func (p Progress) Pending() uint64 { return p.Sent - p.Acked - p.Refused - p.Unknown }

// Progress may be asked for at any time.
func (l *Ledger) Progress() Progress {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Progress{Sent: l.sent, Acked: l.acked, Refused: l.refused, Unknown: l.unknown, Delivered: l.delivered}
}

// An Account is the outcome of a run. It closes when Problems is empty.
type Account struct {
	Sent         uint64            `json:"sent"`
	Acknowledged uint64            `json:"acknowledged"`
	Refused      uint64            `json:"refused"`
	Unknown      uint64            `json:"unknown"` // neither acknowledged nor refused in time
	Refusals     map[string]uint64 `json:"refusals,omitempty"`

	Expected   uint64 `json:"expected_deliveries"` // acknowledged messages, times the members of their room
	Delivered  uint64 `json:"delivered"`           // of these, plus those of unknown outcome that arrived
	Lost       uint64 `json:"lost"`                // acknowledged, and missing at a member
	Phantom    uint64 `json:"phantom"`             // refused, and delivered all the same
	Duplicated uint64 `json:"duplicated"`
	OutOfOrder uint64 `json:"out_of_order"`
	Gaps       uint64 `json:"gaps"` // gaps announced, or holes in a room's seq

	Ack      Summary `json:"publish_to_ack"`
	Delivery Summary `json:"publish_to_delivery"`

	Problems []string `json:"problems"`
}

// Missing counts deliveries of acknowledged messages that are still to come.
func (l *Ledger) Missing() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var missing uint64
	for _, t := range l.tracks {
		missing += t.missing(l.publishers)
	}
	return missing
}

// Close strikes the balance.
func (l *Ledger) Close() Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := Account{
		Sent: l.sent, Acknowledged: l.acked, Refused: l.refused, Unknown: l.unknown, Refusals: l.refusals,
		Delivered: l.delivered, Gaps: l.gaps, Ack: l.ack.Summary(), Delivery: l.delivery.Summary(), Problems: []string{},
	}
	for _, t := range l.tracks {
		a.Expected += t.expected(l.publishers)
		a.Lost += t.missing(l.publishers)
		a.Phantom += t.phantoms(l.publishers)
		a.Duplicated += t.duplicated
		a.OutOfOrder += t.outOfOrder
	}
	for _, check := range []struct {
		n    uint64
		what string
	}{
		{a.Sent - a.Acknowledged - a.Refused - a.Unknown, "messages were never answered"},
		{a.Lost, "deliveries of acknowledged messages were lost"},
		{a.Phantom, "deliveries of refused messages"},
		{a.Duplicated, "deliveries were duplicated"},
		{a.OutOfOrder, "deliveries were out of order"},
		{a.Gaps, "gaps"},
	} {
		if check.n != 0 {
			a.Problems = append(a.Problems, fmt.Sprintf("%d %s", check.n, check.what))
		}
	}
	if a.Sent > 0 && a.Acknowledged == 0 {
		a.Problems = append(a.Problems, "not one message was acknowledged")
	}
	return a
}

func (p *publisher) isAcked(n uint32) bool {
	return int(n/64) < len(p.acked) && p.acked[n/64]&(1<<(n%64)) != 0
}

var start = time.Now()

// Now is the clock of send times: nanoseconds since this process began, which
// never jump.
func Now() int64 { return int64(time.Since(start)) }

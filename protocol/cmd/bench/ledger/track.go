package ledger

import "math/bits"

// A Track is what one member of a room received. One goroutine at a time.
type Track struct {
	ledger *Ledger
	room   int

	// The fields below are guarded by ledger.mu.
	from       []stretch
	duplicated uint64
	outOfOrder uint64

	epoch string // of the room's log
	seq   uint64 // of the last message
	known bool   // seq is: the member has begun
}

// stretch is what a member has of one publisher: everything up to last but the
// skipped.
type stretch struct {
	publisher int
	last      uint32
	skipped   map[uint32]bool
}

// A Delivery is a message as a member received it.
type Delivery struct {
	Seq       uint64 // in the room's log; 0 where the protocol has none
	Publisher int
	N         uint32
	Sent      int64
}

// Deliver books messages that arrived now, in the order of their arrival.
func (t *Track) Deliver(messages []Delivery, now int64) {
	l := t.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range messages {
		if m.Seq != 0 {
			if t.known && m.Seq > t.seq+1 {
				l.gaps++
			}
			t.seq, t.known = max(t.seq, m.Seq), true
		}
		if s := t.stretch(m.Publisher); s != nil && s.deliver(t, m.N) {
			l.delivered++
			if m.Sent >= l.since {
				l.delivery.Record(now - m.Sent)
			}
		}
	}
}

// Gap books a gap that the server announced.
func (t *Track) Gap(last uint64) {
	t.ledger.mu.Lock()
	defer t.ledger.mu.Unlock()
	t.ledger.gaps++
	t.seq = max(t.seq, last)
}

// Position is where a member that comes back continues.
func (t *Track) Position() (epoch string, seq uint64) {
	t.ledger.mu.Lock()
	defer t.ledger.mu.Unlock()
	return t.epoch, t.seq
}

// Begin says where in a room's log the member stands after its first join.
func (t *Track) Begin(epoch string, seq uint64) {
	t.ledger.mu.Lock()
	defer t.ledger.mu.Unlock()
	t.epoch, t.seq, t.known = epoch, seq, true
}

func (t *Track) stretch(publisher int) *stretch {
	for i := range t.from {
		if t.from[i].publisher == publisher {
			return &t.from[i]
		}
	}
	return nil // a message of another run in the same room
}

// deliver reports whether n is new to the member.
func (s *stretch) deliver(t *Track, n uint32) bool {
	switch {
	case n == s.last+1:
		s.last = n
	case n > s.last:
		if s.skipped == nil {
			s.skipped = map[uint32]bool{}
		}
		for k := s.last + 1; k < n; k++ {
			s.skipped[k] = true
		}
		s.last = n
	case s.skipped[n]:
		delete(s.skipped, n)
		t.outOfOrder++
	default:
		t.duplicated++
		return false
	}
	return true
}

func (t *Track) expected(publishers []*publisher) uint64 {
	var n uint64
	for _, s := range t.from {
		for _, word := range publishers[s.publisher].acked {
			n += uint64(bits.OnesCount64(word))
		}
	}
	return n
}

// missing counts acknowledged messages that the member does not have.
func (t *Track) missing(publishers []*publisher) uint64 {
	var n uint64
	for _, s := range t.from {
		p := publishers[s.publisher]
		for k := range s.skipped {
			if p.isAcked(k) {
				n++
			}
		}
		for k := s.last + 1; k <= p.sent; k++ {
			if p.isAcked(k) {
				n++
			}
		}
	}
	return n
}

// phantoms counts messages that the member has, which were answered with a
// refusal.
func (t *Track) phantoms(publishers []*publisher) uint64 {
	var n uint64
	for _, s := range t.from {
		p := publishers[s.publisher]
		for k := uint32(1); k <= s.last; k++ {
			if !p.isAcked(k) && !p.unknown[k] && !s.skipped[k] {
				n++
			}
		}
	}
	return n
}

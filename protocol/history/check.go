package history

import (
	"cmp"
	"slices"
)

// place is a position in a room.
type place struct {
	epoch string
	seq   uint64
}

// message is what is known of one message.
type message struct {
	id     string
	send   *Event // the first
	sends  int
	ack    *Event
	refuse *Event
	log    *Event // the first in the final log
	seen   *Event // the first delivery
}

// where is the message's place, if anybody knows it.
func (m *message) where() (place, bool) {
	for _, e := range []*Event{m.log, m.ack, m.seen} {
		if e != nil {
			return place{e.Epoch, e.Seq}, true
		}
	}
	return place{}, false
}

// room is the history of one room.
type room struct {
	name     string
	messages map[string]*message // by ID
	all      []*message          // in the order of their first mention
	at       map[place]*Event    // the first that said what is there
	acked    []*message
	sent     []*message
	readers  map[string]*reader
	log      *Event // the last one read
	logged   map[place]*Event
}

// reader is one client's view of a room.
type reader struct {
	started bool
	pos     place
	last    *Event
	ids     map[string]*Event
	epochs  map[string]bool // left behind
}

// Check proves or refutes C1, C2 and C4 for a history, in time linear in
// its length but for one sort by time.
func Check(events []Event) *Report {
	report := &Report{}
	rooms, names := gather(report, events)
	report.Rooms = len(names)
	for _, name := range names {
		r := rooms[name]
		r.checkSent(report)
		r.checkRealTime(report)
		r.checkPublishers(report)
		r.checkLog(report)
	}
	return report
}

func gather(report *Report, events []Event) (map[string]*room, []string) {
	rooms := map[string]*room{}
	var names []string
	var ends []*Event
	for i := range events {
		e := &events[i]
		r := rooms[e.Room]
		if r == nil {
			r = &room{
				name: e.Room, messages: map[string]*message{}, at: map[place]*Event{},
				readers: map[string]*reader{}, logged: map[place]*Event{},
			}
			rooms[e.Room] = r
			names = append(names, e.Room)
		}
		switch e.Kind {
		case Send:
			report.Sends++
			m := r.message(e.ID)
			if m.sends++; m.send == nil {
				m.send = e
				r.sent = append(r.sent, m)
			}
		case Ack:
			report.Acks++
			r.ack(report, e)
		case Refused:
			report.Refused++
			r.message(e.ID).refuse = e
		case Unknown:
			report.Unknown++
		case Join:
			r.readers[e.Client] = newReader()
		case Deliver:
			report.Deliveries++
			r.deliver(report, e)
		case Gap:
			report.Gaps++
			r.reader(e.Client).gap(e)
		case End:
			ends = append(ends, e)
		case Log:
			r.log = e
		case Final:
			report.Logged++
			r.final(report, e)
		case Reconnect:
		}
	}
	for _, e := range ends {
		rooms[e.Room].checkTail(report, e)
	}
	return rooms, names
}

func (r *room) message(id string) *message {
	m := r.messages[id]
	if m == nil {
		m = &message{id: id}
		r.messages[id] = m
		r.all = append(r.all, m)
	}
	return m
}

// agree notes that e saw its message at its place.
func (r *room) agree(report *Report, promise Promise, e *Event) {
	p := place{e.Epoch, e.Seq}
	first := r.at[p]
	if first == nil {
		r.at[p] = e
		return
	}
	if first.ID != e.ID {
		if e.Kind == Ack && first.Kind == Ack {
			promise = C1a
		}
		report.add(promise, r.name, []Event{*first, *e}, "seq %d of epoch %s is %s and %s", e.Seq, e.Epoch, first.ID, e.ID)
	}
}

func (r *room) ack(report *Report, e *Event) {
	m := r.message(e.ID)
	r.agree(report, C1b, e)
	if m.ack == nil {
		m.ack = e
		r.acked = append(r.acked, m)
		return
	}
	if m.ack.Epoch != e.Epoch || m.ack.Seq != e.Seq {
		report.add(C1a, r.name, []Event{*m.ack, *e}, "%s was acknowledged with seq %d and with %d", e.ID, m.ack.Seq, e.Seq)
	}
}

// checkSent: whatever was seen had been sent.
func (r *room) checkSent(report *Report) {
	if len(r.sent) == 0 {
		return
	}
	for _, m := range r.all {
		if m.send != nil {
			continue
		}
		for _, e := range []*Event{m.ack, m.seen, m.log} {
			if e != nil {
				report.add(C1b, r.name, []Event{*e}, "%s was never sent", m.id)
				break
			}
		}
	}
}

// checkRealTime sweeps sends and acknowledgements by time, with the highest seq
// acknowledged so far.
func (r *room) checkRealTime(report *Report) {
	acked := slices.Clone(r.acked)
	slices.SortStableFunc(acked, func(a, b *message) int { return cmp.Compare(a.ack.At, b.ack.At) })
	sent := slices.Clone(r.sent)
	slices.SortStableFunc(sent, func(a, b *message) int { return cmp.Compare(a.send.At, b.send.At) })
	highest := map[string]*message{} // by epoch
	for _, m := range sent {
		for len(acked) > 0 && acked[0].ack.At < m.send.At {
			a := acked[0]
			acked = acked[1:]
			if h := highest[a.ack.Epoch]; h == nil || h.ack.Seq < a.ack.Seq {
				highest[a.ack.Epoch] = a
			}
		}
		p, known := m.where()
		if h := highest[p.epoch]; known && h != nil && h != m && p.seq < h.ack.Seq {
			report.add(C1c, r.name, []Event{*h.ack, *m.send},
				"%s was sent after %s had been acknowledged, and has seq %d before %d", m.send.ID, h.ack.ID, p.seq, h.ack.Seq)
		}
		for _, e := range []*Event{m.seen, m.ack} {
			if e != nil && e.At < m.send.At {
				report.add(C1c, r.name, []Event{*e, *m.send}, "%s was seen before it was sent", e.ID)
			}
		}
	}
}

// checkPublishers: by publisher, seqs ascend in the order of the sends. A
// message that the application itself sent again has no one place in that
// order.
func (r *room) checkPublishers(report *Report) {
	type stream struct{ client, epoch string }
	last := map[stream]*message{}
	for _, m := range r.sent {
		p, known := m.where()
		if !known || m.sends > 1 {
			continue
		}
		s := stream{m.send.Client, p.epoch}
		if before := last[s]; before != nil {
			if q, _ := before.where(); q.seq > p.seq {
				report.add(C1d, r.name, []Event{*before.send, *m.send},
					"%s sent %s (seq %d) before %s (seq %d)", s.client, before.send.ID, q.seq, m.send.ID, p.seq)
				continue
			}
		}
		last[s] = m
	}
}

package history

func newReader() *reader {
	return &reader{ids: map[string]*Event{}, epochs: map[string]bool{}}
}

func (r *room) reader(client string) *reader {
	v := r.readers[client]
	if v == nil {
		v = newReader()
		r.readers[client] = v
	}
	return v
}

// deliver: a reader got a message.
func (r *room) deliver(report *Report, e *Event) {
	r.agree(report, C1b, e)
	if m := r.message(e.ID); m.seen == nil {
		m.seen = e
	}
	v := r.reader(e.Client)
	if first := v.ids[e.ID]; first != nil {
		report.add(C2Twice, r.name, []Event{*first, *e}, "%s got %s twice", e.Client, e.ID)
	} else {
		v.ids[e.ID] = e
	}
	switch {
	case !v.started:
	case e.Epoch != v.pos.epoch && v.epochs[e.Epoch]:
		report.add(C2Epoch, r.name, []Event{*v.last, *e}, "%s was taken back from epoch %s to %s", e.Client, v.pos.epoch, e.Epoch)
	case e.Epoch != v.pos.epoch:
		report.add(C2Epoch, r.name, []Event{*v.last, *e}, "%s was taken from epoch %s to %s and not told", e.Client, v.pos.epoch, e.Epoch)
	case e.Seq > v.pos.seq+1:
		report.add(C2Hole, r.name, []Event{*v.last, *e}, "%s got %d after %d, and no gap was named", e.Client, e.Seq, v.pos.seq)
	case e.Seq <= v.pos.seq:
		report.add(C2Hole, r.name, []Event{*v.last, *e}, "%s got %d after %d", e.Client, e.Seq, v.pos.seq)
	}
	v.move(e, e.Seq)
}

// gap: a reader was told what it will not get.
func (v *reader) gap(e *Event) {
	switch {
	case !v.started, e.Epoch != v.pos.epoch:
		v.move(e, e.Last)
	case e.First <= v.pos.seq+1 && e.Last > v.pos.seq:
		v.move(e, e.Last)
	}
}

func (v *reader) move(e *Event, seq uint64) {
	if v.started && e.Epoch != v.pos.epoch {
		v.epochs[v.pos.epoch] = true
	}
	v.started, v.pos, v.last = true, place{e.Epoch, seq}, e
}

// checkTail: a reader that had time to catch up is where the log ends.
func (r *room) checkTail(report *Report, end *Event) {
	if r.log == nil || r.log.Last == 0 {
		return
	}
	v := r.readers[end.Client]
	switch {
	case v == nil || !v.started:
		// It joined at the head, and nothing came after.
	case v.pos.epoch != r.log.Epoch:
		report.add(C2Tail, r.name, []Event{*v.last, *r.log}, "%s ended in epoch %s; the log is at epoch %s", end.Client, v.pos.epoch, r.log.Epoch)
	case v.pos.seq < r.log.Last:
		report.add(C2Tail, r.name, []Event{*v.last, *r.log}, "%s ended at %d; the log goes on to %d", end.Client, v.pos.seq, r.log.Last)
	}
}

// final: a message of the log as it was read after the run.
func (r *room) final(report *Report, e *Event) {
	r.agree(report, C1b, e)
	m := r.message(e.ID)
	if m.log != nil {
		report.add(C2Twice, r.name, []Event{*m.log, *e}, "%s is in the log twice, as %d and %d", e.ID, m.log.Seq, e.Seq)
	} else {
		m.log = e
	}
	r.logged[place{e.Epoch, e.Seq}] = e
}

// checkLog compares the verdicts that publishers got with the log, and with
// what anybody saw.
func (r *room) checkLog(report *Report) {
	for _, m := range r.all {
		if m.refuse == nil {
			continue
		}
		for _, e := range []*Event{m.log, m.ack, m.seen} {
			if e != nil {
				report.add(C4Refused, r.name, []Event{*m.refuse, *e}, "%s was refused for good and has seq %d", m.id, e.Seq)
				break
			}
		}
	}
	if r.log == nil {
		if len(r.acked) > 0 {
			report.NoLog = append(report.NoLog, r.name)
		}
		return
	}
	for seq := r.log.First; seq <= r.log.Last && seq > 0; seq++ {
		if r.logged[place{r.log.Epoch, seq}] == nil {
			report.add(C1a, r.name, []Event{*r.log}, "the log has no seq %d", seq)
		}
	}
	for _, m := range r.acked {
		trimmed := m.ack.Epoch == r.log.Epoch && m.ack.Seq < r.log.First
		if m.log == nil && !trimmed {
			report.add(C4Lost, r.name, []Event{*m.ack, *r.log}, "%s was acknowledged with seq %d and is not in the log", m.ack.ID, m.ack.Seq)
		}
	}
}

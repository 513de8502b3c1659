package history

import (
	"math"
	"time"

	"github.com/anishathalye/porcupine"
)

// maxLinear bounds the messages of a room that CheckLinearizable looks at: the
// search is exponential when it fails.
const maxLinear = 2000

// operation is the input of one step on a log: an append that was given seq, or
// a sight of seq, for which there must have been so many messages.
type operation struct {
	append bool
	seq    uint64
}

// logModel is a room whose state is the number of its messages.
var logModel = porcupine.Model{
	Init: func() any { return uint64(0) },
	Step: func(state, input, _ any) (bool, any) {
		n, op := state.(uint64), input.(operation)
		if op.append {
			return op.seq == n+1, n + 1
		}
		return op.seq <= n, n
	},
}

// CheckLinearizable searches, room by room, for one order of all appends that
// fits every call, answer and first sight in real time (Porcupine). It covers
// rooms of at most 2,000 messages whose log was read whole, spends at most limit
// on each, and adds what it finds to report; the rooms it could not decide it
// returns. An append without an answer may have happened at any time later.
func CheckLinearizable(events []Event, limit time.Duration, report *Report) (undecided []string) {
	scratch := &Report{}
	rooms, names := gather(scratch, events)
	for _, name := range names {
		r := rooms[name]
		if r.log == nil || r.log.First != 1 || len(r.sent) > maxLinear || r.log.Last > maxLinear {
			undecided = append(undecided, name)
			continue
		}
		switch porcupine.CheckOperationsTimeout(logModel, r.operations(), limit) {
		case porcupine.Illegal:
			report.add(C1e, name, []Event{*r.log}, "no order of its %d appends fits all answers and sights", len(r.sent))
		case porcupine.Unknown:
			undecided = append(undecided, name)
		case porcupine.Ok:
		}
	}
	return undecided
}

func (r *room) operations() []porcupine.Operation {
	var ops []porcupine.Operation
	add := func(op operation, call, back int64) {
		ops = append(ops, porcupine.Operation{ClientId: len(ops), Input: op, Call: call, Return: back})
	}
	for _, m := range r.sent {
		seq := uint64(0)
		back := int64(math.MaxInt64)
		switch {
		case m.ack != nil:
			seq, back = m.ack.Seq, m.ack.At
		case m.log != nil:
			seq = m.log.Seq
		default:
			continue // nobody knows of it: it did not happen
		}
		add(operation{append: true, seq: seq}, m.send.At, back)
		if m.seen != nil {
			add(operation{seq: m.seen.Seq}, math.MinInt64, m.seen.At)
		}
	}
	return ops
}

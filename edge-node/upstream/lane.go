package upstream

import (
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// Limits of a lane, each with its reason.
const (
	// maxLaneBytes bounds what one lane keeps unanswered: a second of a very
	// busy shard. Beyond it publishes are refused with overloaded.
	maxLaneBytes = 8 << 20
	// maxLaneCommands bounds the same in commands.
	maxLaneCommands = 32 << 10
	// maxProposalBytes closes a proposal: core packs entries of 64 KiB.
	maxProposalBytes = 64 << 10
	// maxProposalCommands bounds the results that come back together.
	maxProposalCommands = 1024
	// eagerProposals may be in flight before the next one waits to be filled.
	eagerProposals = 2
	// fillTime is how long a proposal waits for more when others are in flight.
	fillTime = time.Millisecond
	// opOverhead is what an op costs beside its bytes.
	opOverhead = 160
	// commandHead bounds what a proposal has for a command beside its bytes.
	commandHead = 5
)

type opKind uint8

const (
	opLease opKind = iota
	opPublish
	opPresence
	opRelease
	opModerate
)

// An op is one command of a lane, kept until it is answered.
type op struct {
	kind     opKind
	tried    bool // sent in some generation: its outcome may be unknown
	room     string
	deadline int64  // of a moderator's command, Unix milliseconds; 0 none
	data     []byte // encoded rpc.Command
	publish  Publish
	done     func(*rpc.Result) // of a moderator's command
}

// owned says whether somebody waits for the outcome.
func (o *op) owned() bool { return o.kind == opPublish || o.kind == opModerate }

// expired says whether it is not to be sent any more.
func (o *op) expired(nowMS int64) bool {
	deadline := o.deadline
	if o.kind == opPublish {
		deadline = o.publish.DeadlineMS
	}
	return deadline > 0 && nowMS > deadline
}

func (o *op) answer(r *rpc.Result) answer { return answer{&o.publish, o.done, r} }

// An answer is what became of a publish or, with done, of a moderator's command.
type answer struct {
	publish *Publish
	done    func(*rpc.Result)
	result  *rpc.Result
}

// A lane carries the commands of this edge to one shard. It is pure: values
// and times in, proposals and answers out; the Client locks around it.
//
// Commands are numbered from 1 within a generation. queue[0] has the ordinal
// base; queue[:sent] was sent in this generation, sent <= len(queue).
type lane struct {
	shard      uint32
	generation uint64
	base       uint64
	queue      []*op
	sent       int
	bytes      int
	flights    []uint64  // ordinals that end the proposals in flight
	lastSend   time.Time // of a proposal in this generation
	progress   time.Time // last answer, or the send that ended an idle time
	open       bool      // a generation has begun on the present stream
	resumeAt   time.Time // not open: when the next generation may begin
	stalled    time.Time // since when it is not open
	presence   int       // presence commands in queue
	// held counts, for rooms where core refuses this lane for now, the
	// publishes whose refusal is still on its way. Until all are in, their
	// owners know, and the Release behind them is queued, further ones are
	// refused here.
	held map[string]int
	// dropping: publishes were given up and their owners do not know yet.
	dropping bool
}

func newLane(shard uint32, now time.Time) *lane {
	return &lane{shard: shard, stalled: now}
}

// push appends a command. Those of clients may be refused.
func (l *lane) push(o *op) *protocol.Error {
	if o.owned() {
		if l.bytes >= maxLaneBytes || len(l.queue) >= maxLaneCommands {
			return &protocol.Error{Code: protocol.Overloaded, Message: "too many publishes are waiting for core; send slower", RetryAfter: 200}
		}
	}
	if o.kind == opPublish {
		if l.dropping {
			return unavailable()
		}
		if _, held := l.held[o.room]; held {
			return &protocol.Error{Code: protocol.RateLimited, Message: "the room refuses publishes for the moment; send it again", RetryAfter: 100}
		}
	}
	l.queue = append(l.queue, o)
	l.bytes += len(o.data) + opOverhead
	if o.kind == opPresence {
		l.presence++
	}
	return nil
}

// restart begins the next generation: lease first, then everything unanswered,
// in order.
func (l *lane) restart(lease []byte, now time.Time) {
	kept := make([]*op, 1, len(l.queue)+1)
	kept[0] = &op{kind: opLease, data: lease}
	bytes := len(lease) + opOverhead
	for _, o := range l.queue {
		if o.kind == opLease {
			continue // the new one says the same
		}
		kept = append(kept, o)
		bytes += len(o.data) + opOverhead
	}
	l.queue, l.bytes = kept, bytes
	l.generation++
	l.base, l.sent = 1, 0
	l.flights = l.flights[:0]
	l.lastSend, l.progress = time.Time{}, now
	l.open, l.resumeAt, l.stalled = true, time.Time{}, time.Time{}
}

// stop ends the generation: the stream broke, or core said LaneReset.
func (l *lane) stop(resumeAt, now time.Time) {
	if l.open {
		l.open, l.stalled = false, now
	}
	l.resumeAt = resumeAt
}

// take returns the next proposal to send, or nil and the time at which to ask
// again (zero: when something changes).
func (l *lane) take(now time.Time) (*rpc.Proposal, time.Time) {
	waiting := len(l.queue) - l.sent
	if !l.open || waiting == 0 {
		return nil, time.Time{}
	}
	size, n := 0, 0
	for _, o := range l.queue[l.sent:] {
		if n > 0 && size+len(o.data) > maxProposalBytes || n == maxProposalCommands {
			break
		}
		size += len(o.data)
		n++
	}
	full := n < waiting || size >= maxProposalBytes/2
	if due := l.lastSend.Add(fillTime); !full && len(l.flights) >= eagerProposals && now.Before(due) {
		return nil, due
	}
	p := &rpc.Proposal{
		Shard: l.shard, Generation: l.generation, First: l.base + uint64(l.sent),
		Commands: make([]byte, 0, size+n*commandHead),
	}
	for _, o := range l.queue[l.sent : l.sent+n] {
		o.tried = true
		p.Commands = rpc.AppendCommand(p.Commands, o.data)
	}
	if l.sent == 0 {
		l.progress = now
	}
	l.sent += n
	l.lastSend = now
	l.flights = append(l.flights, l.base+uint64(l.sent)-1)
	return p, time.Time{}
}

// results takes core's answers. fresh is true when a Lease said that the lane
// was new to the shard. Answers of an older generation, or such that do not
// continue, are ignored: core sends all of them again or resets the lane.
func (l *lane) results(r *rpc.ProposalResults, now time.Time) (answers []answer, fresh bool) {
	if !l.open || r.GetGeneration() != l.generation || r.GetFirst() != l.base || len(r.GetResults()) > l.sent {
		return nil, false
	}
	n := len(r.GetResults())
	done := l.queue[:n]
	l.base += uint64(n)
	l.sent -= n
	l.queue = l.queue[n:]
	l.progress = now
	for len(l.flights) > 0 && l.flights[0] < l.base {
		l.flights = l.flights[1:]
	}
	for i, res := range r.GetResults() {
		o := done[i]
		done[i] = nil
		l.bytes -= len(o.data) + opOverhead
		switch o.kind {
		case opLease:
			fresh = fresh || res.GetSeq() == 1
		case opPresence:
			l.presence--
		case opRelease:
		case opModerate:
			answers = append(answers, o.answer(res))
		case opPublish:
			answers = append(answers, o.answer(res))
			l.answered(o.room, res, done[i+1:])
		}
	}
	return answers, fresh
}

// answered keeps count of refusals for now. rest are the ops whose results came in the same message.
func (l *lane) answered(room string, res *rpc.Result, rest []*op) {
	left, held := l.held[room]
	switch {
	case held:
		left--
	case holds(protocol.Code(res.GetCode())):
		for _, ops := range [][]*op{rest, l.queue} {
			for _, o := range ops {
				if o.kind == opPublish && o.room == room {
					left++
				}
			}
		}
	default:
		return
	}
	if l.held == nil {
		l.held = make(map[string]int)
	}
	l.held[room] = left
}

// told: the owners of all answers so far know them. Rooms whose refusals are
// all in go on, behind everything that is queued.
func (l *lane) told() {
	l.dropping = false
	for room, left := range l.held {
		if left > 0 {
			continue
		}
		delete(l.held, room)
		o := &op{kind: opRelease, room: room, data: encodeRelease(room)}
		l.queue = append(l.queue, o)
		l.bytes += len(o.data) + opOverhead
	}
}

// holds reports whether core, after refusing a publish with c, refuses the
// lane's later publishes to that room until it is released.
func holds(c protocol.Code) bool { return c.Temporary() }

// expire answers commands of clients that were never sent: those whose deadline has
// passed, and all of them when the lane has been down for longer than hold.
func (l *lane) expire(now time.Time, hold time.Duration) []answer {
	down := !l.open && now.Sub(l.stalled) >= hold
	nowMS := now.UnixMilli()
	var answers []answer
	kept := l.queue[l.sent:l.sent]
	for _, o := range l.queue[l.sent:] {
		switch {
		case !o.owned() || o.tried:
		case o.expired(nowMS):
			answers = append(answers, o.answer(&rpc.Result{Code: uint32(protocol.Expired)}))
			l.drop(o)
			continue
		case down:
			answers = append(answers, o.answer(&rpc.Result{Code: uint32(protocol.Unavailable), RetryAfterMs: 1000}))
			l.dropping = l.dropping || o.kind == opPublish
			l.drop(o)
			continue
		}
		kept = append(kept, o)
	}
	clear(l.queue[l.sent+len(kept):])
	l.queue = l.queue[:l.sent+len(kept)]
	for _, a := range answers { // what was dropped will not be refused any more
		if left, held := l.held[a.publish.Room]; held && a.done == nil {
			l.held[a.publish.Room] = left - 1
		}
	}
	return answers
}

func (l *lane) drop(o *op) { l.bytes -= len(o.data) + opOverhead }

// stuck reports whether something sent has waited longer than limit without
// any answer.
func (l *lane) stuck(now time.Time, limit time.Duration) bool {
	return l.open && l.sent > 0 && now.Sub(l.progress) >= limit
}

package session

import (
	"context"
	"slices"

	"github.com/barrage-im/barrage/edge-node/screen"
	"github.com/barrage-im/barrage/edge-node/upstream"
	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// Limits of what waits for the hook or a feed.
const (
	// maxWaiting bounds the bytes of one session's messages that wait: a few of
	// the largest, or hundreds of lines.
	maxWaiting = 256 << 10
	// maxWaitingEdge bounds those of all sessions.
	maxWaitingEdge = 64 << 20
	// jobOverhead is what a message that waits costs beside its bytes.
	jobOverhead = 512
	// uncheckedWait is when to send again what nobody could be asked about, in
	// milliseconds.
	uncheckedWait = 1000
)

// What a policy says of the hook.
const (
	hookOpen   = "open"
	hookClosed = "closed"
)

// A line is a session's publishes to one room that are not with core yet,
// because the first of them waits for the hook's answer or for the room's feed.
// Those behind it wait too, whatever their own verdict: nothing overtakes. Their
// order numbers are taken and they count as outstanding.
type line struct {
	room string
	jobs []*job // never empty; jobs[0] is not ready
}

// A job is a publish in a line. It is the upstream.Owner of its item in the
// feed when the message is held.
type job struct {
	// Set when made, never changed.
	s       *Session
	line    *line
	closed  bool // nothing passes without the hook's answer
	limit   int  // bytes of a text in place of the message's
	size    int
	cancel  context.CancelFunc // of the hook's call; nil: there is none
	out     upstream.Publish
	message upstream.Message

	// Guarded by the session's mu.
	verdict verdict
	ready   bool
	gone    bool            // nobody wants it any more
	err     *protocol.Error // ready: why it is not relayed
}

// forward sends a publish on its way: to core, or into the line of its room.
// Nothing of m is kept. Caller holds mu.
func (s *Session) forward(out *upstream.Publish, m *upstream.Message, policy *rpc.Policy, v *verdict) *protocol.Error {
	asks := policy.GetHook() == hookOpen || policy.GetHook() == hookClosed
	asks = asks && v.Action < filter.Hold
	l := s.line(out.Room)
	if l == nil && !asks && v.Action < filter.Hold {
		return s.relay(out, m, v)
	}
	j := s.newJob(out, m, policy, v)
	if s.waiting+j.size > maxWaiting || s.srv.waitingBytes.Load()+int64(j.size) > maxWaitingEdge {
		return &protocol.Error{Code: protocol.Overloaded, Message: "too many messages are being checked; wait for their answers", RetryAfter: 200}
	}
	switch {
	case v.Action == filter.Hold:
		if err := j.store(); err != nil {
			return err
		}
	case asks && j.ask():
	case asks && j.must():
		return s.srv.unchecked()
	case l == nil:
		return s.relay(&j.out, &j.message, &j.verdict)
	default:
		j.ready = true
	}
	if l == nil {
		l = &line{room: out.Room}
		s.lines = append(s.lines, l)
	}
	j.line, l.jobs = l, append(l.jobs, j)
	s.waiting += j.size
	s.srv.waitingJobs.Add(1)
	s.srv.waitingBytes.Add(int64(j.size))
	return nil
}

func (s *Session) newJob(out *upstream.Publish, m *upstream.Message, policy *rpc.Policy, v *verdict) *job {
	j := &job{s: s, closed: policy.GetHook() == hookClosed, limit: messageSize(policy), out: *out, message: *m, verdict: *v}
	k := &j.message
	k.Key, k.Kind, k.Text, k.Data = slices.Clone(m.Key), slices.Clone(m.Kind), slices.Clone(m.Text), slices.Clone(m.Data)
	j.size = jobOverhead + len(m.Key) + len(m.Kind) + len(m.Text) + len(m.Data)
	return j
}

// must says that the message does not pass without an answer.
func (j *job) must() bool { return j.closed && !j.verdict.Report }

// ask asks the hook. False: it cannot be asked now. Caller holds the session's
// mu, so the answer cannot be there before the job is in its line.
func (j *job) ask() bool {
	hook := j.s.srv.cfg.Hook
	if hook == nil {
		return false
	}
	m := &j.message
	ctx, cancel := context.WithCancel(j.s.srv.ctx)
	j.cancel = cancel
	if hook.Ask(ctx, &rpc.CheckRequest{
		Room: j.out.Room, User: m.User, Name: m.Name, Key: string(m.Key), Kind: string(m.Kind), Text: string(m.Text), Data: m.Data,
		Verdict: j.verdict.Action.String(), Region: j.s.srv.cfg.Region,
	}, j.told) {
		return true
	}
	cancel()
	return false
}

// told takes the hook's answer, or that there is none.
func (j *job) told(a screen.Answer, ok bool) {
	s := j.s
	defer s.guard()
	defer j.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if j.gone {
		return
	}
	ok = ok && j.verdict.take(a, j.limit)
	switch {
	case !ok && j.must():
		j.err = s.srv.unchecked()
	case j.verdict.Action == filter.Hold:
		if j.err = j.store(); j.err == nil {
			return // the feed's answer comes
		}
	case j.verdict.Action == filter.Block:
		j.err = blocked()
		s.srv.feed.tell(j.out.Room, s.srv.feed.item(j.out.Room, &j.message, &j.verdict))
	}
	s.decided(j)
}

// store puts the message into the room's feed. Caller holds the session's mu.
func (j *job) store() *protocol.Error {
	f := j.s.srv.feed
	out := upstream.Publish{Room: protocol.FeedRoom(j.out.Room), DeadlineMS: j.out.DeadlineMS, Owner: j}
	return j.s.srv.core.Publish(out, f.item(j.out.Room, &j.message, &j.verdict))
}

// Answered implements upstream.Owner: the feed holds the message, or does not.
func (j *job) Answered(_ *upstream.Publish, r *rpc.Result) {
	s := j.s
	defer s.guard()
	code := protocol.Code(r.GetCode())
	err := held()
	switch {
	case code == protocol.OK || code == protocol.KeyConflict: // sent again after the rules changed: it is there
		s.srv.met.fed.WithLabelValues(protocol.KindHeld).Inc()
	case code.Temporary() || code >= 300 || code == protocol.Expired:
		err = outcome(code, r)
	default: // nobody would ever see it
		s.srv.feed.lost(code)
		err = blocked()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !j.gone {
		j.err = err
		s.decided(j)
	}
}

// Flush implements upstream.Owner.
func (j *job) Flush() { j.s.Flush() }

// decided lets a line go on as far as it can. Caller holds mu.
func (s *Session) decided(j *job) {
	j.ready = true
	l := j.line
	for len(l.jobs) > 0 && l.jobs[0].ready {
		first := l.jobs[0]
		s.leaves(first)
		l.jobs = l.jobs[1:]
		err := first.err
		if err == nil {
			if err = s.relay(&first.out, &first.message, &first.verdict); err == nil {
				continue // core answers
			}
		}
		s.answerNot(&first.out, err)
	}
	if len(l.jobs) == 0 {
		s.lines = slices.DeleteFunc(s.lines, func(other *line) bool { return other == l })
	}
	if s.phase == connected {
		s.flush()
	}
}

// refuseLine refuses what waits in a room behind a publish that was refused for
// now, as core does: the client sends all of them again, in order. Caller
// holds mu.
func (s *Session) refuseLine(room string) {
	l := s.line(room)
	if l == nil {
		return
	}
	jobs := l.jobs
	l.jobs = nil
	s.lines = slices.DeleteFunc(s.lines, func(other *line) bool { return other == l })
	for _, j := range jobs {
		s.leaves(j)
		s.answerNot(&j.out, outcome(protocol.OutOfOrder, nil))
	}
}

// dropLines forgets what waits: the client is gone, and sends it again under
// its key if it comes back. Caller holds mu.
func (s *Session) dropLines() {
	for _, l := range s.lines {
		for _, j := range l.jobs {
			s.leaves(j)
		}
	}
	s.lines = nil
}

// leaves takes a job out of the account. Caller holds mu.
func (s *Session) leaves(j *job) {
	j.gone = true
	if j.cancel != nil {
		j.cancel()
	}
	s.waiting -= j.size
	s.srv.waitingJobs.Add(-1)
	s.srv.waitingBytes.Add(int64(-j.size))
}

// line finds a room's; nil: nothing waits there. Caller holds mu.
func (s *Session) line(room string) *line {
	for _, l := range s.lines {
		if l.room == room {
			return l
		}
	}
	return nil
}

// idle says that nothing waits and core has answered everything.
func (s *Server) idle() bool { return s.waitingJobs.Load() == 0 && s.core.Unanswered() == 0 }

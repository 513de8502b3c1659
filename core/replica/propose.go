package replica

import (
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// A proposer packs sections into entries (group commit). An entry is proposed
// at once when entryBytes wait, or when none is in flight and the shard was
// idle. A busy shard gathers, for half the time that a commit takes, so that
// those whose answers have just left come along. While others are in flight an
// entry is proposed closeAfter behind the one before where a majority is far
// away, and waits for them where it is near. Its two goroutines live from start
// to wait.
type proposer struct {
	shard *Shard

	mu       sync.Mutex // guards the fields below
	wake     sync.Cond  // queue, inFlight or closed changed
	queue    []section
	bytes    int // of queue
	inFlight int // entries proposed and not answered
	leading  bool
	closed   bool
	last     time.Time     // when an entry was last proposed
	busy     bool          // the last entry held busyBytes or more
	ended    time.Time     // when the last entry was answered
	pace     time.Duration // how long a commit takes, smoothed
	floor    time.Duration // how long it takes at best, slowly forgotten
	tellAt   time.Time     // when followers are to be told of the last commit; zero: they know, or will with the next entry
	timer    *time.Timer   // wakes propose when a wait ends
	alarm    time.Time     // when it will; zero while it does not run

	lastTime int64 // of the last entry; owned by propose

	flight chan proposal // in order; capacity maxInFlight
	done   sync.WaitGroup
}

type section struct {
	bytes []byte
	done  func(i int, effects any, err error)
}

type proposal struct {
	future   raft.ApplyFuture
	sections []section
	began    time.Time
}

func newProposer(s *Shard) *proposer {
	p := &proposer{shard: s, flight: make(chan proposal, maxInFlight)}
	p.wake.L = &p.mu
	p.timer = time.AfterFunc(time.Hour, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.alarm = time.Time{}
		p.wake.Broadcast()
	})
	p.timer.Stop()
	return p
}

// start begins to propose; raft must run.
func (p *proposer) start() {
	p.done.Add(2)
	go p.propose()
	go p.finish()
}

// Submit has the leader put section into the next entry. It does not block, and
// section must not be changed until done was called.
//
// done is called exactly once: with the section's position in its entry and
// what the entry did, after it was applied here, in the order of Submit and by
// one goroutine per shard; or with an error. ErrUnknown means that the entry may
// or may not be committed; every other error means that nothing was proposed,
// and then done may be called before Submit returns: do not hold a lock that
// done takes. done must not block.
func (s *Shard) Submit(bytes []byte, done func(i int, effects any, err error)) {
	if err := s.proposer.submit(section{bytes, done}); err != nil {
		s.refuse(err, done)
	}
}

func (s *Shard) refuse(err error, done func(int, any, error)) {
	s.metrics.refused.WithLabelValues(reason(err)).Inc()
	done(0, nil, err)
}

func reason(err error) string {
	switch {
	case errors.Is(err, ErrNotLeader):
		return "not_leader"
	case errors.Is(err, ErrUnknown):
		return "unknown"
	case errors.Is(err, ErrOverloaded):
		return "overloaded"
	case errors.Is(err, ErrTooLarge):
		return "too_large"
	case errors.Is(err, ErrDiskFull):
		return "disk_full"
	}
	return "closed"
}

func (p *proposer) submit(sec section) error {
	if len(sec.bytes) > MaxSection {
		return ErrTooLarge
	}
	if p.shard.node.disk.refusing() {
		return ErrDiskFull
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return ErrClosed
	case !p.leading:
		return ErrNotLeader
	case p.bytes+len(sec.bytes) > maxPending:
		return ErrOverloaded
	}
	p.queue = append(p.queue, sec)
	p.grow(len(sec.bytes))
	p.look()
	return nil
}

func (p *proposer) grow(n int) {
	p.bytes += n
	p.shard.metrics.pending.Set(float64(p.bytes))
}

// due is how long to wait before an entry should be proposed, 0 for now. It is
// asked only while something is queued and more may be in flight.
func (p *proposer) due() time.Duration {
	switch {
	case p.bytes >= entryBytes:
		return 0
	case p.inFlight > 0 && p.floor < farCommit:
		return max(0, closeNear-time.Since(p.last))
	case p.inFlight > 0:
		return max(0, closeAfter-time.Since(p.last))
	case p.busy:
		return max(0, min(max(p.pace/2, gatherMin), gatherMax)-time.Since(p.ended))
	}
	return 0
}

// committed keeps how long commits take.
func (p *proposer) committed(took time.Duration) {
	p.ended = time.Now()
	p.pace += (took - p.pace) / 8
	if p.floor += p.floor / 256; took < p.floor || p.floor == 0 {
		p.floor = took
	}
}

// ready says whether an entry should be proposed now.
func (p *proposer) ready() bool {
	return len(p.queue) > 0 && p.inFlight < maxInFlight && p.due() == 0
}

// quiet says that nothing is under way and nothing waits.
func (p *proposer) quiet() bool {
	return p.inFlight == 0 && len(p.queue) == 0 && p.leading && !p.closed
}

// tell says whether followers are to be told now.
func (p *proposer) tell() bool {
	return !p.tellAt.IsZero() && p.quiet() && !time.Now().Before(p.tellAt)
}

// look wakes propose if there is something to do, or sees to it that it is
// woken when there will be.
func (p *proposer) look() (ready bool) {
	switch {
	case p.ready(), p.tell():
		p.wake.Broadcast()
		return true
	case !p.tellAt.IsZero() && p.quiet():
		p.wakeAt(p.tellAt)
	case len(p.queue) > 0 && p.inFlight < maxInFlight && !p.closed:
		p.wakeAt(time.Now().Add(p.due()))
	}
	return false
}

// wakeAt wakes propose at t, or earlier.
func (p *proposer) wakeAt(t time.Time) {
	if p.alarm.IsZero() || t.Before(p.alarm) {
		p.alarm = t
		p.timer.Reset(time.Until(t))
	}
}

// lead opens the queue, with first (if any) before everything else.
func (p *proposer) lead(first []section) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.leading = true
	p.queue = append(first, p.queue...)
	for _, s := range first {
		p.grow(len(s.bytes))
	}
	p.wake.Broadcast()
}

// follow closes the queue; what was not proposed yet is answered with why.
func (p *proposer) follow(why error) {
	p.mu.Lock()
	p.leading = false
	queue := p.queue
	p.queue = nil
	p.grow(-p.bytes)
	p.mu.Unlock()
	for _, sec := range queue {
		p.shard.refuse(why, sec.done)
	}
}

// stop ends both goroutines once everything in flight is answered.
func (p *proposer) stop(why error) {
	p.mu.Lock()
	p.closed = true
	p.timer.Stop()
	p.wake.Broadcast()
	p.mu.Unlock()
	p.follow(why)
}

func (p *proposer) wait() { p.done.Wait() }

// next waits for an entry's worth of sections; none means that followers are to
// be told of the last commit.
func (p *proposer) next() ([]section, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.ready() {
		if p.closed {
			return nil, false
		}
		if p.tell() {
			p.tellAt = time.Time{}
			return nil, true
		}
		if !p.look() { // time may have made it ready just now
			p.wake.Wait()
		}
	}
	p.tellAt = time.Time{} // this entry does
	n, size := 0, 0
	for n < len(p.queue) && size < entryBytes {
		size += len(p.queue[n].bytes)
		n++
	}
	take := p.queue[:n:n]
	p.queue = p.queue[n:]
	p.grow(-size)
	p.inFlight++
	p.last = time.Now()
	p.busy = size >= busyBytes
	return take, true
}

// propose is the goroutine that makes entries.
func (p *proposer) propose() {
	defer p.done.Done()
	defer close(p.flight)
	s := p.shard
	var sections []byte
	for {
		take, ok := p.next()
		if !ok {
			return
		}
		if len(take) == 0 {
			s.tell()
			continue
		}
		sections = sections[:0]
		for _, sec := range take {
			sections = append(sections, sec.bytes...)
		}
		// Time never goes back, whatever the clock does; the machine sees to
		// it across leaders.
		p.lastTime = max(p.lastTime, time.Now().UnixMilli())
		payload := s.codec.Frame(make([]byte, 0, len(sections)+64), p.lastTime, sections)
		s.metrics.entries.Inc()
		s.metrics.sections.Add(float64(len(take)))
		s.metrics.bytes.Add(float64(len(payload)))
		began := time.Now()
		p.flight <- proposal{future: plantedApply(s, payload), sections: take, began: began}
	}
}

// finish is the goroutine that answers.
func (p *proposer) finish() {
	defer p.done.Done()
	s := p.shard
	for pr := range p.flight {
		err := outcome(pr.future)
		s.transferSeen(err)
		took := time.Since(pr.began)
		if err == nil {
			s.metrics.commit.Observe(took.Seconds())
		}
		peers := s.hasPeers()
		p.mu.Lock()
		p.inFlight--
		if err == nil { // a failure at once says nothing of how far the others are
			p.committed(took)
		}
		if err == nil && peers && p.quiet() {
			p.tellAt = time.Now()
			if p.busy {
				p.tellAt = p.tellAt.Add(quietFor)
			}
		}
		p.look()
		p.mu.Unlock()
		var effects any
		if err == nil {
			effects = pr.future.Response()
		}
		for i, sec := range pr.sections {
			if err != nil {
				s.metrics.refused.WithLabelValues(reason(err)).Inc()
			}
			sec.done(i, effects, err)
		}
	}
}

// errTransferring: raft proposes nothing while it hands leadership over.
var errTransferring = errors.Join(ErrNotLeader, raft.ErrLeadershipTransferInProgress)

// outcome says what became of an entry.
func outcome(f raft.ApplyFuture) error {
	err := f.Error()
	switch {
	case err == nil:
		if _, bad := f.Response().(failed); bad {
			return ErrUnknown // committed, but this replica cannot say what it did
		}
		return nil
	case errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return errTransferring
	case errors.Is(err, raft.ErrNotLeader):
		return ErrNotLeader
	}
	return errors.Join(ErrUnknown, err)
}

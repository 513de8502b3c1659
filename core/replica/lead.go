package replica

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// leadership is what a shard knows about who leads it.
type leadership struct {
	leading   atomic.Bool  // this node leads and its term's first entry is applied
	elected   atomic.Bool  // this node leads, as far as raft has told
	transfers sync.Mutex   // held while a transfer of ours runs: one at a time
	stuck     atomic.Int64 // Unix nanoseconds since when raft refuses for a transfer; 0 it does not

	mu      sync.Mutex // guards the field below
	changed chan struct{}
}

// Leader says who leads the shard, as far as this node knows.
func (s *Shard) Leader() (id, address string, ok bool) {
	a, i := s.raft.LeaderWithID()
	return string(i), string(a), i != ""
}

// IsLeader says whether this node leads the shard and accepts proposals.
func (s *Shard) IsLeader() bool { return s.elected.Load() }

// LeaderChanges returns a channel that is closed when the next change of
// leadership is seen. Take it first, then look at Leader.
func (s *Shard) LeaderChanges() <-chan struct{} {
	s.leadership.mu.Lock()
	defer s.leadership.mu.Unlock()
	return s.changed
}

func (s *Shard) leaderChanged() {
	s.leadership.mu.Lock()
	defer s.leadership.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

// lead is the goroutine that follows elections: it opens and closes the
// proposer, proposes a term's first section and ticks, and hands leadership to
// where it belongs.
func (s *Shard) lead(ctx context.Context) {
	observations := make(chan raft.Observation, 16)
	observer := raft.NewObserver(observations, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.FailedHeartbeatObservation, raft.ResumedHeartbeatObservation:
			return true
		}
		return false
	})
	s.raft.RegisterObserver(observer)
	defer s.raft.DeregisterObserver(observer)

	tick := time.NewTicker(min(tickEvery, s.node.cfg.Heartbeat/2))
	defer tick.Stop()
	prefer := time.NewTicker(preferBeats * s.node.cfg.Heartbeat)
	defer prefer.Stop()
	preference := preference{failing: map[raft.ServerID]bool{}}
	for {
		select {
		case <-ctx.Done():
			return
		case lead := <-s.notify:
			s.turn(lead)
		case o := <-observations:
			switch o := o.Data.(type) {
			case raft.LeaderObservation:
				s.leaderChanged()
			case raft.FailedHeartbeatObservation:
				preference.failing[o.PeerID] = true
			case raft.ResumedHeartbeatObservation:
				delete(preference.failing, o.PeerID)
			}
		case <-tick.C:
			if s.elected.Load() {
				s.tick()
				s.checkStuck(ctx)
			}
		case <-prefer.C:
			if s.leading.Load() {
				s.prefer(ctx, &preference)
			}
		}
	}
}

// turn takes note of this node's gaining or losing the shard.
func (s *Shard) turn(lead bool) {
	s.elected.Store(lead)
	if !lead {
		s.leading.Store(false)
		s.stuck.Store(0)
		s.metrics.leader.Set(0)
		s.proposer.follow(ErrNotLeader)
	} else {
		s.metrics.leader.Set(1)
		s.log.Info("leading", "shard", s.id, "term", s.raft.CurrentTerm())
		s.begin(s.raft.CurrentTerm())
	}
	s.leaderChanged()
}

// begin opens the proposer, with the term's first section ahead of all others.
// Until it is applied, entries of earlier leaders may be missing here.
func (s *Shard) begin(term uint64) {
	if s.codec.Term == nil {
		s.proposer.lead(nil)
		f := s.raft.Barrier(0)
		s.node.run(func(context.Context) {
			if f.Error() == nil {
				s.begun(term)
			}
		})
		return
	}
	s.proposer.lead([]section{{s.codec.Term(s.node.cfg.Node), func(_ int, _ any, err error) {
		switch {
		case err == nil:
			s.begun(term)
		case errors.Is(err, raft.ErrLeadershipTransferInProgress):
			// Raft is stuck in a transfer (issue 696): checkStuck decides.
		}
	}}})
}

func (s *Shard) begun(term uint64) {
	if s.elected.Load() && s.raft.CurrentTerm() == term {
		s.leading.Store(true)
	}
}

// tick moves the machine's clock when nothing else does, and tries a term's
// first entry again that a transfer refused.
func (s *Shard) tick() {
	if !s.leading.Load() && s.stuck.Load() != 0 {
		s.begin(s.raft.CurrentTerm())
		return
	}
	due := s.due.Load()
	if s.codec.Tick != nil && due != 0 && due <= time.Now().UnixMilli() && s.proposer.idle() {
		s.Submit(s.codec.Tick(), func(int, any, error) {})
	}
}

// idle says whether nothing waits or is in flight: whatever is moves the clock.
func (p *proposer) idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue) == 0 && p.inFlight == 0
}

// transferSeen takes note of whether raft refuses entries for a transfer.
func (s *Shard) transferSeen(err error) {
	if errors.Is(err, raft.ErrLeadershipTransferInProgress) {
		s.stuck.CompareAndSwap(0, time.Now().UnixNano())
	} else {
		s.stuck.Store(0)
	}
}

// checkStuck ends the process when this leader has refused entries for longer
// than a transfer can take: hashicorp/raft issue 696 leaves the flag set for
// ever, and only a restart clears it.
func (s *Shard) checkStuck(ctx context.Context) {
	since := s.stuck.Load()
	if since == 0 {
		return
	}
	if d := time.Since(time.Unix(0, since)); d > 2*s.node.cfg.Heartbeat {
		s.node.fatal(fmt.Errorf("shard %d: leadership transfer stuck for %s (hashicorp/raft issue 696): restart this node", s.id, d.Round(time.Millisecond)))
		return
	}
	s.transferSeen(s.probe(ctx))
}

// probe proposes an empty entry to see whether raft takes any.
func (s *Shard) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.node.cfg.Heartbeat)
	defer cancel()
	err := wait(ctx, s.raft.Barrier(0))
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // taken into the log: a refusal would have come at once
	}
	return err
}

// Verify returns nil if this node leads the shard and has applied everything
// that was acknowledged before the call, so that a View after it is
// linearizable. It returns ErrNotLeader otherwise.
func (s *Shard) Verify(ctx context.Context) error {
	// The term's first entry is applied: so is everything of earlier leaders,
	// and what we acknowledged ourselves we had applied.
	if !s.leading.Load() {
		return ErrNotLeader
	}
	err := wait(ctx, s.raft.VerifyLeader())
	if err == nil || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%w: %w", ErrNotLeader, err)
}

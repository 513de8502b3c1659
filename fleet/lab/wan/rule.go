package wan

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// A Rule says what happens to packets in one direction of a link. The zero
// Rule passes them on at once.
type Rule struct {
	Delay  time.Duration `json:"delay,omitempty"`  // one way
	Jitter time.Duration `json:"jitter,omitempty"` // added to Delay, uniformly from 0 to this; order is kept
	Loss   float64       `json:"loss,omitempty"`   // share of packets, 0 to 1
	Rate   float64       `json:"rate,omitempty"`   // bytes a second; 0: unlimited
}

// Check says what is wrong with a rule.
func (r Rule) Check() error {
	switch {
	case r.Delay < 0 || r.Jitter < 0:
		return fmt.Errorf("delay %s, jitter %s: want none below zero", r.Delay, r.Jitter)
	case r.Delay+r.Jitter > time.Minute:
		return fmt.Errorf("delay %s and jitter %s: want at most a minute", r.Delay, r.Jitter)
	case !(r.Loss >= 0 && r.Loss <= 1):
		return fmt.Errorf("loss %v: want 0 to 1", r.Loss)
	case !(r.Rate >= 0):
		return fmt.Errorf("rate %v: want none below zero", r.Rate)
	}
	return nil
}

// queueTime is how much a slow link buffers before it drops: a router's usual
// tenth of a second or so.
const queueTime = 100 * time.Millisecond

// A shaper applies a Rule to the packets of one direction, one after another.
type shaper struct {
	rng  *rand.Rand
	free time.Time // when the link has sent what it accepted
	last time.Time // when the packet before arrives
}

// next says when a packet of size bytes that enters at now arrives, or that it
// is lost.
func (s *shaper) next(r Rule, size int, now time.Time) (arrives time.Time, ok bool) {
	if r.Loss > 0 && s.rng.Float64() < r.Loss {
		return time.Time{}, false
	}
	sent := now
	if r.Rate > 0 {
		start := now
		if s.free.After(now) {
			start = s.free
		}
		if start.Sub(now) > queueTime {
			return time.Time{}, false
		}
		sent = start.Add(time.Duration(float64(size) / r.Rate * float64(time.Second)))
		s.free = sent
	}
	arrives = sent.Add(r.Delay)
	if r.Jitter > 0 {
		arrives = arrives.Add(time.Duration(s.rng.Int64N(int64(r.Jitter) + 1)))
	}
	if arrives.Before(s.last) {
		arrives = s.last
	}
	s.last = arrives
	return arrives, true
}

package screen

import "time"

// Limits of the breaker.
const (
	breakAfter = 5                      // calls in a row without an answer
	minBreak   = 500 * time.Millisecond // then nobody is asked for so long,
	maxBreak   = 10 * time.Second       // and for longer every time the next one fails too
)

// A breaker keeps a hook that does not answer from costing its deadline for
// every message. When it has opened, one call at a time tries again after the
// pause. It is pure; the Hook locks around it.
type breaker struct {
	failures int
	pause    time.Duration // 0: closed
	until    time.Time     // open: when to try
	trying   bool
}

// allow says whether to call now. Every call that is allowed ends in done.
func (b *breaker) allow(now time.Time) bool {
	if b.pause == 0 {
		return true
	}
	if b.trying || now.Before(b.until) {
		return false
	}
	b.trying = true
	return true
}

// done takes the outcome of a call, and says whether the breaker opened or
// closed by it.
func (b *breaker) done(answered bool, now time.Time) (changed bool) {
	if answered {
		changed = b.pause != 0
		*b = breaker{}
		return changed
	}
	b.failures++
	switch {
	case b.pause == 0 && b.failures >= breakAfter:
		b.pause, changed = minBreak, true
	case b.pause != 0 && b.trying:
		b.pause = min(2*b.pause, maxBreak)
	default: // closed yet, or a call that began before it opened
		return false
	}
	b.trying, b.until = false, now.Add(b.pause)
	return changed
}

// gaveUp: a call ended without saying anything about the hook, because nobody
// wants its answer any more.
func (b *breaker) gaveUp() { b.trying = false }

// wait is how long until somebody is asked again.
func (b *breaker) wait(now time.Time) time.Duration {
	if b.pause == 0 {
		return 0
	}
	return max(b.until.Sub(now), 0)
}

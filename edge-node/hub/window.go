package hub

import (
	"math"
	"time"
)

// The flush window of a room widens with its rate. One write costs about 7 µs
// whatever it carries, so at r messages a second a window w saves all but one
// in r·w of them; below quietRate there is nothing to save and nobody waits.
const (
	// MaxWindow is how long a message may wait for others: below what people
	// notice.
	MaxWindow = 50 * time.Millisecond
	quietRate = 30  // messages per second that are flushed one by one
	busyRate  = 200 // messages per second at which the window is full
	rateTime  = 250 * time.Millisecond
)

// A pace measures how fast a room is. The zero value is a silent room.
type pace struct {
	rate float64 // messages per second, exponentially weighted over rateTime
	at   time.Time
}

// add counts n messages.
func (p *pace) add(n int, now time.Time) {
	if dt := now.Sub(p.at); dt < 20*rateTime {
		p.rate *= math.Exp(-dt.Seconds() / rateTime.Seconds())
	} else {
		p.rate = 0
	}
	p.at = now
	p.rate += float64(n) / rateTime.Seconds()
}

// window is how far apart flushes should be.
func (p *pace) window() time.Duration {
	if p.rate <= quietRate {
		return 0
	}
	return min(MaxWindow, time.Duration(float64(MaxWindow)*(p.rate-quietRate)/(busyRate-quietRate)))
}

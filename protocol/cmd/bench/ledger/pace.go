package ledger

import (
	"context"
	"time"
)

// Pace calls send at a steady rate a second, until ctx ends. A message is dated
// when it was due, so that a generator that lags shows in the latencies instead
// of hiding them.
func Pace(ctx context.Context, rate float64, send func(i int, due int64)) {
	interval := float64(time.Second) / rate
	start := Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		due := start + int64(float64(i)*interval)
		for ; due <= Now(); due = start + int64(float64(i)*interval) {
			send(i, due)
			i++
		}
		timer.Reset(time.Duration(due - Now()))
	}
}

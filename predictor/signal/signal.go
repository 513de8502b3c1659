// Package signal says what an autoscaler is told: the forecast while it is
// fresh, less and less of it when it is not, and then nothing. It is pure.
//
// The autoscaler takes the larger of what it sees itself and of this. A value of
// 0 therefore leaves it exactly as it was without a forecast. An error would not:
// a HorizontalPodAutoscaler one of whose metrics fails does not scale down, and
// some versions scale down on those that are left (kubernetes#99394).
package signal

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Ageing is how a forecast ages.
type Ageing struct {
	Fresh time.Duration `yaml:"fresh" help:"a forecast counts in full until its newest sample is so old"`
	Fade  time.Duration `yaml:"fade" help:"then it goes down to nothing over so long"`
}

// Default lets a fleet without a forecast shrink no faster than an autoscaler
// that waits five minutes before each step down.
func Default() Ageing { return Ageing{Fresh: 3 * time.Minute, Fade: 15 * time.Minute} }

// Limits of Ageing.
const (
	minFade    = time.Minute // below, a lost forecast would be a cliff
	maxAgeing  = 24 * time.Hour
	minFresh   = time.Second
	clockError = time.Minute // a sample so far in the future is of a clock that is a little wrong
)

// Validate refuses what would drop a fleet at once, or hold it for ever.
func (a Ageing) Validate() error {
	switch {
	case a.Fresh < minFresh || a.Fresh > maxAgeing:
		return fmt.Errorf("fresh %v: use %v to %v", a.Fresh, minFresh, maxAgeing)
	case a.Fade < minFade || a.Fade > maxAgeing:
		return fmt.Errorf("fade %v: use %v to %v", a.Fade, minFade, maxAgeing)
	}
	return nil
}

// A Forecast is a load to have capacity for, as of the newest sample that it
// was made from. The zero Forecast is none.
type Forecast struct {
	Load float64
	At   time.Time
}

// ErrLoad says that a load is no load.
var ErrLoad = errors.New("a forecast is negative or not a number")

// Check refuses a forecast that an autoscaler must not see.
func (f Forecast) Check() error {
	if math.IsNaN(f.Load) || math.IsInf(f.Load, 0) || f.Load < 0 {
		return fmt.Errorf("%w: %v", ErrLoad, f.Load)
	}
	return nil
}

// Value is what an autoscaler is told at now, and how much of the forecast still
// counts, from 1 to 0.
func (a Ageing) Value(f Forecast, now time.Time) (load, share float64) {
	if f.At.IsZero() || f.Check() != nil {
		return 0, 0
	}
	switch age := now.Sub(f.At); {
	case age < -clockError:
		return 0, 0
	case age <= a.Fresh:
		share = 1
	case age >= a.Fresh+a.Fade:
		return 0, 0
	default:
		share = 1 - float64(age-a.Fresh)/float64(a.Fade)
	}
	return f.Load * share, share
}

package capacity

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Limits of a configuration.
const (
	maxTick     = time.Minute
	minTick     = time.Second
	maxLead     = 400 // ticks from the decision to the load that it must carry: what the forecaster keeps, less a margin
	maxSeason   = 1 << 17
	maxReplicas = 1_000_000
)

// ErrConfig is wrapped by the errors of New and Validate.
var ErrConfig = errors.New("capacity")

// Config is a fleet's, and what a shortage is worth.
type Config struct {
	Tick    time.Duration // between two decisions
	Step    time.Duration // between two samples of the history that Fit is given; a multiple of Tick
	Seasons []int         // none, a day, or a day and a week, in steps
	Startup time.Duration // from a decision until its pods serve, with what it takes to be heard
	Drain   time.Duration // how long a pod that was removed still costs

	PerPod float64 // load that one pod carries
	Least  int     // replicas at least
	Zones  int     // spread over so many zones, one of which may be lost; 0 or 1: none

	// Short is the share of minutes that may have too few pods at some tick. What
	// such a tick costs is learnt so that it comes out.
	Short float64
	// Price, if it is not 0, is fixed instead: a tick with too few pods is as bad
	// as so many pods too many.
	Price float64
	// Shrink bounds how many of the pods are removed a minute, as a share; one pod
	// a tick always may be.
	Shrink float64
	// Noise is by how much a tick differs from the line through the steps of the
	// history, as a share.
	Noise float64
}

// Default is a fleet that may have too few pods one minute in 200.
func Default() Config {
	return Config{
		Tick: 15 * time.Second, Step: time.Minute, Seasons: []int{1440, 10080},
		Startup: 90 * time.Second, Drain: 2 * time.Minute, Least: 2, Short: 0.005, Shrink: 0.25, Noise: 0.02,
	}
}

// Validate says what is wrong, and what to use instead.
func (c *Config) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...)
	}
	switch {
	case c.Tick < minTick || c.Tick > maxTick:
		return bad("tick %v: use %v to %v", c.Tick, minTick, maxTick)
	case c.Step < c.Tick || c.Step%c.Tick != 0:
		return bad("step %v: use a multiple of the tick of %v", c.Step, c.Tick)
	case c.Startup < c.Tick || c.Drain < 0 || (c.Startup+c.Drain)/c.Tick > maxLead:
		return bad("startup %v and drain %v: use a startup of a tick (%v) or more, %v together at most", c.Startup, c.Drain, c.Tick, maxLead*c.Tick)
	case !(c.PerPod > 0) || math.IsInf(c.PerPod, 0):
		return bad("load a pod %v: use the load that one pod carries, above 0", c.PerPod)
	case c.Least < 1 || c.Least > maxReplicas:
		return bad("least %d: use 1 to %d", c.Least, maxReplicas)
	case c.Zones < 0 || c.Zones > 100:
		return bad("zones %d: use 0 to 100", c.Zones)
	case c.Price == 0 && !(c.Short >= minShort && c.Short <= maxShort):
		return bad("short %v: use a share of the time, %v to %v", c.Short, minShort, maxShort)
	case c.Price != 0 && !(c.Price >= minPrice && c.Price <= maxPrice):
		return bad("price %v: use %v to %v pods, or 0 and short", c.Price, minPrice, maxPrice)
	case !(c.Shrink > 0 && c.Shrink <= 1):
		return bad("shrink %v: use a share of the pods a minute, above 0, 1 at most", c.Shrink)
	case !(c.Noise >= 0 && c.Noise <= 1):
		return bad("noise %v: use 0 to 1", c.Noise)
	case len(c.Seasons) > 2:
		return bad("%d seasons: use a day and a week, or less", len(c.Seasons))
	}
	for i, m := range c.Seasons {
		if m < 2 || m > maxSeason || i > 0 && m <= c.Seasons[i-1] {
			return bad("seasons %v: use ascending numbers of steps, 2 to %d", c.Seasons, maxSeason)
		}
	}
	return nil
}

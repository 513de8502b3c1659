package sim

import (
	"math"
	"slices"
)

// A Frontier is what a policy costs at every risk: the results of one policy at
// several settings of its risk knob, cheapest first.
type Frontier []Result

// Sweep runs the policy at each setting.
func Sweep(t *Trace, capacity float64, s Settings, settings []float64, policy func(setting float64) Policy) Frontier {
	var policies []Policy
	for _, k := range settings {
		policies = append(policies, policy(k))
	}
	return NewFrontier(t, capacity, s, ReplayAll(t, capacity, s, policies...))
}

// NewFrontier is that of replays of one policy at several settings.
func NewFrontier(t *Trace, capacity float64, s Settings, replays []Replayed) Frontier {
	best := Oracle(t, capacity, s, 1)
	var f Frontier
	for _, p := range replays {
		r := p.Score(t, capacity)
		r.CostVsOracle = round(r.BilledPodHours/best.BilledPodHours, 4)
		f = append(f, r)
	}
	f.sort()
	return f
}

func (f Frontier) sort() {
	slices.SortStableFunc(f, func(a, b Result) int {
		switch {
		case a.BilledPodHours < b.BilledPodHours:
			return -1
		case a.BilledPodHours > b.BilledPodHours:
			return 1
		}
		return 0
	})
}

// CostAt is the cheapest cost over the oracle's at which no more than pct % of
// the minutes are violated, log-linear between two settings. ok is false when
// no setting reaches it.
func (f Frontier) CostAt(pct float64) (cost float64, ok bool) {
	least := math.Inf(1)
	for i, r := range f {
		before := least
		least = min(least, r.ViolationPct)
		if least > pct {
			continue
		}
		if i == 0 {
			return r.CostVsOracle, true
		}
		a, b := math.Log(before+1e-3), math.Log(least+1e-3)
		w := 1.0
		if a > b {
			w = (a - math.Log(pct+1e-3)) / (a - b)
		}
		from := f[i-1].CostVsOracle
		return round(from+w*(r.CostVsOracle-from), 4), true
	}
	return 0, false
}

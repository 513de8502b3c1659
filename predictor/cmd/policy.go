package cmd

import (
	"math"
	"time"

	"github.com/barrage-im/barrage/predictor/capacity"
	"github.com/barrage-im/barrage/predictor/sim"
)

// metricTicks is how many ticks the metric of a replay is the mean of.
const metricTicks = 4

// ticksOf finds the ticks' loads in the running mean of four of them: a new one
// is the one that left and four times the difference. What it did not know at
// the beginning it forgets slowly.
type ticksOf struct {
	last float64
	four [metricTicks]float64
	n    int
}

const forgetTicks = 0.05

func (o *ticksOf) next(metric float64) float64 {
	if o.n == 0 {
		o.last = metric
		for i := range o.four {
			o.four[i] = metric
		}
	}
	i := o.n % metricTicks
	v := max(0, o.four[i]+metricTicks*(metric-o.last))
	v += forgetTicks * (metric - v)
	o.four[i], o.last = v, metric
	o.n++
	return v
}

// prices of a tick with too few pods, in pods: the policy's frontier.
func prices() (list []float64) {
	for e := 0.0; e <= 4.5; e += 0.15 {
		list = append(list, math.Pow(10, e))
	}
	return list
}

// policyOf is a configuration of the policy for a replay.
func policyOf(t *sim.Trace, perPod float64, s sim.Settings) capacity.Config {
	c := capacity.Default()
	c.Tick, c.Step = sim.TickSeconds*time.Second, time.Duration(t.StepSeconds)*time.Second
	c.Seasons = t.Seasons
	c.Startup, c.Drain = time.Duration(s.StartupSeconds)*time.Second, time.Duration(s.DrainSeconds)*time.Second
	c.PerPod, c.Least = perPod, s.Min
	return c
}

// own replays the capacity policy at every price, and as it is configured.
func (o *simulateOptions) own(t *sim.Trace, perPod float64, s sim.Settings) (policyResult, error) {
	r := policyResult{Name: "barrage"}
	bank, err := capacity.NewBank(policyOf(t, perPod, s), prices()...)
	if err != nil {
		return r, err
	}
	bank.Fit(t.History)
	var ticks ticksOf
	var load float64
	policies := make([]sim.Policy, 0, 1+len(prices()))
	for i := range cap(policies) {
		policies = append(policies, func(v sim.View) (int, bool) {
			if i == 0 { // the first of each tick
				load = ticks.next(v.Metric)
				if v.Tick > 0 { // the history ends with the tick before the first
					bank.Observe(load)
				}
			}
			return bank.Decide(i, capacity.Tick{Load: load, Replicas: v.Replicas, Ready: v.Ready}).Replicas, true
		})
	}
	replays := sim.ReplayAll(t, perPod, s, policies...)
	r.Plotted, r.ready = replays[0].Score(t, perPod), replays[0].Ready
	r.Frontier = sim.NewFrontier(t, perPod, s, replays[1:])
	return r, nil
}

// linePolicy answers the lines of a replay.
type linePolicy struct {
	bank  *capacity.Bank
	ticks ticksOf
}

func newLinePolicy(o lineOpening) (*linePolicy, error) {
	c := capacity.Default()
	c.Tick, c.Step = time.Duration(o.Tick)*time.Second, time.Duration(o.Step)*time.Second
	c.Seasons = o.Periods
	c.Startup, c.Drain = time.Duration(o.Startup)*time.Second, time.Duration(o.Drain)*time.Second
	c.PerPod, c.Least = o.Capacity, o.Min
	b, err := capacity.NewBank(c)
	if err != nil {
		return nil, err
	}
	b.Fit(o.History)
	return &linePolicy{bank: b}, nil
}

func (l *linePolicy) answer(q lineQuestion) (any, error) {
	t := capacity.Tick{Load: math.NaN(), Replicas: q.Replicas, Ready: q.Ready}
	if q.Metric != nil {
		t.Load = l.ticks.next(*q.Metric)
	}
	if l.ticks.n > 1 || q.Metric == nil { // the history ends with the tick before the first
		l.bank.Observe(t.Load)
	}
	d := l.bank.Decide(0, t)
	return struct {
		Desired  int     `json:"desired"`
		Forecast float64 `json:"forecast"`
	}{d.Replicas, d.Peak}, nil
}

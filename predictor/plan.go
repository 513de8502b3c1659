package predictor

import (
	"math"
	"time"

	"github.com/barrage-im/barrage/predictor/capacity"
	"github.com/barrage-im/barrage/predictor/forecast"
)

// A planner says which load there should be capacity for.
type planner interface {
	// Fit learns complete steps before the first Want; NaN is missing.
	Fit(history []float64)
	// Want takes the load of the tick that ended now; NaN is not known.
	Want(load float64) float64
}

// newPlanner is the capacity policy where the load that a pod carries is known,
// else a quantile of the maximum.
func newPlanner(cfg Config, f *forecast.Forecast, made *bool, level int) (planner, error) {
	if cfg.Plan.PerPod == 0 {
		return peak{f, made, cfg.lead() - 1, level}, nil
	}
	p := &pods{cfg: cfg.capacity()}
	return p, p.renew()
}

// peak wants a quantile of the maximum of the load over the lead.
type peak struct {
	forecast *forecast.Forecast
	made     *bool // whether forecast is one
	step     int   // lead, less 1
	level    int
}

func (peak) Fit([]float64) {}

// Want is never below the load of now.
func (p peak) Want(load float64) float64 {
	want := 0.0
	if *p.made {
		want = p.forecast.Maximum[p.step][p.level]
	}
	if !math.IsNaN(load) {
		want = max(want, load)
	}
	return want
}

// pods wants what the capacity policy decides, as a load: with an AverageValue of
// the load per pod, an autoscaler makes that many pods of it. Unless it is told
// how many serve, it takes the fleet for obedient: pods are there a lead after
// they were wanted.
type pods struct {
	cfg    capacity.Config
	policy *capacity.Policy
	wanted []int   // by tick, of a lead; the oldest are ready
	perPod float64 // as it was learnt; 0: as configured
	ready  int     // pods that serve; 0: not known
}

// tell says what is known of the fleet.
func (p *pods) tell(perPod float64, ready int) {
	p.perPod, p.ready = perPod, ready
	p.policy.SetPerPod(perPod)
}

func (p *pods) renew() (err error) {
	p.policy, err = capacity.New(p.cfg)
	p.wanted = nil
	if err == nil && p.perPod > 0 {
		p.policy.SetPerPod(p.perPod)
	}
	return err
}

func (p *pods) Fit(history []float64) {
	if p.renew() == nil { // the configuration was good before
		p.policy.Fit(history)
	}
}

func (p *pods) Want(load float64) float64 {
	t := capacity.Tick{Load: load}
	lead := int((p.cfg.Startup + p.cfg.Tick - 1) / p.cfg.Tick)
	if n := len(p.wanted); n > 0 {
		t.Replicas = p.wanted[n-1]
		if n >= lead {
			t.Ready = min(p.wanted[0], t.Replicas)
		}
		if p.ready > 0 {
			t.Ready = min(p.ready, t.Replicas)
		}
	}
	d := p.policy.Decide(t)
	p.wanted = append(p.wanted, d.Replicas)
	if len(p.wanted) > lead {
		p.wanted = p.wanted[1:]
	}
	if math.IsNaN(load) && t.Replicas == 0 {
		return 0 // nothing was ever known
	}
	return float64(d.Replicas) * p.cfg.PerPod // the autoscaler's target is what is configured
}

// capacity is the policy's configuration.
func (c Config) capacity() capacity.Config {
	p := capacity.Default()
	p.Tick, p.Step = c.Tick, c.Step
	p.Seasons = nil
	for _, season := range []time.Duration{day, week} {
		if n := int(season / c.Step); n >= 2 {
			p.Seasons = append(p.Seasons, n)
		}
	}
	p.Startup, p.Drain = c.Plan.Lead, c.Plan.Drain
	p.PerPod, p.Short, p.Least = c.Plan.PerPod, c.Plan.Short/100, 1
	return p
}

package predictor

import (
	"errors"
	"fmt"
	"time"

	"github.com/barrage-im/barrage/predictor/adapter"
	"github.com/barrage-im/barrage/predictor/demand"
	"github.com/barrage-im/barrage/predictor/forecast"
	"github.com/barrage-im/barrage/predictor/keda"
	"github.com/barrage-im/barrage/predictor/lease"
	"github.com/barrage-im/barrage/predictor/series"
	"github.com/barrage-im/barrage/predictor/signal"
	"github.com/barrage-im/barrage/protocol/ops"
)

// Modes of a predictor.
const (
	ForecastOnly = "forecast-only"
	Publish      = "publish"
)

// Config of a predictor.
type Config struct {
	Region string `yaml:"region" help:"region whose demand is forecast"`
	Mode   string `yaml:"mode" help:"forecast-only: metrics show what would be told, autoscalers are told 0; publish: they are told"`

	Step    time.Duration `yaml:"step" help:"between two samples of the series that is forecast"`
	Tick    time.Duration `yaml:"tick" help:"between two looks at the demand; divides step"`
	Horizon time.Duration `yaml:"horizon" help:"how far ahead is forecast"`
	History time.Duration `yaml:"history" help:"how much of the past is learnt from at the start, and kept"`

	State      string        `yaml:"state" help:"file that keeps the history over a restart; empty: it is read from Prometheus again"`
	StateEvery time.Duration `yaml:"state_every" help:"how often the file is written"`
	Events     string        `yaml:"events" help:"YAML or JSON file with the streams that are scheduled, read again when it changes; empty: none"`

	Plan    Plan           `yaml:"plan"`
	Demand  demand.Config  `yaml:"demand"`
	Ageing  signal.Ageing  `yaml:"ageing"`
	KEDA    keda.Config    `yaml:"keda"`
	Adapter adapter.Config `yaml:"adapter"`
	Lease   lease.Config   `yaml:"lease"`
	Ops     ops.Config     `yaml:"ops"`
	Log     ops.LogConfig  `yaml:"log"`
}

// Plan says which load to have capacity for.
type Plan struct {
	Lead     time.Duration `yaml:"lead" help:"from a decision until a pod that it starts takes connections"`
	Quantile float64       `yaml:"quantile" help:"of the maximum of the load over the lead, where per_pod is not given"`
	PerPod   float64       `yaml:"per_pod" help:"load that one pod carries; then the least pods that keep short are wanted, and an autoscaler's target is this load; 0: quantile decides"`
	Short    float64       `yaml:"short" help:"percent of the minutes that may have too few pods; with per_pod"`
	Drain    time.Duration `yaml:"drain" help:"how long a pod that is removed goes on; with per_pod"`

	Ready      string `yaml:"ready" help:"PromQL for the number of pods that serve; with overloaded"`
	Overloaded string `yaml:"overloaded" help:"PromQL that gives 1 or more while a pod is overloaded, else 0; what a pod carries is then learnt, from per_pod on; empty: per_pod is right"`
}

// Default is the configuration before flags, environment and file.
func Default() Config {
	return Config{
		Region: "local", Mode: ForecastOnly,
		Step: time.Minute, Tick: 15 * time.Second, Horizon: 15 * time.Minute, History: 28 * day,
		StateEvery: 5 * time.Minute,
		Plan:       Plan{Lead: 2 * time.Minute, Quantile: 0.95, Short: 0.5, Drain: 2 * time.Minute, Ready: "count(" + demand.Metric + ")"},
		Demand:     demand.Default(), Ageing: signal.Default(), Lease: lease.Default(),
		Ops: ops.Config{Listen: "127.0.0.1:8070"}, Log: ops.DefaultLog(),
	}
}

// Limits of the configuration.
const (
	day           = 24 * time.Hour
	week          = 7 * day
	minTick       = time.Second
	maxStep       = time.Hour
	maxHorizon    = 120 // steps: each is a row of metrics
	maxHistory    = 400 * day
	minStateEvery = time.Second
	maxStateEvery = day
	maxPods       = 1_000_000
)

// Validate refuses what cannot work, whatever the demand looks like.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Region == "" {
		bad("region: name the region whose demand is forecast")
	}
	if c.Mode != ForecastOnly && c.Mode != Publish {
		bad("mode %q: use %s or %s", c.Mode, ForecastOnly, Publish)
	}
	if c.Step < minTick || c.Step > maxStep || day%c.Step != 0 {
		bad("step %s: use %s to %s, a whole number of which is a day", c.Step, minTick, maxStep)
		return errors.Join(errs...) // the rest is counted in steps
	}
	if c.Tick < minTick || c.Tick > c.Step || c.Step%c.Tick != 0 {
		bad("tick %s: use at least %s, a whole number of which is a step of %s", c.Tick, minTick, c.Step)
	}
	if n := c.horizon(); n < 1 || n > maxHorizon {
		bad("horizon %s: use 1 to %d steps of %s", c.Horizon, maxHorizon, c.Step)
	}
	if c.History < c.Step || c.History > maxHistory || c.History/c.Step > series.MaxSamples {
		bad("history %s: use a step to %s, %d steps at most", c.History, maxHistory, series.MaxSamples)
	}
	if c.StateEvery < minStateEvery || c.StateEvery > maxStateEvery {
		bad("state_every %s: use %s to %s", c.StateEvery, minStateEvery, maxStateEvery)
	}
	if c.Plan.Lead <= 0 || c.lead() > c.horizon() {
		bad("plan.lead %s: use more than 0, and at most the horizon of %s", c.Plan.Lead, c.Horizon)
	}
	if !(c.Plan.Quantile >= 0.5 && c.Plan.Quantile <= 0.999) {
		bad("plan.quantile %v: use 0.5 to 0.999", c.Plan.Quantile)
	}
	if c.Plan.PerPod != 0 {
		p := c.capacity()
		if err := p.Validate(); err != nil {
			bad("plan: %w", err)
		}
	}
	if c.Plan.Overloaded != "" && (c.Plan.PerPod == 0 || c.Plan.Ready == "" || c.Demand.Prometheus == "") {
		bad("plan.overloaded: give plan.per_pod to begin with, plan.ready, and demand.prometheus to ask")
	}
	if c.Ageing.Fresh < 2*c.Tick {
		bad("ageing.fresh %s: use two ticks of %s or more, or a single sample that is late lowers what is told", c.Ageing.Fresh, c.Tick)
	}
	return errors.Join(errs...)
}

// horizon is in steps.
func (c Config) horizon() int { return int(c.Horizon / c.Step) }

// lead is in steps, rounded up.
func (c Config) lead() int { return int((c.Plan.Lead + c.Step - 1) / c.Step) }

// length of the history, in steps.
func (c Config) length() int { return int(c.History / c.Step) }

// inputs is how many known inputs there are: what is scheduled.
func (c Config) inputs() int {
	if c.Events == "" {
		return 0
	}
	return 1
}

func (c Config) forecaster(levels []float64) forecast.Config {
	f := forecast.Config{Horizon: c.horizon(), Quantiles: levels, Inputs: c.inputs()}
	for _, season := range []time.Duration{day, week} {
		if n := int(season / c.Step); n >= 2 && n <= forecast.MaxSeason {
			f.Seasons = append(f.Seasons, n)
		}
	}
	return f
}

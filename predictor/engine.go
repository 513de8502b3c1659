package predictor

import (
	"slices"
	"time"

	"github.com/barrage-im/barrage/predictor/forecast"
)

// levels of the quantiles that are shown; the plan's is added.
var levels = []float64{0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99}

// An engine forecasts one demand. It has no clock and does no I/O.
type engine struct {
	cfg      Config
	levels   []float64
	f        *forecast.Forecaster
	forecast forecast.Forecast
	made     bool // forecast is one
	plan     planner
	accuracy *accuracy
	rows     []float64
}

func newEngine(cfg Config) (*engine, error) {
	e := &engine{cfg: cfg, levels: slices.Clone(levels)}
	if at, there := slices.BinarySearch(e.levels, cfg.Plan.Quantile); !there {
		e.levels = slices.Insert(e.levels, at, cfg.Plan.Quantile)
	}
	level, _ := slices.BinarySearch(e.levels, cfg.Plan.Quantile)
	e.accuracy = newAccuracy(cfg.horizon(), e.levels, int(day/cfg.Step))
	var err error
	if e.plan, err = newPlanner(cfg, &e.forecast, &e.made, level); err != nil {
		return nil, err
	}
	e.f, err = forecast.New(cfg.forecaster(e.levels))
	return e, err
}

// fit learns a history from nothing.
func (e *engine) fit(h *history, s schedule) error {
	f, err := forecast.New(e.cfg.forecaster(e.levels))
	if err != nil {
		return err
	}
	e.f, e.made = f, false
	if from := h.first(); from < len(h.load) {
		var known []float64
		if e.cfg.inputs() > 0 {
			known = s.appendRows(slices.Clone(h.known[from:]), h.next, h.step, e.cfg.horizon())
		}
		e.f.Fit(h.load[from:], known)
		e.plan.Fit(h.load[from:])
	}
	e.made = e.f.Forecast(&e.forecast) == nil
	return nil
}

// step takes the sample of a step; NaN is missing.
func (e *engine) step(y float64, at time.Time, s schedule) {
	var known []float64
	if e.cfg.inputs() > 0 {
		e.rows = s.appendRows(e.rows[:0], at, e.cfg.Step, e.cfg.horizon()+1)
		known = e.rows
	}
	e.f.Update(y, known)
	e.made = e.f.Forecast(&e.forecast) == nil
	if e.made {
		e.accuracy.step(y, &e.forecast)
	} else {
		e.accuracy.step(y, nil)
	}
}

// fleet says what a pod carries, and how many serve; 0 if that is not known.
func (e *engine) fleet(perPod float64, ready int) {
	if p, is := e.plan.(*pods); is {
		p.tell(perPod, ready)
	}
}

// want is the load to have capacity for.
func (e *engine) want(now float64) float64 { return e.plan.Want(now) }

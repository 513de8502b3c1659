package predictor

import (
	"context"
	"math"
	"time"

	"github.com/barrage-im/barrage/predictor/capacity"
	"github.com/barrage-im/barrage/predictor/demand"
	"github.com/barrage-im/barrage/predictor/series"
)

// A fleet is what is known of the edges themselves: how many serve, and what one
// of them carries, learnt from when they were overloaded.
type fleet struct {
	ready, overloaded demand.Source
	perPod            *capacity.PerPod
}

// recallMost is how much of the past is learnt from: pods change.
const recallMost = week

// openFleet returns nil where plan.overloaded is not given.
func openFleet(cfg Config) (*fleet, error) {
	if cfg.Plan.Overloaded == "" {
		return nil, nil
	}
	open := func(query string) (demand.Source, error) {
		c := cfg.Demand
		c.Query, c.Complete = query, ""
		return demand.Open(c)
	}
	f := &fleet{}
	var err error
	if f.perPod, err = capacity.NewPerPod(cfg.Plan.PerPod); err != nil {
		return nil, err
	}
	if f.ready, err = open(cfg.Plan.Ready); err != nil {
		return nil, err
	}
	if f.overloaded, err = open(cfg.Plan.Overloaded); err != nil {
		f.ready.Close()
		return nil, err
	}
	return f, nil
}

func (f *fleet) Close() {
	if f != nil {
		f.ready.Close()
		f.overloaded.Close()
	}
}

// look learns from what is now; load is the demand of that time. How many pods
// serve is 0 where it is not known.
func (f *fleet) look(ctx context.Context, at time.Time, load float64) (ready int, err error) {
	pods, err := f.ready.Now(ctx, at)
	if err != nil {
		return 0, err
	}
	over, err := f.overloaded.Now(ctx, at)
	if err != nil {
		return 0, err
	}
	ready = count(pods)
	f.perPod.Observe(load, ready, over >= 1)
	return ready, nil
}

// recall learns from what was, as far as all of it is known.
func (f *fleet) recall(ctx context.Context, h *history) (steps int, err error) {
	n := min(len(h.load), int(recallMost/h.step))
	if n == 0 {
		return 0, nil
	}
	from, end := h.next.Add(-time.Duration(n)*h.step), h.next.Add(-h.step)
	read := func(s demand.Source) ([]float64, error) {
		points, err := s.History(ctx, from, end, h.step)
		if err != nil {
			return nil, err
		}
		values, _ := series.Grid(points, from, h.step, n)
		return values, nil
	}
	pods, err := read(f.ready)
	if err != nil {
		return 0, err
	}
	over, err := read(f.overloaded)
	if err != nil {
		return 0, err
	}
	before := f.perPod.Samples()
	for i, y := range h.load[len(h.load)-n:] {
		if !math.IsNaN(over[i]) {
			f.perPod.Observe(y, count(pods[i]), over[i] >= 1)
		}
	}
	return f.perPod.Samples() - before, nil
}

// count is a number of pods; 0 if it is none.
func count(v float64) int {
	if !(v >= 1 && v <= maxPods) {
		return 0
	}
	return int(v)
}

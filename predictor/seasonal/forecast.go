package seasonal

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Limits of what Forecast takes. They bound memory and time, not usefulness.
const (
	MaxSamples = 1 << 20
	MaxHorizon = 1 << 14
	MaxPeriod  = 1 << 15
	MaxValue   = 1e100 // squares and sums of them stay finite
)

var (
	// ErrNoData is returned for a series without a single usable sample.
	ErrNoData = errors.New("no usable sample")
	// ErrArgument is wrapped by the errors for arguments that make no sense.
	ErrArgument = errors.New("invalid argument")
)

// A Result is what Forecast returns. Lead i is i+1 steps after the last sample.
type Result struct {
	Median    []float64   // by lead
	Quantiles [][]float64 // by quantile, in the order asked for, then by lead
	Experts   []Weight    // of the experts that took part, in fixed order
}

// A Weight tells what an expert contributed, and why.
type Weight struct {
	Name   string
	Weight float64 // all sum to 1
	Loss   float64 // absolute error on the origins tried: mean over leads, median over origins; NaN when none could be tried
}

// Forecast forecasts the h samples that follow y. The periods are the lengths of
// the seasons in samples, at most two, the longer a multiple of the shorter, in
// any order. A season of which y has too little (less than 4 of the shorter, 2.5
// of the longer) is left out; without any, the forecast is that of a plain
// autoregression. The quantiles are probabilities inside (0, 1).
//
// Samples that are NaN, infinite or beyond ±MaxValue are missing: they are filled
// with the usual value of their slot, moved by the deviation of their neighbours,
// and never count when experts are judged. A constant series is forecast as that
// constant, with all quantiles equal. A series without negative samples is never
// forecast below 0. A series too short to try experts on is forecast by its last
// sample, with quantiles as if it were a random walk.
//
// The errors are ErrNoData and ErrArgument. The result depends on nothing but the
// arguments.
func Forecast(y []float64, periods []int, h int, quantiles []float64) (Result, error) {
	day, week, err := check(y, periods, h, quantiles)
	if err != nil {
		return Result{}, err
	}
	observed := usable(y)
	if !slices.Contains(observed, true) {
		return Result{}, ErrNoData
	}
	s := season{day, week}.supported(len(y))
	filled := fill(y, observed, s)
	scale := chooseScale(filled, s)
	z := make([]float64, len(filled))
	for t, v := range filled {
		z[t] = scale.to(v)
	}

	panel := assemble(z, s)
	trial := try(panel, z, observed, s, h, scale)
	weights := trial.weights()
	centre := combine(panel.forecast(z, h), weights, h)
	spread := trial.spread(weights, h)

	r := Result{Median: make([]float64, h), Quantiles: make([][]float64, len(quantiles))}
	for i, c := range centre {
		r.Median[i] = scale.from(c)
	}
	for k, p := range quantiles {
		q := standardQuantile(p)
		r.Quantiles[k] = make([]float64, h)
		for i, c := range centre {
			r.Quantiles[k][i] = scale.from(c + q*spread[i])
		}
	}
	for i, e := range panel {
		r.Experts = append(r.Experts, Weight{e.name, weights[i], trial.loss[i]})
	}
	return r, nil
}

func check(y []float64, periods []int, h int, quantiles []float64) (day, week int, err error) {
	switch {
	case len(y) > MaxSamples:
		return 0, 0, fmt.Errorf("%w: %d samples: at most %d", ErrArgument, len(y), MaxSamples)
	case h < 1 || h > MaxHorizon:
		return 0, 0, fmt.Errorf("%w: horizon %d: use 1 to %d", ErrArgument, h, MaxHorizon)
	case len(periods) > 2:
		return 0, 0, fmt.Errorf("%w: %d periods: at most 2", ErrArgument, len(periods))
	}
	for _, p := range quantiles {
		if !(p > 0 && p < 1) {
			return 0, 0, fmt.Errorf("%w: quantile %v: use values between 0 and 1", ErrArgument, p)
		}
	}
	for _, m := range periods {
		if m < 2 || m > MaxPeriod {
			return 0, 0, fmt.Errorf("%w: period %d: use 2 to %d", ErrArgument, m, MaxPeriod)
		}
	}
	switch len(periods) {
	case 0:
		return 1, 0, nil
	case 1:
		return periods[0], 0, nil
	}
	day, week = min(periods[0], periods[1]), max(periods[0], periods[1])
	if week == day || week%day != 0 {
		return 0, 0, fmt.Errorf("%w: periods %d and %d: the longer is to be a multiple of the shorter", ErrArgument, day, week)
	}
	return day, week, nil
}

// A season holds the lengths of the two seasons in samples. The names are those
// of hourly series; any two will do.
type season struct {
	day  int // 1 = none
	week int // a multiple of day; 0 = none
}

// supported leaves out the seasons of which n samples do not show enough.
func (s season) supported(n int) season {
	if 2*n < 5*s.week {
		s.week = 0
	}
	if n < 4*s.day {
		s.day = 1
	}
	return s
}

// longest is the length after which all seasons begin anew.
func (s season) longest() int { return max(s.day, s.week) }

// usable marks the samples that count: neither NaN nor beyond MaxValue.
func usable(y []float64) []bool {
	ok := make([]bool, len(y))
	for t, v := range y {
		ok[t] = math.Abs(v) <= MaxValue // not of NaN
	}
	return ok
}

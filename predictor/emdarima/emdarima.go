// Package emdarima forecasts by empirical mode decomposition and ARIMA: the past
// is taken apart into a fast, a seasonal and a slow component, each gets an ARIMA
// model, and their forecasts add up (in the manner of Chen and Wang, 2019, with
// components grouped by period). It is pure.
//
// Only samples before the forecast are decomposed. Published results often
// decompose the whole series first, which tells the components of the past what
// comes next; fed honestly, the method loses to plain ARIMA on most loads (Jiang,
// Wu and Chen, 2024). It is here so that everybody can see by how much.
package emdarima

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/barrage-im/barrage/predictor/arima"
	"github.com/barrage-im/barrage/predictor/emd"
)

const (
	// Window is how many samples are decomposed.
	Window = 512
	// MaxHorizon is how many steps ahead are forecast at most.
	MaxHorizon = 256

	minSamples = 24 // below, the forecast is the last sample
	reorder    = 8  // forecasts until the orders are chosen anew
	origins    = 60 // finished forecasts that the quantiles rest on
	warmUp     = 20 // of them made before the first forecast, from the past
	warmStride = 5  // samples between these
	harmonics  = 4  // of the season
)

// The components.
const (
	high = iota
	middle
	low
	components
)

var (
	// ErrHorizon is the error of New for a horizon beyond its limits.
	ErrHorizon = errors.New("emdarima: horizon out of range")
	// ErrNoData is the error of Forecast before any sample that is a number.
	ErrNoData = errors.New("emdarima: no sample yet")
)

// A Forecaster takes samples and forecasts when asked. One goroutine at a time
// may use it.
type Forecaster struct {
	horizon int
	season  float64 // samples; 0: none
	levels  []float64

	y      []float64 // the newest, no more than needed
	n      int       // samples so far
	space  emd.Workspace
	groups emd.Groups
	orders [components]*arima.Model // what the last choice of orders was; nil: choose
	age    int
	warmed bool

	open   []open      // forecasts whose samples have not all come
	errors [][]float64 // by step: of finished forecasts, newest last
}

type open struct {
	origin int
	point  []float64
}

// New returns a forecaster of so many steps ahead, with quantiles at the levels
// (probabilities, ascending). season is the length of a day in samples, 0 when
// there is none; one longer than half the window is not seen.
func New(horizon, season int, levels []float64) (*Forecaster, error) {
	if horizon < 1 || horizon > MaxHorizon {
		return nil, fmt.Errorf("%w: %d is not 1 to %d", ErrHorizon, horizon, MaxHorizon)
	}
	f := &Forecaster{horizon: horizon, levels: slices.Clone(levels), errors: make([][]float64, horizon)}
	if season >= 2 && season <= Window/2 {
		f.season = float64(season)
	}
	return f, nil
}

// Observe takes samples that became known; one that is NaN or infinite repeats
// the last.
func (f *Forecaster) Observe(samples []float64) {
	for _, v := range samples {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			if len(f.y) == 0 {
				continue
			}
			f.judge(math.NaN())
			v = f.y[len(f.y)-1]
		} else {
			f.judge(v)
		}
		f.y = append(f.y, v)
		f.n++
	}
	const keep = Window + (warmUp+1)*warmStride + MaxHorizon
	if len(f.y) > 2*keep {
		f.y = append(f.y[:0], f.y[len(f.y)-keep:]...)
	}
}

// judge compares open forecasts with sample n, unless it is missing.
func (f *Forecaster) judge(v float64) {
	kept := f.open[:0]
	for _, o := range f.open {
		h := f.n - o.origin
		if !math.IsNaN(v) {
			f.learn(h, v-o.point[h])
		}
		if h+1 < f.horizon {
			kept = append(kept, o)
		}
	}
	f.open = kept
}

func (f *Forecaster) learn(h int, e float64) {
	f.errors[h] = append(f.errors[h], e)
	if len(f.errors[h]) > origins {
		f.errors[h] = f.errors[h][1:]
	}
}

// Forecast fills point by step, and quantiles by step and level.
func (f *Forecaster) Forecast(point []float64, quantiles [][]float64) error {
	if len(f.y) == 0 {
		return ErrNoData
	}
	if !f.warmed {
		f.warmed = true
		f.warm()
	}
	copy(point, f.forecast(f.y))
	f.open = append(f.open, open{f.n, slices.Clone(point)})
	f.spread(point, quantiles)
	return nil
}

// warm learns errors from forecasts of the past, each from what was known then.
func (f *Forecaster) warm() {
	for i := warmUp; i > 0; i-- {
		origin := len(f.y) - f.horizon - i*warmStride
		if origin < minSamples {
			continue
		}
		for h, v := range f.forecast(f.y[:origin]) {
			f.learn(h, f.y[origin+h]-v)
		}
	}
}

// forecast is of what follows y.
func (f *Forecaster) forecast(y []float64) []float64 {
	y = y[max(0, len(y)-Window):]
	out := slices.Repeat([]float64{y[len(y)-1]}, f.horizon)
	if len(y) < minSamples {
		return out
	}
	modes, residue, err := f.space.Decompose(y, emd.Options{})
	if err != nil || len(modes) == 0 {
		return out // nothing to take apart: constant, or monotone
	}
	if f.season > 0 {
		f.groups.BySeason(modes, residue, f.season)
	} else {
		f.groups.ByRuns(modes, residue)
	}
	if f.age == 0 {
		clear(f.orders[:])
	}
	f.age = (f.age + 1) % reorder
	sum := make([]float64, f.horizon)
	for i, part := range [components][]float64{high: f.groups.High, middle: f.groups.Middle, low: f.groups.Low} {
		mean, err := f.component(i, part)
		if err != nil {
			return out
		}
		for h, v := range mean {
			sum[h] += v
		}
	}
	// A component may run away; the load has not done that.
	lo, hi := slices.Min(y), slices.Max(y)
	for h, v := range sum {
		out[h] = min(max(v, lo-(hi-lo)), hi+(hi-lo))
	}
	return out
}

// component forecasts one of the three: the fast one by an ARMA model about 0, the
// seasonal one by harmonics with autocorrelated errors, the slow one by a trend
// that fades, from its last value on.
func (f *Forecaster) component(i int, part []float64) ([]float64, error) {
	if lo, hi := slices.Min(part), slices.Max(part); hi-lo <= 1e-9*max(math.Abs(lo), math.Abs(hi)) {
		return slices.Repeat([]float64{part[len(part)-1]}, f.horizon), nil
	}
	var m *arima.Model
	var ahead [][]float64
	var err error
	switch {
	case i == low:
		m, err = arima.Fit(part, arima.Order{P: 1, D: 1}, arima.Options{})
	case i == middle && f.season > 0:
		term := arima.Term{Period: f.season, K: min(harmonics, int(f.season/2))}
		var rows [][]float64
		if rows, err = arima.Fourier(0, len(part)+f.horizon, term); err != nil {
			return nil, err
		}
		ahead = rows[len(part):]
		m, err = arima.Fit(part, arima.Order{P: 2}, arima.Options{XReg: rows[:len(part)]})
	case f.orders[i] != nil:
		m, err = arima.Fit(part, f.orders[i].Order, arima.Options{})
	default:
		m, err = arima.Auto(part, arima.Options{NoConstant: true, MaxP: 3, MaxQ: 2})
		f.orders[i] = m
	}
	if err != nil {
		return nil, err
	}
	mean, _ := m.Forecast(f.horizon, ahead)
	for _, v := range mean {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, errors.New("emdarima: no finite forecast")
		}
	}
	return mean, nil
}

// spread makes quantiles of the errors that finished forecasts had: in units of
// their size at the step, those of all steps together. The components' variances
// say nothing, for the components are not independent.
func (f *Forecaster) spread(point []float64, quantiles [][]float64) {
	size := make([]float64, f.horizon)
	var z []float64
	for h, list := range f.errors {
		for _, e := range list {
			size[h] += e * e / float64(len(list))
		}
		size[h] = math.Sqrt(size[h])
		if h > 0 {
			size[h] = max(size[h], size[h-1])
		}
		for _, e := range list {
			if size[h] > 0 {
				z = append(z, e/size[h])
			}
		}
	}
	slices.Sort(z)
	for h := range point {
		for i, p := range f.levels {
			quantiles[h][i] = point[h]
			if len(z) > 0 {
				at := p * float64(len(z)-1)
				k := min(int(at), len(z)-2)
				if k < 0 {
					k = 0
				}
				v := z[k]
				if k+1 < len(z) {
					v += (at - float64(k)) * (z[k+1] - z[k])
				}
				quantiles[h][i] += size[h] * v
			}
		}
	}
}

// Package forecast is a streaming probabilistic forecaster of load: an ensemble of experts, each updated with every sample,
// weighed by how well their finished forecasts did, and quantiles that are calibrated as the samples come in.
//
// A forecast from sample t rests on samples up to t and nothing else. Same samples, same bits. The package is pure: no clock,
// no I/O, no goroutine, no randomness.
package forecast

import (
	"errors"
	"fmt"
	"slices"
)

// Limits. A configuration beyond them is refused; a sample beyond them is missing.
const (
	MaxHorizon   = 256     // steps ahead
	MaxSeason    = 1 << 17 // steps; a quarter of a year of minutes
	MaxQuantiles = 64
	MaxInputs    = 16
	MaxLoad      = 1e15 // of a sample; its square must not lose the rest
)

var (
	// ErrConfig is the error of New; its text says what is wrong.
	ErrConfig = errors.New("forecast: configuration")
	// ErrNoData is the error of Forecast as long as no sample has been there that is a number.
	ErrNoData = errors.New("forecast: no sample yet")
)

// Config of a Forecaster.
type Config struct {
	Horizon   int       // steps ahead, 1 to MaxHorizon
	Quantiles []float64 // levels, ascending, inside (0, 1)
	Seasons   []int     // none, the day, or day and week, in steps: ascending, at least 2. What the history does not cover yet waits.
	Inputs    int       // known inputs per step
}

// A Forecast of the next Horizon steps.
type Forecast struct {
	Point     []float64   // the median
	Quantiles [][]float64 // step × level, ascending along both the levels and never negative
	// Maximum of the load over the first 1, 2, … Horizon steps: step × level. It is calibrated for itself: the quantile of a
	// maximum is not the maximum of quantiles.
	Maximum [][]float64
}

// A Weight is an expert's share of the forecast, per block of horizons (steps 1–3, 4–8, 9–15, the rest).
type Weight struct {
	Expert string
	Share  []float64
}

// Stats count what the forecaster met.
type Stats struct {
	Samples int // all
	Missing int // NaN, infinite, negative or beyond MaxLoad
	Changes int // of regime
}

// A Forecaster takes samples one by one. One goroutine at a time may use it.
type Forecaster struct {
	cfg     Config
	known   *inputs
	views   []*view
	experts []expert
	regs    []*regression
	mix     *mixer
	spread  *spread
	track   *tracker
	peaks   *peaks
	guard   guard

	ring   int
	pred   []float64 // origin × horizon × expert
	center []float64 // origin × horizon
	made   []bool    // origin: pred and center hold
	quant  []float64 // horizon × level, from the newest sample
	ahead  []float64 // horizon: scratch

	n       int // samples, missing ones included
	missing int
	gap     int // how many of the newest are missing
	past    func(h int) ([]float64, float64, bool)
}

// New returns a Forecaster that has seen nothing.
func New(cfg Config) (*Forecaster, error) {
	if cfg.Horizon < 1 || cfg.Horizon > MaxHorizon {
		return nil, fmt.Errorf("%w: horizon %d is not 1 to %d", ErrConfig, cfg.Horizon, MaxHorizon)
	}
	if len(cfg.Quantiles) == 0 || len(cfg.Quantiles) > MaxQuantiles {
		return nil, fmt.Errorf("%w: %d quantiles, not 1 to %d", ErrConfig, len(cfg.Quantiles), MaxQuantiles)
	}
	for i, p := range cfg.Quantiles {
		if !(p > 0 && p < 1) || i > 0 && p <= cfg.Quantiles[i-1] {
			return nil, fmt.Errorf("%w: quantiles do not ascend inside (0, 1)", ErrConfig)
		}
	}
	if len(cfg.Seasons) > 2 {
		return nil, fmt.Errorf("%w: %d seasons, at most 2", ErrConfig, len(cfg.Seasons))
	}
	for i, m := range cfg.Seasons {
		if m < 2 || m > MaxSeason || i > 0 && m <= cfg.Seasons[i-1] {
			return nil, fmt.Errorf("%w: seasons do not ascend from 2 to %d", ErrConfig, MaxSeason)
		}
	}
	if cfg.Inputs < 0 || cfg.Inputs > MaxInputs {
		return nil, fmt.Errorf("%w: %d inputs, not 0 to %d", ErrConfig, cfg.Inputs, MaxInputs)
	}
	cfg.Quantiles, cfg.Seasons = slices.Clone(cfg.Quantiles), slices.Clone(cfg.Seasons)
	f := &Forecaster{cfg: cfg, known: newInputs(cfg.Inputs, cfg.Horizon), ring: cfg.Horizon + 1}
	f.build()
	h := cfg.Horizon
	f.mix = newMixer(len(f.experts), h)
	season := 1
	if len(cfg.Seasons) > 0 {
		season = cfg.Seasons[0]
	}
	f.spread = newSpread(h, season)
	levels := cfg.Quantiles
	f.track = newTracker(h, append(slices.Clone(levels), 0.5))
	f.peaks = newPeaks(h, levels)
	f.pred = make([]float64, f.ring*h*len(f.experts))
	f.center, f.made = make([]float64, f.ring*h), make([]bool, f.ring)
	f.quant, f.ahead = make([]float64, h*(len(levels)+1)), make([]float64, h)
	f.past = func(h int) ([]float64, float64, bool) {
		o := f.n - 1 - h
		if o < 0 || !f.made[o%f.ring] {
			return nil, 0, false
		}
		at := (o%f.ring)*f.cfg.Horizon + h
		return f.pred[at*len(f.experts):][:len(f.experts)], f.center[at], true
	}
	return f, nil
}

// fullTail is how many of the newest samples of a long history Fit takes like Update does. From those before it learns the
// experts' coefficients, but not how well they do.
const fullTail = 2500

// Fit takes a history: it is Update for each sample of y, but quicker. known has the known inputs of each sample and of the
// Horizon steps after the last, row by row; nil if there are none.
func (f *Forecaster) Fit(y, known []float64) {
	k := f.cfg.Inputs
	for i, v := range y {
		var rows []float64
		if from := i * k; k > 0 && from < len(known) {
			rows = known[from:]
		}
		f.take(v, rows, len(y)-i > fullTail)
	}
}

// Update takes one more sample, of the step after the last one, and renews the forecast. A sample that is NaN, infinite,
// negative or beyond MaxLoad is missing: the forecaster goes on with what it expected, its quantiles as wide as a forecast from
// the last sample that was there would have them. known has the known inputs of the sample's step and of the steps after it, row
// by row; missing rows repeat the last one. It allocates nothing.
func (f *Forecaster) Update(y float64, known []float64) { f.take(y, known, false) }

// take is Update; light means that only the experts learn, as they do from old samples.
func (f *Forecaster) take(y float64, known []float64, light bool) {
	f.known.set(known)
	ok := y >= 0 && y <= MaxLoad
	if !ok {
		f.missing++
		if f.n == f.gap { // nothing before it either
			f.n++
			f.gap++
			return
		}
		f.gap++
		y = f.expected()
	} else {
		if f.n > 0 && f.n == f.gap {
			f.n, f.gap = 0, 0 // time starts with the first sample that is there
		}
		f.learn(y)
		f.gap = 0
	}
	for _, v := range f.views {
		v.push(y)
	}
	f.n++
	if ok {
		f.learnExperts(light)
	}
	if light {
		for _, r := range f.regs {
			r.prepare()
		}
		f.made[(f.n-1)%f.ring] = false
		f.peaks.skip(f.n - 1)
		return
	}
	f.predict()
}

// Package backtest judges forecasters on a series that has happened already:
// from many origins of its last part, each method forecasts the next samples and
// is scored by what came. It is pure.
//
// A method is shown the samples before the origin and no others, so it cannot
// leak: not by decomposing the whole series first, not by choosing an order or a
// scale on the part that is scored.
package backtest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Levels are the quantiles that every method gives, as probabilities: those of
// the M competitions' kind, dense in both tails.
func Levels() []float64 {
	return []float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99}
}

// Limits.
const (
	MaxHorizon = 256
	minOrigins = 2
)

// ErrOptions is wrapped by the errors for a backtest that cannot be run.
var ErrOptions = errors.New("this backtest cannot be run")

// Options of a backtest. Samples are counted in steps of the series.
type Options struct {
	Horizon int   // samples ahead, 1 to MaxHorizon
	Seasons []int // a day and a week, or one of them, or none; ascending
	Test    int   // the last so many samples are scored
	Stride  int   // from one origin to the next
	Keep    int   // so many forecasts of each method are in the report, the last of them from the last origin
	// Clock measures what methods cost; nil: they are not timed.
	Clock func() time.Duration
}

// A Forecast from one origin.
type Forecast struct {
	Origin    int         // samples before it: the first forecast is of sample Origin
	Point     []float64   // by step
	Quantiles [][]float64 // step × level of Levels
}

func newForecast(h int) Forecast {
	f := Forecast{Point: make([]float64, h), Quantiles: make([][]float64, h)}
	for i := range f.Quantiles {
		f.Quantiles[i] = make([]float64, len(Levels()))
	}
	return f
}

// A Method forecasts one series. It is asked in the series' order.
type Method interface {
	Name() string
	// Observe tells samples that became known since the last call; NaN is missing.
	Observe(y []float64)
	// Forecast fills f, whose slices have their lengths already.
	Forecast(f *Forecast) error
}

// A Row is what a method did.
type Row struct {
	Method string
	Scores
	Seconds   float64 // of a forecast, with the samples observed for it; mean; 0: not timed
	Forecasts []Forecast
}

// A Report is one row a method, in the order given.
type Report struct {
	Samples, Missing, Origins int
	Options                   Options
	Rows                      []Row
}

// Run judges methods on y, of which NaN is missing.
func Run(y []float64, o Options, methods []Method) (*Report, error) {
	if err := o.check(y); err != nil {
		return nil, err
	}
	r := &Report{Samples: len(y), Missing: missing(y), Options: o}
	origins := o.origins(len(y))
	r.Origins = len(origins)
	for _, m := range methods {
		row, err := judge(y, o, origins, m)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name(), err)
		}
		r.Rows = append(r.Rows, row)
	}
	return r, nil
}

func judge(y []float64, o Options, origins []int, m Method) (Row, error) {
	row := Row{Method: m.Name()}
	board := newBoard(y, origins[0], o.Seasons)
	f := newForecast(o.Horizon)
	seen := 0
	var spent time.Duration
	for i, origin := range origins {
		begin := o.now()
		m.Observe(slices.Clone(y[seen:origin])) // a clone: what is behind it cannot be looked at
		seen = origin
		f.Origin = origin
		if err := m.Forecast(&f); err != nil {
			return row, fmt.Errorf("forecast from sample %d: %w", origin, err)
		}
		if i > 0 { // the first has all the history to learn
			spent += o.now() - begin
		}
		board.add(&f)
		if i >= len(origins)-o.Keep {
			row.Forecasts = append(row.Forecasts, f)
			f = newForecast(o.Horizon)
		}
	}
	row.Scores = board.scores()
	row.Seconds = spent.Seconds() / float64(max(1, len(origins)-1))
	return row, nil
}

func (o *Options) now() time.Duration {
	if o.Clock == nil {
		return 0
	}
	return o.Clock()
}

// origins are from the first of the test to the last that has a whole horizon.
func (o *Options) origins(n int) (at []int) {
	for i := n - o.Test; i <= n-o.Horizon; i += o.Stride {
		at = append(at, i)
	}
	return at
}

func (o *Options) check(y []float64) error {
	n := len(y)
	switch {
	case o.Horizon < 1 || o.Horizon > MaxHorizon:
		return fmt.Errorf("%w: horizon %d: use 1 to %d steps", ErrOptions, o.Horizon, MaxHorizon)
	case o.Stride < 1:
		return fmt.Errorf("%w: stride %d: use 1 or more", ErrOptions, o.Stride)
	case o.Test < o.Horizon || o.Test >= n:
		return fmt.Errorf("%w: a test of %d samples: there are %d, use at least the horizon of %d and leave some before it", ErrOptions, o.Test, n, o.Horizon)
	case len(o.origins(n)) < minOrigins:
		return fmt.Errorf("%w: %d origins in a test of %d samples: use a longer test or a smaller stride", ErrOptions, len(o.origins(n)), o.Test)
	case len(o.Seasons) > 2:
		return fmt.Errorf("%w: %d seasons: use a day and a week", ErrOptions, len(o.Seasons))
	case missing(y[:n-o.Test]) == n-o.Test:
		return fmt.Errorf("%w: no sample before the test is a number", ErrOptions)
	case missing(y[n-o.Test:]) == o.Test:
		return fmt.Errorf("%w: no sample of the test is a number", ErrOptions)
	}
	for i, m := range o.Seasons {
		if m < 2 || i > 0 && m <= o.Seasons[i-1] {
			return fmt.Errorf("%w: seasons %v: use ascending numbers of steps, 2 or more", ErrOptions, o.Seasons)
		}
	}
	return nil
}

func missing(y []float64) (n int) {
	for _, v := range y {
		if math.IsNaN(v) {
			n++
		}
	}
	return n
}

package predictor

import (
	"math"
	"slices"

	"github.com/barrage-im/barrage/predictor/forecast"
)

// accuracy judges forecasts whose time has come, each by the steps ahead that it
// was made. Forecasts of the newest steps are kept; a step that is missing judges
// nothing.
type accuracy struct {
	levels []float64
	made   []forecast.Forecast // a ring
	valid  []bool
	n      int     // steps so far
	rate   float64 // weight of the newest in a mean
	ahead  []judged
	done   int // forecasts judged one step ahead
	bounds [2][2]int
}

// judged are the means of one distance.
type judged struct {
	count    int
	mae      float64
	pinball  float64    // of all levels
	coverage [2]float64 // of intervals
}

// intervals whose coverage is watched.
var intervals = [2]struct {
	name      string
	low, high float64
}{{"0.8", 0.1, 0.9}, {"0.95", 0.025, 0.975}}

// newAccuracy has means over about so many steps.
func newAccuracy(horizon int, levels []float64, over int) *accuracy {
	a := &accuracy{levels: levels, made: make([]forecast.Forecast, horizon), valid: make([]bool, horizon), rate: 1 / float64(over), ahead: make([]judged, horizon)}
	for i, iv := range intervals {
		a.bounds[i] = [2]int{slices.Index(levels, iv.low), slices.Index(levels, iv.high)}
	}
	return a
}

// step takes the step that was forecast, and then the forecast from it.
func (a *accuracy) step(y float64, next *forecast.Forecast) {
	horizon := len(a.made)
	if !math.IsNaN(y) {
		for h := 1; h <= min(horizon, a.n); h++ {
			if at := (a.n - h) % horizon; a.valid[at] {
				a.judge(h-1, y, &a.made[at])
			}
		}
	}
	at := a.n % horizon
	a.valid[at] = next != nil
	if next != nil {
		keep(&a.made[at], next)
	}
	a.n++
}

func keep(dst, src *forecast.Forecast) {
	dst.Point = append(dst.Point[:0], src.Point...)
	if len(dst.Quantiles) != len(src.Quantiles) {
		dst.Quantiles = make([][]float64, len(src.Quantiles))
	}
	for i, row := range src.Quantiles {
		dst.Quantiles[i] = append(dst.Quantiles[i][:0], row...)
	}
}

func (a *accuracy) judge(h int, y float64, f *forecast.Forecast) {
	j := &a.ahead[h]
	j.count++
	if h == 0 {
		a.done++
	}
	w := max(a.rate, 1/float64(j.count))
	j.mae += w * (math.Abs(y-f.Point[h]) - j.mae)
	loss := 0.0
	for i, q := range a.levels {
		d := y - f.Quantiles[h][i]
		loss += max(q*d, (q-1)*d)
	}
	j.pinball += w * (loss/float64(len(a.levels)) - j.pinball)
	for i, b := range a.bounds {
		inside := 0.0
		if f.Quantiles[h][b[0]] <= y && y <= f.Quantiles[h][b[1]] {
			inside = 1
		}
		j.coverage[i] += w * (inside - j.coverage[i])
	}
}

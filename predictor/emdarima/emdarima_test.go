package emdarima_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/barrage-im/barrage/predictor/arima"
	"github.com/barrage-im/barrage/predictor/emd"
	"github.com/barrage-im/barrage/predictor/emdarima"
)

var levels = []float64{0.1, 0.5, 0.9}

func forecast(t *testing.T, y []float64, h, season int) (point []float64, quantiles [][]float64) {
	t.Helper()
	f, err := emdarima.New(h, season, levels)
	if err != nil {
		t.Fatal(err)
	}
	f.Observe(y)
	point, quantiles = make([]float64, h), make([][]float64, h)
	for i := range quantiles {
		quantiles[i] = make([]float64, len(levels))
	}
	if err := f.Forecast(point, quantiles); err != nil {
		t.Fatal(err)
	}
	return point, quantiles
}

// walk is a random walk under noise: of what comes next, its past says little.
func walk(n int, seed uint64) []float64 {
	random := rand.New(rand.NewPCG(seed, 3))
	y := make([]float64, n)
	level := 100.0
	for i := range y {
		level += random.NormFloat64()
		y[i] = level + random.NormFloat64()
	}
	return y
}

// leaky decomposes what comes with what was, as published comparisons do, and
// forecasts each mode from its part before the origin.
func leaky(t *testing.T, y []float64, origin, h int) []float64 {
	t.Helper()
	from := max(0, origin-emdarima.Window)
	modes, residue, err := emd.Decompose(y[from:origin+h], emd.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sum := make([]float64, h)
	for _, m := range append(modes, residue) {
		model, err := arima.Fit(m[:origin-from], arima.Order{P: 3}, arima.Options{Constant: true})
		if err != nil {
			t.Fatal(err)
		}
		mean, _ := model.Forecast(h, nil)
		for i, v := range mean {
			sum[i] += v
		}
	}
	return sum
}

// Decomposing the future with the past seems to help, and would be a lie. This is
// how it looks, so that nobody takes such a figure for a result.
func TestALeakSeemsToHelp(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: takes seconds")
	}
	const h = 10
	y := walk(1100, 1)
	var honest, leak, naive float64
	for origin := 600; origin+h <= len(y); origin += 30 {
		point, _ := forecast(t, y[:origin], h, 0)
		cheat := leaky(t, y, origin, h)
		for i := range h {
			honest += math.Abs(y[origin+i] - point[i])
			leak += math.Abs(y[origin+i] - cheat[i])
			naive += math.Abs(y[origin+i] - y[origin-1])
		}
	}
	t.Logf("error relative to the last sample as forecast: honest %.2f, leaky %.2f", honest/naive, leak/naive)
	if leak > 0.9*honest {
		t.Errorf("the leaky error is %.2f of the honest one: the comparison shows nothing", leak/honest)
	}
	if honest < 0.8*naive {
		t.Errorf("the honest forecast of a random walk has %.2f of the naive error: it knows what it cannot", honest/naive)
	}
}

func TestTheFutureDoesNotMatter(t *testing.T) {
	y := walk(700, 2)
	a, qa := forecast(t, y[:600], 8, 48)
	other := slices.Clone(y)
	for i := 600; i < 700; i++ {
		other[i] = -1e6
	}
	b, qb := forecast(t, other[:600:600], 8, 48)
	if !slices.Equal(a, b) || !slices.EqualFunc(qa, qb, slices.Equal) {
		t.Error("the forecast changes with what comes after it")
	}
}

// A season that the window holds is found, where the modes do not mix: noise on
// the steep parts of a season has no extrema there, and spoils them.
func TestASeasonIsForecast(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 5))
	y := make([]float64, 624)
	for i := range y {
		y[i] = 100 + 40*math.Sin(2*math.Pi*float64(i)/48) + 30*math.Sin(2*math.Pi*float64(i)/6) + 0.5*random.NormFloat64()
	}
	point, _ := forecast(t, y[:600], 24, 48)
	var own, naive float64
	for i, v := range point {
		own += math.Abs(y[600+i] - v)
		naive += math.Abs(y[600+i] - y[599])
	}
	if own > 0.9*naive {
		t.Errorf("the error is %.2f of the naive one", own/naive)
	}
}

// About as many samples as they should lie between the quantiles.
func TestQuantilesHoldWhatTheySay(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: takes seconds")
	}
	const h = 5
	y := walk(1500, 6)
	f, err := emdarima.New(h, 0, levels)
	if err != nil {
		t.Fatal(err)
	}
	point, quantiles := make([]float64, h), [][]float64{make([]float64, 3), make([]float64, 3), make([]float64, 3), make([]float64, 3), make([]float64, 3)}
	in, all := 0, 0
	seen := 0
	for origin := 500; origin+h <= len(y); origin += h {
		f.Observe(y[seen:origin])
		seen = origin
		if err := f.Forecast(point, quantiles); err != nil {
			t.Fatal(err)
		}
		for i := range h {
			if y[origin+i] >= quantiles[i][0] && y[origin+i] <= quantiles[i][2] {
				in++
			}
			all++
		}
	}
	if share := float64(in) / float64(all); share < 0.7 || share > 0.9 {
		t.Errorf("%.3f of the samples are between the 0.1 and 0.9 quantiles", share)
	}
}

func TestOddSeries(t *testing.T) {
	nan := math.NaN()
	for name, y := range map[string][]float64{
		"one": {5}, "eight": {1, 9, 2, 8, 3, 7, 4, 6}, "constant": slices.Repeat([]float64{3}, 200),
		"missing": {nan, nan, 4, nan, nan}, "infinite": {1, math.Inf(1), 2, math.Inf(-1)},
		"linear": func() (y []float64) {
			for i := range 300 {
				y = append(y, float64(i))
			}
			return y
		}(),
		"shift": slices.Concat(walk(300, 7), func() []float64 {
			y := walk(300, 8)
			for i := range y {
				y[i] *= 1000
			}
			return y
		}()),
	} {
		point, quantiles := forecast(t, y, 6, 24)
		for i, v := range point {
			if math.IsNaN(v) || math.IsInf(v, 0) || !slices.IsSorted(quantiles[i]) {
				t.Fatalf("%s: %v, %v", name, v, quantiles[i])
			}
		}
	}
	f, err := emdarima.New(1, 0, levels)
	if err != nil {
		t.Fatal(err)
	}
	f.Observe([]float64{nan, nan})
	if err := f.Forecast(make([]float64, 1), [][]float64{make([]float64, 3)}); !errors.Is(err, emdarima.ErrNoData) {
		t.Errorf("without a sample: %v, want ErrNoData", err)
	}
	for _, h := range []int{0, -1, emdarima.MaxHorizon + 1} {
		if _, err := emdarima.New(h, 0, levels); !errors.Is(err, emdarima.ErrHorizon) {
			t.Errorf("horizon %d: %v, want ErrHorizon", h, err)
		}
	}
}

package backtest_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/barrage-im/barrage/predictor/backtest"
	"github.com/barrage-im/barrage/predictor/internal/shared"
)

// daily is a load with a day of m steps, noise and a walk.
func daily(n, m int, seed uint64) []float64 {
	random := rand.New(rand.NewPCG(seed, 1))
	y := make([]float64, n)
	walk := 0.0
	for i := range y {
		walk += random.NormFloat64()
		y[i] = 300 + 100*math.Sin(2*math.Pi*float64(i)/float64(m)) + 5*random.NormFloat64() + walk
	}
	return y
}

func methods(t *testing.T, h, season int) []backtest.Method {
	t.Helper()
	own, err := backtest.Ensemble(h, []int{season})
	if err != nil {
		t.Fatal(err)
	}
	modes, err := backtest.EMDARIMA(h, []int{season})
	if err != nil {
		t.Fatal(err)
	}
	return []backtest.Method{
		own, backtest.Naive(), backtest.Theta(), backtest.SeasonalNaive("naive day", season),
		backtest.SeasonallyAdjusted("arima+day", season), backtest.ARIMA(), modes,
	}
}

// What comes after an origin changes no forecast from it, by no bit.
func TestNoMethodSeesTheFuture(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: takes seconds")
	}
	const n, m, h = 1600, 48, 10
	y := daily(n, m, 1)
	random := rand.New(rand.NewPCG(2, 2))
	for test := 120; test >= 60; test -= 60 {
		noise := slices.Clone(y)
		for i := n - test; i < n; i++ {
			noise[i] = 1e4 * random.Float64()
		}
		o := backtest.Options{Horizon: h, Seasons: []int{m}, Test: test, Stride: test - h, Keep: 2}
		was, err := backtest.Run(y, o, methods(t, h, m))
		if err != nil {
			t.Fatal(err)
		}
		is, err := backtest.Run(noise, o, methods(t, h, m))
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range was.Rows {
			a, b := row.Forecasts[0], is.Rows[i].Forecasts[0]
			if a.Origin != n-test || !slices.Equal(a.Point, b.Point) || !slices.EqualFunc(a.Quantiles, b.Quantiles, slices.Equal) {
				t.Errorf("%s: the forecast from sample %d changes with what comes after", row.Method, a.Origin)
			}
			if slices.Equal(row.Forecasts[1].Point, is.Rows[i].Forecasts[1].Point) {
				t.Errorf("%s: the forecast from sample %d does not change with what came before it", row.Method, row.Forecasts[1].Origin)
			}
		}
	}
}

func TestScoresOfAForecastByHand(t *testing.T) {
	y := []float64{10, 12, 10, 12, 10, math.NaN(), 12, 10}
	m := constant{point: 11, low: 9, high: 11.5}
	r, err := backtest.Run(y, backtest.Options{Horizon: 2, Test: 4, Stride: 1}, []backtest.Method{m})
	if err != nil {
		t.Fatal(err)
	}
	// Before the test: 10, 12, 10, 12, differences of 2. Origins 4, 5 and 6 score
	// samples 4, 6 and 6, 7; sample 5 is missing.
	s := r.Rows[0].Scores
	if s.N != 4 || s.Scale != 2 {
		t.Fatalf("%d forecasts in units of %v, want 4 in units of 2", s.N, s.Scale)
	}
	want := backtest.Scores{
		N: 4, Scale: 2, MAE: 1, MASE: 0.5, RMSSE: 0.5, SMAPE: (2*200.0/21 + 2*200.0/23) / 4,
		Cov80: 0.5, Cov95: 0.5, Below: 0.5,
	}
	for i, p := range backtest.Levels() {
		q := m.quantile(i)
		for _, v := range []float64{10, 12, 12, 10} {
			loss := math.Max(p*(v-q), (p-1)*(v-q))
			want.SPL += loss / 11 / 4 / 2
			if p == 0.95 {
				want.SPL95 += loss / 4 / 2
			}
		}
	}
	got, _ := json.Marshal(s)
	expected, _ := json.Marshal(want)
	var a, b map[string]float64
	if json.Unmarshal(got, &a) != nil || json.Unmarshal(expected, &b) != nil {
		t.Fatal("scores are not JSON")
	}
	for k, v := range b {
		if math.Abs(a[k]-v) > 1e-12 {
			t.Errorf("%s is %v, want %v", k, a[k], v)
		}
	}
}

// constant forecasts the same always: quantiles below the median are low, those
// above it high.
type constant struct{ point, low, high float64 }

func (constant) Name() string      { return "constant" }
func (constant) Observe([]float64) {}

func (c constant) quantile(i int) float64 {
	switch mid := len(backtest.Levels()) / 2; {
	case i < mid:
		return c.low
	case i > mid:
		return c.high
	}
	return c.point
}

func (c constant) Forecast(f *backtest.Forecast) error {
	for h := range f.Point {
		f.Point[h] = c.point
		for i := range f.Quantiles[h] {
			f.Quantiles[h][i] = c.quantile(i)
		}
	}
	return nil
}

// The simple methods score what the reference programs gave them.
func TestScoresEqualTheReferences(t *testing.T) {
	dir, ok := shared.Dir()
	if !ok {
		t.Skip("SKIPPED: the public forecasting set is not there")
	}
	var cfg struct {
		Series map[string]struct{ M, W, Test, Stride, H int }
	}
	var anchors map[string]map[string]struct{ MAE, MASE, RMSSE, SMAPE float64 }
	read(t, filepath.Join(dir, "config.json"), &cfg)
	read(t, filepath.Join(dir, "anchor_scores.json"), &anchors)
	compared := 0
	for name, c := range cfg.Series {
		y, err := shared.Values(filepath.Join(dir, name+".csv"))
		if err != nil {
			t.Fatal(err)
		}
		o := backtest.Options{Horizon: c.H, Seasons: []int{c.M, c.W}, Test: c.Test, Stride: c.Stride}
		r, err := backtest.Run(y, o, []backtest.Method{backtest.Naive(), backtest.SeasonalNaive("day", c.M), backtest.SeasonalNaive("week", c.W)})
		if err != nil {
			t.Fatal(err)
		}
		for i, anchor := range []string{"naive", "snaive_day", "snaive_week"} {
			want, ok := anchors[name][anchor]
			if !ok {
				continue
			}
			compared++
			got := r.Rows[i]
			for _, v := range [][2]float64{{got.MAE, want.MAE}, {got.MASE, want.MASE}, {got.RMSSE, want.RMSSE}, {got.SMAPE, want.SMAPE}} {
				if math.Abs(v[0]-v[1]) > 2e-4*v[1] { // the reference forecasts are rounded
					t.Errorf("%s of %s: %v, reference %v", anchor, name, v[0], v[1])
				}
			}
		}
	}
	if compared < 20 {
		t.Errorf("only %d methods were compared", compared)
	}
}

func read(t *testing.T, path string, into any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

func TestBacktestsThatCannotBeRun(t *testing.T) {
	y := daily(200, 24, 3)
	nothing := slices.Repeat([]float64{math.NaN()}, 200)
	late := slices.Concat(nothing[:150], y[150:])
	for name, c := range map[string]struct {
		y []float64
		o backtest.Options
	}{
		"no samples":             {nil, backtest.Options{Horizon: 1, Stride: 1, Test: 1}},
		"no horizon":             {y, backtest.Options{Stride: 1, Test: 50}},
		"horizon too long":       {y, backtest.Options{Horizon: backtest.MaxHorizon + 1, Stride: 1, Test: 50}},
		"no stride":              {y, backtest.Options{Horizon: 5, Test: 50}},
		"all is test":            {y, backtest.Options{Horizon: 5, Stride: 1, Test: 200}},
		"test below horizon":     {y, backtest.Options{Horizon: 5, Stride: 1, Test: 4}},
		"one origin":             {y, backtest.Options{Horizon: 5, Stride: 10, Test: 10}},
		"season of one":          {y, backtest.Options{Horizon: 5, Stride: 1, Test: 50, Seasons: []int{1}}},
		"descending seasons":     {y, backtest.Options{Horizon: 5, Stride: 1, Test: 50, Seasons: []int{48, 24}}},
		"three seasons":          {y, backtest.Options{Horizon: 5, Stride: 1, Test: 50, Seasons: []int{2, 4, 8}}},
		"all missing":            {nothing, backtest.Options{Horizon: 5, Stride: 1, Test: 50}},
		"missing before test":    {late, backtest.Options{Horizon: 5, Stride: 1, Test: 50}},
		"the whole test missing": {slices.Concat(y[:150], nothing[:50]), backtest.Options{Horizon: 5, Stride: 1, Test: 50}},
	} {
		if _, err := backtest.Run(c.y, c.o, []backtest.Method{backtest.Naive()}); !errors.Is(err, backtest.ErrOptions) {
			t.Errorf("%s: %v, want ErrOptions", name, err)
		}
	}
}

// Whatever the samples are, every method answers with numbers.
func TestOddSeries(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: takes seconds")
	}
	const n, m, h = 300, 24, 6
	random := rand.New(rand.NewPCG(4, 4))
	series := map[string]func(i int) float64{
		"constant": func(int) float64 { return 7 },
		"zero":     func(int) float64 { return 0 },
		"linear":   func(i int) float64 { return float64(i) },
		"shift":    func(i int) float64 { return map[bool]float64{true: 1, false: 1000}[i < 200] * (1 + random.Float64()) },
		"gaps": func(i int) float64 {
			if i%7 < 3 {
				return math.NaN()
			}
			return 10 + random.Float64()
		},
		"begins late": func(i int) float64 {
			if i < 100 {
				return math.NaN()
			}
			return float64(i % 24)
		},
	}
	for name, f := range series {
		y := make([]float64, n)
		for i := range y {
			y[i] = f(i)
		}
		r, err := backtest.Run(y, backtest.Options{Horizon: h, Seasons: []int{m}, Test: 60, Stride: 18, Keep: 3}, methods(t, h, m))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, row := range r.Rows {
			for _, f := range row.Forecasts {
				for step, q := range f.Quantiles {
					if !slices.IsSorted(q) || math.IsNaN(f.Point[step]+q[0]) || math.IsInf(f.Point[step], 0) {
						t.Fatalf("%s: %s forecasts %v, %v", name, row.Method, f.Point[step], q)
					}
				}
			}
		}
	}
}

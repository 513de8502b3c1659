package forecast_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/barrage-im/barrage/predictor/forecast"
)

var few = []float64{0.05, 0.1, 0.5, 0.9, 0.95}

func newForecaster(t testing.TB, horizon, inputs int, seasons ...int) *forecast.Forecaster {
	t.Helper()
	f, err := forecast.New(forecast.Config{Horizon: horizon, Quantiles: few, Seasons: seasons, Inputs: inputs})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func get(t *testing.T, f *forecast.Forecaster) forecast.Forecast {
	t.Helper()
	var out forecast.Forecast
	if err := f.Forecast(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

func equal(a, b forecast.Forecast) bool {
	return slices.Equal(a.Point, b.Point) && slices.EqualFunc(a.Quantiles, b.Quantiles, slices.Equal) && slices.EqualFunc(a.Maximum, b.Maximum, slices.Equal)
}

// sound checks what holds for every forecast.
func sound(t *testing.T, name string, fc forecast.Forecast) {
	t.Helper()
	for h, q := range fc.Quantiles {
		m := fc.Maximum[h]
		if math.IsNaN(fc.Point[h]) || math.IsInf(fc.Point[h], 0) || fc.Point[h] < 0 {
			t.Fatalf("%s: the forecast of step %d is %v", name, h+1, fc.Point[h])
		}
		for _, row := range [][]float64{q, m} {
			if !slices.IsSorted(row) || !(row[0] >= 0) || !(row[len(row)-1] <= forecast.MaxLoad*1.01) {
				t.Fatalf("%s: quantiles of step %d are %v", name, h+1, row)
			}
		}
		for i, v := range m {
			if h > 0 && v < fc.Maximum[h-1][i] {
				t.Fatalf("%s: the maximum over %d steps is below that over %d", name, h+1, h)
			}
		}
	}
}

// daily is a load with a day of m steps that drifts.
func daily(n, m int, seed uint64) []float64 {
	random := rand.New(rand.NewPCG(seed, 2))
	y := make([]float64, n)
	drift := 0.0
	for i := range y {
		drift = 0.98*drift + 8*random.NormFloat64()
		y[i] = max(0, 500+300*math.Sin(2*math.Pi*float64(i)/float64(m))+drift+15*random.NormFloat64())
	}
	return y
}

// What comes after the origin changes no bit of a forecast, and the same samples
// give the same bits.
func TestForecastsRestOnThePast(t *testing.T) {
	y := daily(1500, 96, 1)
	noise := slices.Clone(y)
	random := rand.New(rand.NewPCG(8, 8))
	for i := 1200; i < len(noise); i++ {
		noise[i] = 1e5 * random.Float64()
	}
	for origin := 1150; origin <= 1250; origin += 50 {
		a, b := newForecaster(t, 10, 0, 96), newForecaster(t, 10, 0, 96)
		a.Fit(y[:origin], nil)
		b.Fit(noise[:origin], nil)
		if same := equal(get(t, a), get(t, b)); same != (origin <= 1200) {
			t.Errorf("origin %d: the same forecast: %v", origin, same)
		}
	}
	once, twice := newForecaster(t, 10, 0, 96), newForecaster(t, 10, 0, 96)
	for _, v := range y {
		once.Update(v, nil)
		twice.Update(v, nil)
		if !equal(get(t, once), get(t, twice)) {
			t.Fatal("the same samples give other forecasts")
		}
	}
}

func TestOddSeries(t *testing.T) {
	nan := math.NaN()
	random := rand.New(rand.NewPCG(3, 3))
	for name, f := range map[string]func(i int) float64{
		"constant":  func(int) float64 { return 7 },
		"zero":      func(int) float64 { return 0 },
		"linear":    func(i int) float64 { return float64(i) },
		"falling":   func(i int) float64 { return max(0, 500-float64(i)) },
		"shift":     func(i int) float64 { return map[bool]float64{true: 3, false: 3000}[i < 400] * (1 + random.Float64()) },
		"drop":      func(i int) float64 { return map[bool]float64{true: 3000, false: 3}[i < 400] * (1 + random.Float64()) },
		"spikes":    func(i int) float64 { return map[bool]float64{true: 1e9, false: 1}[i%97 == 0] },
		"huge":      func(int) float64 { return forecast.MaxLoad },
		"too large": func(i int) float64 { return map[bool]float64{true: 2 * forecast.MaxLoad, false: 5}[i%2 == 0] },
		"negative":  func(i int) float64 { return map[bool]float64{true: -5, false: 5}[i%2 == 0] },
		"infinite":  func(i int) float64 { return map[bool]float64{true: math.Inf(1), false: 5}[i%3 == 0] },
		"gaps":      func(i int) float64 { return map[bool]float64{true: nan, false: 50 + random.Float64()}[i%40 < 25] },
		"late":      func(i int) float64 { return map[bool]float64{true: nan, false: float64(i % 24)}[i < 300] },
		"ends":      func(i int) float64 { return map[bool]float64{true: 40 + random.Float64(), false: nan}[i < 500] },
	} {
		for _, seasons := range [][]int{nil, {24}, {24, 168}} {
			f1 := newForecaster(t, 12, 0, seasons...)
			var out forecast.Forecast
			seen := false
			for i := range 800 {
				v := f(i)
				f1.Update(v, nil)
				if v >= 0 && v <= forecast.MaxLoad {
					seen = true
				}
				if err := f1.Forecast(&out); err != nil {
					if !errors.Is(err, forecast.ErrNoData) || seen {
						t.Fatalf("%s: %v", name, err)
					}
					continue
				}
				sound(t, name, out)
			}
			last := get(t, f1)
			switch name {
			case "constant":
				if math.Abs(last.Point[5]-7) > 0.01 || last.Quantiles[5][4]-last.Quantiles[5][0] > 0.5 {
					t.Errorf("a constant 7 is forecast as %v, %v", last.Point[5], last.Quantiles[5])
				}
			case "shift":
				if last.Point[5] < 3000 || last.Point[5] > 6000 {
					t.Errorf("a level of 4500 is forecast as %v, 400 steps after it began", last.Point[5])
				}
			case "drop":
				if last.Point[5] > 50 {
					t.Errorf("a level of 4.5 is forecast as %v, 400 steps after it began", last.Point[5])
				}
			case "ends": // nothing for 300 samples: not a load of nothing
				if last.Point[5] < 30 || last.Quantiles[5][4]-last.Quantiles[5][0] < 1 {
					t.Errorf("a load of 40 that was not seen for long is forecast as %v, %v", last.Point[5], last.Quantiles[5])
				}
			}
		}
	}
}

func TestFewSamples(t *testing.T) {
	f := newForecaster(t, 5, 0, 24, 168)
	var out forecast.Forecast
	if err := f.Forecast(&out); !errors.Is(err, forecast.ErrNoData) {
		t.Errorf("without samples: %v, want ErrNoData", err)
	}
	f.Update(math.NaN(), nil)
	if err := f.Forecast(&out); !errors.Is(err, forecast.ErrNoData) {
		t.Errorf("with a missing sample: %v, want ErrNoData", err)
	}
	for i, v := range []float64{100, 104, 98, 101, 103, 99, 100, 102} {
		f.Update(v, nil)
		fc := get(t, f)
		sound(t, "few", fc)
		if fc.Point[0] < 90 || fc.Point[0] > 115 {
			t.Errorf("after %d samples about 100 the forecast is %v", i+1, fc.Point[0])
		}
		if width := fc.Quantiles[0][4] - fc.Quantiles[0][0]; width < 4 {
			t.Errorf("after %d samples the forecast is sure to %.1f", i+1, width)
		}
	}
}

// Fit is Update for each sample, but for what old samples say of the experts.
func TestFitIsAsGoodAsUpdates(t *testing.T) {
	y := daily(6000, 96, 4)
	a, b := newForecaster(t, 10, 0, 96), newForecaster(t, 10, 0, 96)
	a.Fit(y[:5500], nil)
	for _, v := range y[:5500] {
		b.Update(v, nil)
	}
	var ea, eb float64
	for _, v := range y[5500:] {
		fa, fb := get(t, a), get(t, b)
		ea += math.Abs(v - fa.Point[0])
		eb += math.Abs(v - fb.Point[0])
		a.Update(v, nil)
		b.Update(v, nil)
	}
	if ea > 1.05*eb {
		t.Errorf("after Fit the error is %.3f of that after Updates", ea/eb)
	}
}

// A scheduled event that is told beforehand is forecast.
func TestKnownInputsAreUsed(t *testing.T) {
	const n, h = 3000, 8
	random := rand.New(rand.NewPCG(6, 6))
	known := make([]float64, n+h+1)
	for i := 40; i+15 < len(known); i += 60 + random.IntN(90) {
		size := 1 + random.Float64()
		for k := range 15 {
			known[i+k] = size
		}
	}
	y := make([]float64, n)
	for i := range y {
		y[i] = 100 + 200*known[i] + 5*random.NormFloat64()
	}
	told, not := newForecaster(t, h, 1), newForecaster(t, h, 0)
	var with, without float64
	for i, v := range y {
		if i > n/2 {
			a, b := get(t, told), get(t, not)
			with += math.Abs(v - a.Point[0])
			without += math.Abs(v - b.Point[0])
		}
		told.Update(v, known[i:i+h+1])
		not.Update(v, nil)
	}
	if with > 0.6*without {
		t.Errorf("with what is scheduled the error is %.2f of that without", with/without)
	}
}

// The quantiles hold what they say, the ones of the maximum too.
func TestQuantilesAreCalibrated(t *testing.T) {
	const h = 6
	y := daily(6000, 96, 9)
	f := newForecaster(t, h, 0, 96)
	f.Fit(y[:2000], nil)
	var in, below, all float64
	for o := 2000; o+h <= len(y); o++ {
		fc := get(t, f)
		most := 0.0
		for k := range h {
			v := y[o+k]
			most = max(most, v)
			if v >= fc.Quantiles[k][1] && v <= fc.Quantiles[k][3] {
				in++
			}
		}
		if most <= fc.Maximum[h-1][4] {
			below++
		}
		all++
		f.Update(y[o], nil)
	}
	if share := in / all / h; share < 0.78 || share > 0.82 {
		t.Errorf("%.3f of the samples are in the interval of 0.8", share)
	}
	if share := below / all; share < 0.93 || share > 0.97 {
		t.Errorf("%.3f of the maxima are below their 0.95 quantile", share)
	}
}

func TestWeightsAreShares(t *testing.T) {
	f := newForecaster(t, 10, 0, 96)
	f.Fit(daily(1000, 96, 2), nil)
	for b := range 3 {
		sum := 0.0
		for _, w := range f.Weights() {
			if w.Expert == "" || w.Share[b] < 0 {
				t.Errorf("%+v", w)
			}
			sum += w.Share[b]
		}
		if math.Abs(sum-1) > 1e-9 {
			t.Errorf("the shares of block %d add up to %v", b, sum)
		}
	}
	if s := f.Stats(); s.Samples != 1000 || s.Missing != 0 {
		t.Errorf("%+v", s)
	}
}

// A load that leaves its level for good is followed.
func TestAChangeIsFollowed(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 4))
	f := newForecaster(t, 5, 0)
	for range 600 {
		f.Update(100+3*random.NormFloat64(), nil)
	}
	for range 40 {
		f.Update(400+3*random.NormFloat64(), nil)
	}
	if fc := get(t, f); math.Abs(fc.Point[0]-400) > 10 {
		t.Errorf("40 samples after the change the forecast is %v, want about 400", fc.Point[0])
	}
}

func TestUpdateAllocatesNothing(t *testing.T) {
	y := daily(5000, 96, 3)
	f := newForecaster(t, 15, 1, 96, 672)
	f.Fit(y[:4000], make([]float64, 4016))
	known := make([]float64, 16)
	fc := get(t, f)
	i := 4000
	if n := testing.AllocsPerRun(500, func() {
		f.Update(y[i], known)
		if f.Forecast(&fc) != nil {
			t.Fail()
		}
		i++
	}); n != 0 {
		t.Errorf("an update allocates %v times", n)
	}
}

func TestConfigurationsThatMakeNoSense(t *testing.T) {
	good := forecast.Config{Horizon: 5, Quantiles: levels}
	for name, change := range map[string]func(c *forecast.Config){
		"no horizon":        func(c *forecast.Config) { c.Horizon = 0 },
		"long horizon":      func(c *forecast.Config) { c.Horizon = forecast.MaxHorizon + 1 },
		"no quantiles":      func(c *forecast.Config) { c.Quantiles = nil },
		"quantile of 0":     func(c *forecast.Config) { c.Quantiles = []float64{0, 0.5} },
		"quantile of 1":     func(c *forecast.Config) { c.Quantiles = []float64{0.5, 1} },
		"descending":        func(c *forecast.Config) { c.Quantiles = []float64{0.5, 0.4} },
		"NaN":               func(c *forecast.Config) { c.Quantiles = []float64{math.NaN()} },
		"season of 1":       func(c *forecast.Config) { c.Seasons = []int{1} },
		"long season":       func(c *forecast.Config) { c.Seasons = []int{forecast.MaxSeason + 1} },
		"three seasons":     func(c *forecast.Config) { c.Seasons = []int{2, 3, 4} },
		"seasons twice":     func(c *forecast.Config) { c.Seasons = []int{7, 7} },
		"negative inputs":   func(c *forecast.Config) { c.Inputs = -1 },
		"too many inputs":   func(c *forecast.Config) { c.Inputs = forecast.MaxInputs + 1 },
		"too many quantile": func(c *forecast.Config) { c.Quantiles = make([]float64, forecast.MaxQuantiles+1) },
	} {
		c := good
		change(&c)
		if _, err := forecast.New(c); !errors.Is(err, forecast.ErrConfig) {
			t.Errorf("%s: %v, want ErrConfig", name, err)
		}
	}
}

func FuzzUpdate(f *testing.F) {
	f.Add([]byte{1, 2, 3, 255, 254, 253, 0, 200}, uint8(5))
	f.Fuzz(func(t *testing.T, b []byte, season uint8) {
		var seasons []int
		if season >= 2 {
			seasons = []int{int(season), 3 * int(season)}
		}
		fc := newForecaster(t, 4, 1, seasons...)
		var out forecast.Forecast
		for i, v := range b[:min(len(b), 600)] {
			y := float64(v)
			switch v {
			case 255:
				y = math.NaN()
			case 254:
				y = 1e14
			case 253:
				y = math.Inf(-1)
			}
			fc.Update(y, []float64{float64(i % 3), math.Inf(1)}[:1+i%2])
			if fc.Forecast(&out) == nil {
				sound(t, "fuzz", out)
			}
		}
	})
}

package seasonal_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/barrage-im/barrage/predictor/seasonal"
)

var hourly = []int{24, 168}

// load is n hours of something like a load: days, weekends, a level that wanders,
// noise that grows with the level.
func load(n int, seed uint64) []float64 {
	r := rand.New(rand.NewPCG(seed, 2))
	y := make([]float64, n)
	level := 0.0
	for t := range y {
		level = 0.98*level + 0.03*r.NormFloat64()
		y[t] = 1000 * math.Exp(level+pattern(t)+0.05*r.NormFloat64())
	}
	return y
}

func pattern(t int) float64 {
	day := 0.6 * math.Sin(2*math.Pi*float64(t)/24)
	if t/24%7 >= 5 {
		day = 0.3*day - 0.4
	}
	return day
}

func forecast(t *testing.T, y []float64, h int, quantiles ...float64) seasonal.Result {
	t.Helper()
	r, err := seasonal.Forecast(y, hourly, h, quantiles)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// meanError is the mean absolute error of f.
func meanError(f, actual []float64) (sum float64) {
	for i, a := range actual {
		sum += math.Abs(f[i]-a) / float64(len(actual))
	}
	return sum
}

// What repeats or grows evenly is continued: all that is left is rounding.
func TestPatternsAreContinued(t *testing.T) {
	for name, f := range map[string]func(t int) float64{
		"day":             func(t int) float64 { return 100 + 10*math.Sin(2*math.Pi*float64(t)/24) },
		"week":            func(t int) float64 { return 10 + pattern(t) },
		"line":            func(t int) float64 { return 3 + 0.5*float64(t) },
		"falling":         func(t int) float64 { return -0.5 * float64(t) },
		"day on a line":   func(t int) float64 { return 50 + 0.1*float64(t) + 10*math.Sin(2*math.Pi*float64(t)/24) },
		"exponential day": func(t int) float64 { return math.Exp(pattern(t%24) + 0.002*float64(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			y := make([]float64, 700+48)
			for k := range y {
				y[k] = f(k)
			}
			r := forecast(t, y[:700], 48)
			scale := slices.Max(y) - slices.Min(y)
			if e := meanError(r.Median, y[700:]); e > 1e-3*scale {
				t.Errorf("mean error %g of a range of %g", e, scale)
			}
		})
	}
}

// Of a load with noise, the forecast is to be nearly as good as that of one who
// knows the pattern, and its intervals are to hold what they promise.
func TestLoads(t *testing.T) {
	const series, h = 40, 48
	quantiles := []float64{0.025, 0.1, 0.5, 0.9, 0.975}
	below := make([]float64, len(quantiles))
	var ours, day, week, knowing float64
	for seed := range uint64(series) {
		y := load(700+h, seed)
		past, actual := y[:700], y[700:]
		r := forecast(t, past, h, quantiles...)
		known := make([]float64, h) // the pattern, and what is left of the last day's level
		var level float64
		for k := 700 - 6; k < 700; k++ {
			level += (math.Log(past[k]/1000) - pattern(k)) / 6
		}
		for i := range known {
			known[i] = 1000 * math.Exp(pattern(700+i)+level*math.Pow(0.98, float64(i+3)))
		}
		ours += meanError(r.Median, actual) / series
		knowing += meanError(known, actual) / series
		day += meanError(append(slices.Clone(past[700-24:]), past[700-24:]...), actual) / series
		week += meanError(past[700-168:], actual) / series
		for k := range quantiles {
			for i, a := range actual {
				if a <= r.Quantiles[k][i] {
					below[k] += 1.0 / series / h
				}
			}
		}
	}
	t.Logf("mean error %.1f, of one who knows %.1f, of repeating a day %.1f, a week %.1f", ours, knowing, day, week)
	if ours > 1.15*knowing || ours > 0.9*day || ours > 0.7*week {
		t.Errorf("mean error %.1f; who knows the pattern has %.1f, repeating a day %.1f, a week %.1f", ours, knowing, day, week)
	}
	t.Logf("below %v: %.3f", quantiles, below)
	for k, p := range quantiles {
		if near := 0.35*math.Sqrt(p*(1-p)) + 0.005; math.Abs(below[k]-p) > near {
			t.Errorf("%.3f of the samples are below quantile %v, want within %.3f of it", below[k], p, near)
		}
	}
}

// Errors of outliers and missing samples stay where they are.
func TestDisturbances(t *testing.T) {
	const h = 48
	var plain, spiked, gaps float64
	for seed := range uint64(20) {
		y := load(700+h, 100+seed)
		past, actual := y[:700], y[700:]
		plain += meanError(forecast(t, past, h).Median, actual)

		r := rand.New(rand.NewPCG(seed, 3))
		with := slices.Clone(past)
		for range 7 {
			with[r.IntN(650)] *= 20
		}
		spiked += meanError(forecast(t, with, h).Median, actual)

		with = slices.Clone(past)
		for range 70 {
			with[r.IntN(700)] = math.NaN()
		}
		copy(with[300:], slices.Repeat([]float64{math.Inf(1)}, 30))
		copy(with[:5], slices.Repeat([]float64{math.NaN()}, 5))
		gaps += meanError(forecast(t, with, h).Median, actual)
	}
	t.Logf("mean error %.0f, with 7 spikes %.0f, with 100 samples missing %.0f", plain, spiked, gaps)
	if spiked > 1.2*plain {
		t.Errorf("spikes raise the error from %.0f to %.0f", plain, spiked)
	}
	if gaps > 1.2*plain {
		t.Errorf("missing samples raise the error from %.0f to %.0f", plain, gaps)
	}
}

func TestOutcomesOfBadInput(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	r := rand.New(rand.NewPCG(1, 1))
	noise := make([]float64, 700)
	for k := range noise {
		noise[k] = r.NormFloat64()
	}
	for name, y := range map[string][]float64{
		"empty": nil, "all NaN": {nan, nan}, "all infinite": {inf, -inf}, "too large": {1e200, -1e101},
	} {
		if _, err := seasonal.Forecast(y, hourly, 48, nil); !errors.Is(err, seasonal.ErrNoData) {
			t.Errorf("%s: error %v, want ErrNoData", name, err)
		}
	}
	for name, call := range map[string]func() (seasonal.Result, error){
		"horizon 0":           func() (seasonal.Result, error) { return seasonal.Forecast(noise, hourly, 0, nil) },
		"horizon too long":    func() (seasonal.Result, error) { return seasonal.Forecast(noise, hourly, 1<<20, nil) },
		"quantile 0":          func() (seasonal.Result, error) { return seasonal.Forecast(noise, hourly, 1, []float64{0}) },
		"quantile NaN":        func() (seasonal.Result, error) { return seasonal.Forecast(noise, hourly, 1, []float64{nan}) },
		"three periods":       func() (seasonal.Result, error) { return seasonal.Forecast(noise, []int{2, 4, 8}, 1, nil) },
		"period 1":            func() (seasonal.Result, error) { return seasonal.Forecast(noise, []int{1}, 1, nil) },
		"no multiple":         func() (seasonal.Result, error) { return seasonal.Forecast(noise, []int{24, 100}, 1, nil) },
		"twice the same":      func() (seasonal.Result, error) { return seasonal.Forecast(noise, []int{24, 24}, 1, nil) },
		"too many samples":    func() (seasonal.Result, error) { return seasonal.Forecast(make([]float64, 1<<21), nil, 1, nil) },
		"period far too long": func() (seasonal.Result, error) { return seasonal.Forecast(noise, []int{1 << 30}, 1, nil) },
	} {
		if _, err := call(); !errors.Is(err, seasonal.ErrArgument) {
			t.Errorf("%s: error %v, want ErrArgument", name, err)
		}
	}

	for name, c := range map[string]struct {
		y    []float64
		want float64
	}{
		"constant":                  {slices.Repeat([]float64{7}, 700), 7},
		"zeros":                     {make([]float64, 700), 0},
		"constant below 0":          {slices.Repeat([]float64{-7}, 100), -7},
		"one sample":                {[]float64{5}, 5},
		"one sample and nothing":    {[]float64{nan, 5, nan}, 5},
		"8 points":                  {slices.Repeat([]float64{3}, 8), 3},
		"a large constant":          {slices.Repeat([]float64{1e99}, 700), 1e99},
		"a small constant":          {slices.Repeat([]float64{1e-300}, 700), 1e-300},
		"a constant with a hole":    {append(append(slices.Repeat([]float64{7}, 300), nan, inf, -inf), slices.Repeat([]float64{7}, 300)...), 7},
		"a constant that was lost":  {append(slices.Repeat([]float64{7}, 300), slices.Repeat([]float64{nan}, 300)...), 7},
		"a constant of other times": {append(slices.Repeat([]float64{nan}, 300), slices.Repeat([]float64{7}, 300)...), 7},
	} {
		r := forecast(t, c.y, 48, 0.025, 0.975)
		for i, f := range r.Median {
			for _, v := range []float64{f, r.Quantiles[0][i], r.Quantiles[1][i]} {
				if math.Abs(v-c.want) > 1e-9*math.Abs(c.want) {
					t.Fatalf("%s: lead %d: %v in [%v, %v], want %v", name, i, f, r.Quantiles[0][i], r.Quantiles[1][i], c.want)
				}
			}
		}
	}
}

// Series of every length get a forecast, by whatever season they can show, and
// none leaves the range of its past by more than the width of that.
func TestShortSeries(t *testing.T) {
	y := load(500, 9)
	for n := 1; n <= len(y); n += 1 + n/10 {
		r := forecast(t, y[:n], 60, 0.05, 0.95)
		low, high := slices.Min(y[:n]), slices.Max(y[:n])
		width := high - low + 1e-9*high
		for i, f := range r.Median {
			if !(r.Quantiles[0][i] <= f && f <= r.Quantiles[1][i]) || f < low-width || f > high+width {
				t.Errorf("%d samples, lead %d: %v in [%v, %v]", n, i, f, r.Quantiles[0][i], r.Quantiles[1][i])
			}
			if n > 1 && i > 0 && r.Quantiles[1][i] == r.Quantiles[0][i] {
				t.Errorf("%d samples: an interval without width", n)
			}
		}
	}
}

// A level that jumps a thousand times ends in finite forecasts near the new one.
func TestLevelShift(t *testing.T) {
	y := load(700, 4)
	for k := 400; k < len(y); k++ {
		y[k] *= 1000
	}
	r := forecast(t, y, 48, 0.975)
	old, now := slices.Max(y[:400]), slices.Max(y[400:])
	for i, f := range r.Median {
		if f < old || f > 3*now {
			t.Errorf("lead %d: %g; before the shift at most %g, after it at most %g", i, f, old, now)
		}
	}
}

func TestCountsStayAboveZero(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	y := make([]float64, 700)
	for k := range y {
		y[k] = math.Floor(3 * math.Exp(pattern(k)) * r.Float64())
	}
	f := forecast(t, y, 48, 0.001, 0.5)
	if low := slices.Min(f.Quantiles[0]); low < 0 {
		t.Errorf("a quantile of a count is %v", low)
	}
	if !slices.Equal(f.Quantiles[1], f.Median) {
		t.Error("the median is not quantile 0.5")
	}
}

// What is asked for in another order is the same, and the caller's samples stay.
func TestSameAgain(t *testing.T) {
	y := load(700, 5)
	y[100] = math.NaN()
	before := slices.Clone(y)
	a, errA := seasonal.Forecast(y, []int{24, 168}, 48, []float64{0.1, 0.9})
	b, errB := seasonal.Forecast(y, []int{168, 24}, 48, []float64{0.1, 0.9})
	if errA != nil || errB != nil || fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("another order of periods, another forecast (%v, %v)", errA, errB)
	}
	y[100], before[100] = 0, 0
	if !slices.Equal(y, before) {
		t.Error("the samples were written to")
	}
	sum := 0.0
	for _, e := range a.Experts {
		sum += e.Weight
	}
	if len(a.Experts) < 4 || math.Abs(sum-1) > 1e-12 {
		t.Errorf("%d experts, weights sum to %v", len(a.Experts), sum)
	}
}

// Hours that are harder to foresee get wider intervals, half as wide again here;
// what 10 days say of an hour is not believed in full.
func TestIntervalsKnowTheHour(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	y := make([]float64, 700)
	for k := range y {
		y[k] = 100 + r.NormFloat64()
		if k%24 >= 12 {
			y[k] = 100 + 10*r.NormFloat64()
		}
	}
	f := forecast(t, y, 48, 0.1, 0.9)
	var quiet, noisy float64
	for i := range f.Median {
		if width := f.Quantiles[1][i] - f.Quantiles[0][i]; (700+i)%24 >= 12 {
			noisy += width
		} else {
			quiet += width
		}
	}
	if ratio := noisy / quiet; ratio < 1.3 || ratio > 2 {
		t.Errorf("intervals of noisy hours are %.2f times as wide, want 1.3 to 2", ratio)
	}
}

package forecast_test

import (
	"math"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/barrage-im/barrage/predictor/forecast"
)

var levels = []float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99}

// week is load per minute with a day, a week and bursts.
func week(n int, seed uint64) []float64 {
	r := rand.New(rand.NewPCG(seed, 1))
	y := make([]float64, n)
	left, burst := 0.0, 0.0
	for t := range y {
		day := math.Sin(2 * math.Pi * float64(t) / 1440)
		left = 0.9*left + 0.05*r.NormFloat64()
		burst *= 0.97
		if r.Float64() < 0.001 {
			burst += 1
		}
		load := 500 * math.Exp(0.8*day+left+burst)
		if t/1440%7 > 4 {
			load *= 0.6
		}
		y[t] = math.Round(load + math.Sqrt(load)*r.NormFloat64())
	}
	return y
}

func minutes(tb testing.TB) *forecast.Forecaster {
	f, err := forecast.New(forecast.Config{Horizon: 15, Quantiles: levels, Seasons: []int{1440, 10080}})
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// cpu reports the processor time per operation beside the clock's, which counts other programs too. Call it, then what it returns.
func cpu(b *testing.B) func() {
	now := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	start := now()
	return func() { b.ReportMetric(float64(now()-start)/float64(b.N), "cpu-ns/op") }
}

// BenchmarkFit is a week of minutes: all experts fitted, weighed and calibrated, and the 15-step quantiles read.
func BenchmarkFit(b *testing.B) {
	y := week(10080, 1)
	var fc forecast.Forecast
	b.ReportAllocs()
	done := cpu(b)
	for b.Loop() {
		f := minutes(b)
		f.Fit(y, nil)
		if err := f.Forecast(&fc); err != nil {
			b.Fatal(err)
		}
	}
	done()
}

// BenchmarkUpdate is one sample more, forecast included, after three weeks of minutes.
func BenchmarkUpdate(b *testing.B) {
	y := week(40000, 2)
	f := minutes(b)
	f.Fit(y[:22000], nil)
	i := 22000
	b.ReportAllocs()
	done := cpu(b)
	for b.Loop() {
		f.Update(y[i], nil)
		if i++; i == len(y) {
			i = 22000
		}
	}
	done()
}

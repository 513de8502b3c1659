package arima_test

import (
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/barrage-im/barrage/predictor/arima"
)

// simulated is a series of the order (2,1,2), n samples long.
func simulated(n int, seed uint64) []float64 {
	rng := rand.New(rand.NewPCG(seed, 1))
	y := make([]float64, n)
	var w1, w2, e1, e2, level float64
	for t := range y {
		e := rng.NormFloat64()
		w := 1.1*w1 - 0.4*w2 + e - 0.5*e1 + 0.2*e2
		w1, w2, e1, e2 = w, w1, e, e1
		level += w
		y[t] = level
	}
	return y
}

// daily is n hours of a series with a season of 24 that changes slowly.
func daily(n int, seed uint64) []float64 {
	rng := rand.New(rand.NewPCG(seed, 2))
	const m = 24
	e := make([]float64, n+m+1)
	y := make([]float64, n+m+1)
	for t := range e {
		e[t] = rng.NormFloat64()
	}
	z := 0.0
	for t := m + 1; t < len(y); t++ {
		z = 0.7*z + e[t] + 0.3*e[t-1] - 0.6*e[t-m] - 0.18*e[t-m-1]
		y[t] = y[t-m] + z
	}
	return y[m+1:]
}

func BenchmarkFit212(b *testing.B) {
	y := simulated(10_080, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := arima.Fit(y, arima.Order{P: 2, D: 1, Q: 2}, arima.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFitSeasonal(b *testing.B) {
	y := daily(1008, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := arima.Fit(y, arima.Order{P: 1, Q: 1, SD: 1, SQ: 1, Season: 24}, arima.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	for _, c := range []struct {
		name  string
		y     []float64
		order arima.Order
	}{
		{"212", simulated(2000, 1), arima.Order{P: 2, D: 1, Q: 2}},
		{"seasonal", daily(1008, 1), arima.Order{P: 1, Q: 1, SD: 1, SQ: 1, Season: 24}},
	} {
		b.Run(c.name, func(b *testing.B) {
			m, err := arima.Fit(c.y, c.order, arima.Options{})
			if err != nil {
				b.Fatal(err)
			}
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				m.Update(c.y[i%len(c.y)], nil)
				i++
			}
		})
	}
}

func BenchmarkForecast15(b *testing.B) {
	m, err := arima.Fit(simulated(2000, 1), arima.Order{P: 2, D: 1, Q: 2}, arima.Options{})
	if err != nil {
		b.Fatal(err)
	}
	mean, sd := make([]float64, 15), make([]float64, 15)
	b.ReportAllocs()
	for b.Loop() {
		m.ForecastInto(mean, sd, nil)
	}
}

func BenchmarkAuto(b *testing.B) {
	for _, c := range []struct {
		name   string
		y      []float64
		season int
	}{
		{"10080", simulated(10_080, 1), 0},
		{"10080b", simulated(10_080, 2), 0},
		{"1008x24", daily(1008, 1), 24},
		{"1008x24b", daily(1008, 2), 24},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := arima.Auto(c.y, arima.Options{Season: c.season}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Load as it is; needs the forecasting sets beside the project.
func BenchmarkAutoOnLoad(b *testing.B) {
	dir := sharedDir(b)
	for _, c := range []struct {
		file     string
		from, to int
		season   int
	}{
		{"wc98_group_1min", 8000, 18_080, 0},
		{"nasa_jul95_1min", 8000, 18_080, 0},
		{"taylor_elec_30min", 0, 1008, 48},
		{"ped_southern_cross_1h", 0, 1008, 24},
	} {
		y := readValues(b, filepath.Join(dir, c.file+".csv"))[c.from:c.to]
		b.Run(c.file, func(b *testing.B) {
			for b.Loop() {
				if _, err := arima.Auto(y, arima.Options{Season: c.season}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package emd_test

import (
	"math"
	"math/rand/v2"
)

// A signal is a sum whose parts are known.
type signal struct {
	name  string
	sum   []float64
	truth [][]float64
}

// analytic makes the signals of testdata/pyemd.json.
func analytic() []signal {
	const n = 1024
	type part = func(t float64) float64
	sin := func(amplitude, f, phase float64) part {
		return func(t float64) float64 { return amplitude * math.Sin(2*math.Pi*f*t+phase) }
	}
	line := func(slope float64) part { return func(t float64) float64 { return slope * t } }
	chirp := func(from, to float64) part {
		return func(t float64) float64 { return math.Cos(2 * math.Pi * (from*t + (to-from)*t*t/2)) }
	}
	modulated := func(t float64) float64 {
		return (1 + 0.3*math.Cos(2*math.Pi*2*t)) * math.Cos(2*math.Pi*60*t+2*math.Sin(2*math.Pi*3*t))
	}
	var all []signal
	for _, s := range []struct {
		name  string
		parts []part
	}{
		{"two tones and a trend", []part{sin(1, 30, 0), sin(0.5, 6, 0), line(2)}},
		{"tones of uneven phase", []part{sin(1, 37.3, 1), sin(0.8, 7.7, 2.5), line(-1.5)}},
		{"amplitude and frequency modulated", []part{modulated, sin(0.8, 7, 1)}},
		{"rising chirp over a tone", []part{chirp(20, 80), sin(1.2, 4, 0)}},
		{"falling chirp over a tone", []part{chirp(85, 25), sin(1.1, 3, 2)}},
		{"tones 2.5 apart", []part{sin(1, 30, 0), sin(1, 12, 0)}},
		{"tones 2.8 apart", []part{sin(1, 42, 0.5), sin(1, 15, 2)}},
	} {
		all = append(all, made(s.name, n, s.parts...))
	}
	return all
}

func made(name string, n int, parts ...func(t float64) float64) signal {
	s := signal{name: name, sum: make([]float64, n)}
	for _, p := range parts {
		x := make([]float64, n)
		for i := range x {
			x[i] = p(float64(i) / float64(n))
			s.sum[i] += x[i]
		}
		s.truth = append(s.truth, x)
	}
	return s
}

// intermittent is a tone with three bursts of a faster one.
func intermittent() signal {
	return made("intermittent", 1024, func(t float64) float64 {
		for _, middle := range []float64{0.2, 0.5, 0.75} {
			if math.Abs(t-middle) < 0.05 {
				return 0.25 * math.Sin(2*math.Pi*120*t)
			}
		}
		return 0
	}, func(t float64) float64 { return math.Sin(2 * math.Pi * 6 * t) })
}

// load is noise, days of a load with their second harmonic, and growth.
func load(n int, days float64, seed uint64) signal {
	r := rand.New(rand.NewPCG(seed, 0))
	return made("load", n,
		func(float64) float64 { return 6 * r.NormFloat64() },
		func(t float64) float64 { return 40*math.Sin(2*math.Pi*days*t) + 12*math.Cos(4*math.Pi*days*t) },
		func(t float64) float64 { return 100 + 30*t })
}

func whiteNoise(n int, seed uint64) []float64 {
	r := rand.New(rand.NewPCG(seed, 1))
	x := make([]float64, n)
	for i := range x {
		x[i] = r.NormFloat64()
	}
	return x
}

// errors of a decomposition, in standard deviations of the true part, by the mode
// that correlates with it most. The residue takes part.
type figures struct {
	interior float64 // root mean square over the middle 80 %
	end      float64 // over the last 5 %
	corr     float64 // over all, absolute
}

func compare(truth []float64, modes [][]float64, residue []float64) figures {
	n := len(truth)
	var best figures
	for _, m := range append(modes[:len(modes):len(modes)], residue) {
		c := math.Abs(correlation(truth, m))
		if c <= best.corr {
			continue
		}
		sd := deviation(truth)
		best = figures{rms(truth, m, n/10, n-n/10) / sd, rms(truth, m, n*95/100, n) / sd, c}
	}
	return best
}

func rms(a, b []float64, from, to int) float64 {
	sum := 0.0
	for i := from; i < to; i++ {
		sum += (a[i] - b[i]) * (a[i] - b[i])
	}
	return math.Sqrt(sum / float64(to-from))
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

func covariance(a, b []float64) float64 {
	ma, mb, sum := mean(a), mean(b), 0.0
	for i, v := range a {
		sum += (v - ma) * (b[i] - mb)
	}
	return sum / float64(len(a))
}

func deviation(x []float64) float64 { return math.Sqrt(covariance(x, x)) }

func correlation(a, b []float64) float64 { return covariance(a, b) / (deviation(a) * deviation(b)) }

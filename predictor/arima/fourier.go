package arima

import (
	"fmt"
	"math"
)

// A Term is a season in steps, not necessarily whole, and how many of its harmonics to
// take.
type Term struct {
	Period float64
	K      int
}

// Fourier makes rows of regressors for steps from to from+n-1: for each term sine and
// cosine of its harmonics 1 to K. Rows for forecasts continue where those of the
// samples end: from = len(y). The sine of a harmonic with a period of two steps is 0
// and is left out. An error, ErrRegressors, names a term that cannot be: a period below
// 2, more harmonics than half the period, harmonics of two terms that are the same, or
// more than MaxRegressors columns.
func Fourier(from, n int, terms ...Term) ([][]float64, error) {
	freq, err := frequencies(terms)
	if err != nil {
		return nil, err
	}
	out := make([][]float64, max(n, 0))
	for i := range out {
		out[i] = fourierRow(nil, from+i, freq)
	}
	return out, nil
}

// AppendFourier appends the row of one step, as Fourier makes it. Terms must be ones
// that Fourier accepts.
func AppendFourier(dst []float64, step int, terms ...Term) []float64 {
	for _, term := range terms {
		for k := 1; k <= term.K; k++ {
			dst = harmonic(dst, step, float64(k)/term.Period)
		}
	}
	return dst
}

func fourierRow(dst []float64, step int, freq []float64) []float64 {
	for _, f := range freq {
		dst = harmonic(dst, step, f)
	}
	return dst
}

func harmonic(dst []float64, step int, freq float64) []float64 {
	turns := freq * float64(step)
	sin, cos := math.Sincos(2 * math.Pi * (turns - math.Floor(turns)))
	if math.Abs(freq-0.5) > 1e-9 {
		dst = append(dst, sin)
	}
	return append(dst, cos)
}

func frequencies(terms []Term) ([]float64, error) {
	var freq []float64
	for _, term := range terms {
		if !(term.Period >= 2) || math.IsInf(term.Period, 0) || term.K < 1 || 2*float64(term.K) > term.Period+1e-9 {
			return nil, fmt.Errorf("%w: %d harmonics of period %g", ErrRegressors, term.K, term.Period)
		}
		if len(freq)+term.K > MaxRegressors/2 {
			return nil, fmt.Errorf("%w: more than %d harmonics", ErrRegressors, MaxRegressors/2)
		}
		for k := 1; k <= term.K; k++ {
			f := float64(k) / term.Period
			for _, g := range freq {
				if math.Abs(f-g) < 1e-9 {
					return nil, fmt.Errorf("%w: harmonic %d of period %g is one of another term", ErrRegressors, k, term.Period)
				}
			}
			freq = append(freq, f)
		}
	}
	return freq, nil
}

package arima

import "math"

// minRoot is the smallest modulus of the roots of 1 - c_1 z - ... - c_p z^p,
// +Inf without roots: the reciprocal of the largest eigenvalue of the companion
// matrix, by which |1/root| <= x is told from the stability of c_i x^-i and
// bisected. That needs no complex arithmetic and is exact to 1e-9.
func minRoot(c []float64) float64 {
	n := len(c)
	for n > 0 && c[n-1] == 0 {
		n--
	}
	if n == 0 {
		return math.Inf(1)
	}
	work := make([]float64, n)
	outside := func(r float64) bool { // all roots have a modulus above r
		f := 1.0
		for i := range work {
			f *= r
			work[i] = c[i] * f
		}
		return toPacf(work)
	}
	lo, hi := 0.0, 1.0
	for outside(hi) && hi < 1e6 {
		lo, hi = hi, 2*hi
	}
	for range 60 {
		if hi-lo < 1e-10*hi {
			break
		}
		if mid := (lo + hi) / 2; outside(mid) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

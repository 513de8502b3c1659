package arima

import "math"

// kpss5 is the 5 % point of the KPSS statistic for a level (Kwiatkowski, Phillips,
// Schmidt and Shin 1992, table 1).
const kpss5 = 0.463

// KPSS is the statistic of Kwiatkowski, Phillips, Schmidt and Shin (1992) against the
// hypothesis that x is stationary around a level; it is above 0.463 in 5 % of series
// that are. The long-run variance takes trunc(3 sqrt(n)/13) lags with Bartlett's
// weights. Missing samples are left out as if the others were adjacent. It is 0 for
// constant and empty series.
func KPSS(x []float64) float64 {
	e := present(x)
	n := len(e)
	if n == 0 {
		return 0
	}
	mean := 0.0
	for _, v := range e {
		mean += v
	}
	mean /= float64(n)
	sum, paths := 0.0, 0.0
	for t := range e {
		e[t] -= mean
		sum += e[t]
		paths += sum * sum
	}
	lags := int(3 * math.Sqrt(float64(n)) / 13)
	long := weighted(e, e, nil)
	for k := 1; k <= lags; k++ {
		long += 2 * (1 - float64(k)/float64(lags+1)) * weighted(e[k:], e[:n-k], nil)
	}
	if !(long > 0) {
		return 0
	}
	return paths / (float64(n) * long)
}

// present is a copy of what is there.
func present(x []float64) []float64 {
	out := make([]float64, 0, len(x))
	for _, v := range x {
		if !math.IsNaN(v) {
			out = append(out, v)
		}
	}
	return out
}

func constant(x []float64) bool {
	for _, v := range x {
		if math.Abs(v-x[0]) > 1e-14*math.Abs(x[0]) {
			return false
		}
	}
	return true
}

// Differences is how often x must be differenced until KPSS does not reject a
// stationary level at 5 %, at most twice.
func Differences(x []float64) int {
	e := present(x)
	d := 0
	for d < 2 && len(e) > 1 && !constant(e) && KPSS(e) > kpss5 {
		for t := range e[1:] {
			e[t] = e[t+1] - e[t]
		}
		e = e[:len(e)-1]
		d++
	}
	return d
}

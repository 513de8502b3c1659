package arima

import "math"

// maxPacf bounds partial autocorrelations: an autoregression with one of 1 has no
// variance.
const maxPacf = 1 - 1e-10

// fromPacf writes the coefficients c of x_t = sum c_j x_{t-j} + e_t whose partial
// autocorrelations are sin(u), by the Durbin-Levinson recursion. All of them inside
// (-1, 1) is the same as all roots outside the unit circle (Barndorff-Nielsen and
// Schou 1973). dst and u are of one length.
//
// The sine makes u as informative everywhere, since the variance of a partial
// autocorrelation is (1-r^2)/n. And a moving average whose best place is on the unit
// circle has a smooth optimum there, at a right angle, where tanh (Monahan 1984) would
// have it at infinity.
func fromPacf(dst, u []float64) {
	for k, v := range u {
		r := min(max(math.Sin(v), -maxPacf), maxPacf)
		dst[k] = r
		for i, j := 0, k-1; i <= j; i, j = i+1, j-1 {
			a, b := dst[i], dst[j]
			dst[i], dst[j] = a-r*b, b-r*a
		}
	}
}

// toPacf is the way back: it overwrites c by the arcsine of its partial
// autocorrelations and reports whether all are inside (-1, 1).
func toPacf(c []float64) bool {
	for k := len(c) - 1; k >= 0; k-- {
		r := c[k]
		d := 1 - r*r
		if !(d > 0) {
			return false
		}
		for i, j := 0, k-1; i <= j; i, j = i+1, j-1 {
			a, b := c[i], c[j]
			c[i], c[j] = (a+r*b)/d, (b+r*a)/d
		}
		c[k] = math.Asin(r)
	}
	return true
}

// A lagPoly is a sparse polynomial in the lag operator, without its leading 1.
type lagPoly struct {
	lag []int
	val []float64
}

// reset empties the polynomial for lags that set will name.
func (p *lagPoly) reset() { p.lag, p.val = p.lag[:0], p.val[:0] }

// gather takes the lags of a dense polynomial (index 0 is lag 1). Lags in structure
// are kept also when their coefficient is 0, so that the path of the computation
// does not jump between neighbouring parameters.
func (p *lagPoly) gather(dense []float64, structure []int) {
	p.reset()
	for _, l := range structure {
		p.lag = append(p.lag, l)
		p.val = append(p.val, dense[l-1])
	}
}

// expand multiplies (1 + s sum c_i B^i)(1 + s sum C_j B^(jm)) and writes s times
// the result without its 1 to dst, which is 0 beyond the last lag.
func expand(dst, c, sc []float64, m int, s float64) {
	clear(dst)
	copy(dst, c)
	for j, v := range sc {
		l := (j + 1) * m
		dst[l-1] += v
		for i, u := range c {
			dst[l+i] += s * u * v
		}
	}
}

// structure lists, in ascending order, the lags of expand.
func structure(p, sp, m int) []int {
	has := make([]bool, p+sp*m+1)
	for j := 0; j <= sp; j++ {
		for i := 0; i <= p; i++ {
			has[j*m+i] = true
		}
	}
	var lags []int
	for l := 1; l < len(has); l++ {
		if has[l] {
			lags = append(lags, l)
		}
	}
	return lags
}

// difference are the coefficients of (1-B)^d (1-B^m)^D, lag 0 first.
func difference(d, sd, m int) []float64 {
	c := []float64{1}
	times := func(lag int) {
		next := make([]float64, len(c)+lag)
		for i, v := range c {
			next[i] += v
			next[i+lag] -= v
		}
		c = next
	}
	for range d {
		times(1)
	}
	for range sd {
		times(m)
	}
	return c
}

package arima

import "math"

// longAR is the order of the autoregression whose innovations stand in for the
// true ones in the start values.
func longAR(n, m int, seasonal bool) int {
	l := int(10 * math.Log10(float64(n)))
	if seasonal {
		l = max(l, m+m/2)
	}
	return max(min(l, n/3), 1)
}

// innovations are those of a long autoregression by Yule-Walker; the first ones are
// 0.
func (s *series) innovations(constant bool) []float64 {
	which := 0
	if constant {
		which = 1
	}
	if s.innov[which] != nil {
		return s.innov[which]
	}
	w := s.detrended(constant)
	n := len(w)
	order := longAR(n, s.m, s.m > 1)
	c := make([]float64, order+1)
	for k := range c {
		if k < n {
			c[k] = weighted(w[k:], w[:n-k], nil)
		}
	}
	phi := make([]float64, order)
	left := c[0]
	for k := range order {
		if !(left > 1e-12*c[0]) {
			break
		}
		v := c[k+1]
		for i := range k {
			v -= phi[i] * c[k-i]
		}
		r := v / left
		phi[k] = r
		for i, j := 0, k-1; i <= j; i, j = i+1, j-1 {
			a, b := phi[i], phi[j]
			phi[i], phi[j] = a-r*b, b-r*a
		}
		left *= 1 - r*r
	}
	e := make([]float64, n)
	copy(e[order:], w[order:])
	for i, p := range phi {
		for t := order; t < n; t++ {
			e[t] -= p * w[t-1-i]
		}
	}
	s.innov[which] = e
	return e
}

// hannanRissanen regresses the series on its own lags and those of its innovations
// (Hannan and Rissanen 1982). Seasonal lags are regressors of their own; that the
// model multiplies them is left to the likelihood. It reports false when there are
// too few samples.
func (s *series) hannanRissanen(o Order, constant bool) ([]float64, bool) {
	w, e := s.detrended(constant), s.innovations(constant)
	n := len(w)
	k := o.params()
	from := longAR(n, s.m, s.m > 1)
	var lagged [][]float64
	add := func(x []float64, count, step int) {
		for j := 1; j <= count; j++ {
			from = max(from, j*step)
			lagged = append(lagged, x)
		}
	}
	add(w, o.P, 1)
	add(e, o.Q, 1)
	add(w, o.SP, o.Season)
	add(e, o.SQ, o.Season)
	if n-from < 2*k+2 {
		return nil, false
	}
	i := 0
	cut := func(x []float64, count, step int) {
		for j := 1; j <= count; j++ {
			lagged[i] = x[from-j*step : n-j*step]
			i++
		}
	}
	cut(w, o.P, 1)
	cut(e, o.Q, 1)
	cut(w, o.SP, o.Season)
	cut(e, o.SQ, o.Season)

	gram := make([]float64, k*k)
	rhs := make([]float64, k)
	for a := range k {
		for b := range a + 1 {
			gram[a*k+b] = weighted(lagged[a], lagged[b], nil)
		}
		rhs[a] = weighted(lagged[a], w[from:], nil)
	}
	if !solve(gram, rhs) {
		return nil, false
	}
	ar, ma, sar, sma := o.parts(rhs)
	inside(ar, 1)
	inside(ma, -1)
	inside(sar, 1)
	inside(sma, -1)
	return rhs, true
}

// maxStart keeps starts off the unit circle: partial autocorrelations below 0.985.
const maxStart = 1.4

// inside turns coefficients into unconstrained parameters, drawn towards 0 until
// their roots are outside the unit circle.
func inside(c []float64, sign float64) {
	work := make([]float64, len(c))
	for f := 1.0; ; f *= 0.95 {
		g := sign
		for i, v := range c {
			g *= f
			work[i] = v * g
		}
		ok := toPacf(work)
		for _, v := range work {
			ok = ok && math.Abs(v) < maxStart
		}
		if ok || f < 1e-3 {
			break
		}
	}
	for i, v := range work {
		if math.IsNaN(v) {
			v = 0
		}
		c[i] = min(max(v, -maxStart), maxStart)
	}
}

// solve overwrites b by the solution of the symmetric positive definite system whose
// lower triangle is in a.
func solve(a, b []float64) bool {
	n := len(b)
	for j := range n {
		d := a[j*n+j]
		whole := d
		for k := range j {
			d -= a[j*n+k] * a[j*n+k]
		}
		if !(d > 1e-12*whole) {
			return false
		}
		d = math.Sqrt(d)
		a[j*n+j] = d
		for i := j + 1; i < n; i++ {
			v := a[i*n+j]
			for k := range j {
				v -= a[i*n+k] * a[j*n+k]
			}
			a[i*n+j] = v / d
		}
	}
	for i := range n {
		v := b[i]
		for k := range i {
			v -= a[i*n+k] * b[k]
		}
		b[i] = v / a[i*n+i]
	}
	for i := n - 1; i >= 0; i-- {
		v := b[i]
		for k := i + 1; k < n; k++ {
			v -= a[k*n+i] * b[k]
		}
		b[i] = v / a[i*n+i]
	}
	return true
}

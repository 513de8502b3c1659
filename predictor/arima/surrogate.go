package arima

import "math"

// A surrogate is a quick approximation to minus the log-likelihood, to look for hills
// and to learn their curvature. The likelihood itself has the last word.
//
// Without a season it is Whittle's: the autocovariances of the series, computed once,
// against the inverse autocovariances of the model, so that the cost of an evaluation
// does not depend on the number of samples. With a season it is the conditional sum of
// squares: innovations that were 0 before the series.
type surrogate struct {
	*polys
	n     int
	w     []float64
	evals int

	// Whittle's
	auto []float64 // autocovariances of w, times n
	inv  []float64 // of 1/theta(B)

	// of the conditional sum of squares, with lead zeros in front
	u, e    []float64
	lead    int
	short   lagPoly // phi(B)
	shortMA lagPoly // theta(B)
}

const (
	whittleFrom = 600   // samples; with fewer the likelihood is cheap and ends matter
	whittleLags = 400   // inverse autocovariances further apart count as 0
	cssFrom     = 10000 // samples times states
)

// newSurrogate is nil where the likelihood is cheap.
func newSurrogate(l *likelihood, constant bool) *surrogate {
	s := l.s
	n := len(s.cols[0])
	seasonal := l.ord.seasonal()
	if len(l.coef) == 0 || !seasonal && n < whittleFrom || seasonal && n*l.r < cssFrom {
		return nil
	}
	q := &surrogate{polys: l.polys, n: s.nobs, w: s.detrended(constant)}
	if seasonal {
		q.lead = max(l.ord.SQ*l.ord.Season, MaxOrder)
		q.e, q.u = make([]float64, q.lead+n), make([]float64, q.lead+n)
		q.short.lag = structure(l.ord.P, 0, 0)
		q.shortMA.lag = structure(l.ord.Q, 0, 0)
		return q
	}
	q.auto = s.autocovariances(constant)
	q.inv = make([]float64, len(q.auto)+l.nAR)
	return q
}

// autocovariances of the detrended series, times n.
func (s *series) autocovariances(constant bool) []float64 {
	which := 0
	if constant {
		which = 1
	}
	if s.auto[which] == nil {
		w := s.detrended(constant)
		n := len(w)
		c := make([]float64, min(whittleLags, n/4)+1)
		for k := range c {
			c[k] = weighted(w[k:], w[:n-k], nil)
		}
		s.auto[which] = c
	}
	return s.auto[which]
}

func (q *surrogate) value(u []float64) float64 {
	q.evals++
	q.set(u)
	n := float64(q.n)
	var ssq float64
	if q.e != nil {
		ssq = q.conditional()
	} else {
		ssq = q.whittle()
	}
	if !(ssq > 0) || math.IsInf(ssq, 1) {
		return math.Inf(1)
	}
	return n / 2 * (math.Log(2*math.Pi*ssq/n) + 1)
}

// conditional is scaled to all samples. The seasonal factors are taken on their own:
// fewer products than in the expanded polynomials.
func (q *surrogate) conditional() float64 {
	n, from, lead, m := len(q.w), q.nAR, q.lead, q.ord.Season
	if from >= n {
		return math.NaN()
	}
	ar, ma, sar, sma := q.ord.parts(q.coef)
	u, start := q.u[lead:], q.ord.SP*m
	dst := u[start:]
	clear(u[:start])
	copy(dst, q.w[start:])
	for j, c := range sar {
		x := q.w[start-(j+1)*m:]
		x = x[:len(dst)]
		for t := range dst {
			dst[t] -= c * x[t]
		}
	}
	for t := range dst {
		v := dst[t]
		for j, c := range sma {
			v -= c * q.u[lead+start+t-(j+1)*m]
		}
		dst[t] = v
	}
	clear(q.e[:lead+from])
	q.short.val, q.shortMA.val = ar, ma
	arma(q.e, q.u, lead+from, q.short, q.shortMA)
	e := q.e[lead+from:]
	return weighted(e, e, nil) * float64(q.n) / float64(n-from)
}

// whittle is the sum over lags of the series' autocovariance times the inverse one of
// the model, that of phi(B)/theta(B) e_t.
func (q *surrogate) whittle() float64 {
	// autocovariances of 1/theta(B) e_t: down and up again, as in moments
	nq, inv := q.nMA, q.inv
	var pacf, pred [MaxOrder]float64
	c := pacf[:nq]
	for i := range c {
		c[i] = -q.th[i]
	}
	first := 1.0
	for k := nq; k > 0; k-- {
		r := c[k-1]
		d := 1 - r*r
		if !(d > 0) {
			return math.NaN()
		}
		first /= d
		for i, j := 0, k-2; i <= j; i, j = i+1, j-1 {
			a, b := c[i], c[j]
			c[i], c[j] = (a+r*b)/d, (b+r*a)/d
		}
	}
	inv[0] = first
	left := first
	for k := 1; k <= nq && k < len(inv); k++ { // c holds the partial autocorrelations; rebuild the predictors
		r := c[k-1]
		s := r * left
		for i := range k - 1 {
			s += pred[i] * inv[k-1-i]
		}
		inv[k] = s
		pred[k-1] = r
		for i, j := 0, k-2; i <= j; i, j = i+1, j-1 {
			a, b := pred[i], pred[j]
			pred[i], pred[j] = a-r*b, b-r*a
		}
		left *= 1 - r*r
	}
	th := q.th[:nq]
	for k := nq + 1; k < len(inv); k++ {
		s := 0.0
		for j := nq - 1; j >= 0; j-- {
			s -= th[j] * inv[k-1-j]
		}
		inv[k] = s
	}
	// autocorrelation of 1 - phi_1 B - ...
	np := q.nAR
	coef := func(i int) float64 {
		if i == 0 {
			return 1
		}
		return -q.phi[i-1]
	}
	total := 0.0
	auto := q.auto
	for l := range np + 1 {
		a := 0.0
		for i := 0; i+l <= np; i++ {
			a += coef(i) * coef(i+l)
		}
		// both halves of both sums: lags l on either side of the series' lag
		sum := weighted(auto, inv[l:l+len(auto)], nil)
		if l == 0 {
			sum = 2*sum - auto[0]*inv[0]
		} else {
			sum += weighted(auto[l:], inv[:len(auto)-l], nil)
			for k := 1; k < l; k++ {
				sum += auto[k] * inv[l-k]
			}
			sum *= 2
		}
		total += a * sum
	}
	return total
}

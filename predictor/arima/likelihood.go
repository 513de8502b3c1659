package arima

import "math"

// A likelihood evaluates the exact concentrated likelihood of one order on the
// columns of a series. It has its own scratch memory, so that a call allocates
// nothing.
//
// Complete data are stationary after differencing, so the Kalman filter needs no
// covariance matrix: its gain and the variance of its innovations follow from two
// vectors (Chandrasekhar recursions; Morf, Sidhu and Kailath 1974), which start
// from the first column of the state's covariance. When the second vector has
// vanished the filter is in its steady state and is the difference equation
// itself.
type likelihood struct {
	*polys
	s    *series
	ncol int // columns in use: y, the missing, the regressors

	first0  []float64   // first column of the covariance of the state
	k, w    []float64   // gain (times the variance), and what it still will change by
	state   [][]float64 // of each column
	e       [][]float64 // innovations of each column
	inv     []float64   // 1/variance while it is not 1
	gram    []float64   // normal equations, ncol by ncol
	levels  []state     // of each column, of the filter of gaps
	cov     *filter     // for many missing samples
	sigma2  float64
	beta    []float64 // of the columns after y
	loglik  float64
	nobs    int
	evals   int
	settled int // step at which the steady state was reached
}

func newLikelihood(o Order, s *series, constant bool) *likelihood {
	l := &likelihood{polys: newPolys(o), s: s, ncol: 1 + s.nmiss + s.nreg}
	if !constant {
		l.ncol -= s.nconst
	}
	l.first0 = make([]float64, l.r)
	l.k = make([]float64, l.r)
	l.w = make([]float64, l.r+1)
	l.nobs = s.nobs
	l.state = make([][]float64, l.ncol)
	l.e = make([][]float64, l.ncol)
	for c := range l.state {
		l.state[c] = make([]float64, l.r+1)
		l.e[c] = make([]float64, len(s.cols[c]))
	}
	l.inv = make([]float64, len(s.cols[0]))
	l.gram = make([]float64, l.ncol*l.ncol)
	l.beta = make([]float64, l.ncol-1)
	if s.sparse {
		l.cov = newFilter(l.polys, s.delta)
		for range l.ncol {
			l.levels = append(l.levels, newState(l.cov))
		}
	}
	return l
}

// value is minus the log-likelihood at unconstrained parameters, +Inf where it
// cannot be computed.
func (l *likelihood) value(u []float64) float64 {
	l.evals++
	l.set(u)
	if !l.compute() || math.IsNaN(l.loglik) {
		return math.Inf(1)
	}
	return -l.loglik
}

// compute evaluates at the coefficients that are set.
func (l *likelihood) compute() bool {
	if !l.moments() {
		return false
	}
	var logF float64
	var ok bool
	if l.s.sparse {
		logF, ok = l.gapped()
	} else {
		logF, ok = l.complete()
	}
	if !ok {
		return false
	}
	return l.concentrate(logF)
}

// vanished is how small the changes to come are when the steady state begins.
const vanished = 1e-11

// complete filters all columns and returns the sum of the logs of the variances.
func (l *likelihood) complete() (logF float64, ok bool) {
	r, n := l.r, len(l.s.cols[0])
	l.first(l.first0)
	f := l.first0[0]
	k, w, phi := l.k, l.w[:r+1], l.phi
	for i := range k {
		k[i] = phi[i] * f
		if i+1 < r {
			k[i] += l.first0[i+1]
		}
		w[i] = k[i]
	}
	w[r] = 0
	for _, a := range l.state {
		clear(a)
	}
	small := vanished + 1e-15*f
	prod := 1.0
	t := 0
	for ; t < n; t++ {
		if l.nMA == 0 && t >= l.nAR || t&7 == 7 && quiet(w, small) {
			break
		}
		if !(f > 0) {
			return 0, false
		}
		if prod *= f; prod > 1e100 {
			logF += math.Log(prod)
			prod = 1
		}
		g := 1 / f
		l.inv[t] = g
		for c, a := range l.state {
			v := l.s.cols[c][t] - a[0]
			l.e[c][t] = v
			propagate(a, phi, k, v*g)
		}
		f = chandrasekhar(k, w, phi, f)
	}
	l.settled = t
	logF += math.Log(prod)
	for c := range l.state {
		l.steady(l.s.cols[c], l.e[c], l.state[c], t)
	}
	return logF, true
}

func quiet(w []float64, small float64) bool {
	for _, v := range w {
		if v > small || v < -small {
			return false
		}
	}
	return true
}

// propagate moves a state on by one step: a = T a + k g. It has one element more
// than k, a zero.
func propagate(a, phi, k []float64, g float64) {
	a0 := a[0]
	n := len(k)
	phi = phi[:n]
	a = a[:n+1]
	for i, v := range k {
		a[i] = a[i+1] + phi[i]*a0 + v*g
	}
}

// chandrasekhar moves gain and change on by one step and returns the next variance.
// In the words of Schur's algorithm, rho is the next partial autocorrelation of
// the process.
func chandrasekhar(k, w, phi []float64, f float64) float64 {
	n := len(k)
	w0 := w[0]
	rho := w0 / f
	phi = phi[:n]
	w = w[:n+1]
	for i, v := range k {
		b := w[i+1] + phi[i]*w0
		k[i] = v - rho*b
		w[i] = b - rho*v
	}
	return f * (1 - rho*rho)
}

// steady computes innovations of x from step t0 on, where the filter's state is a,
// by e_t = x_t - sum phi_j x_{t-j} - sum theta_j e_{t-j}.
func (l *likelihood) steady(x, e, a []float64, t0 int) {
	n := len(x)
	mid := min(t0+l.r, n)
	for t := t0; t < mid; t++ { // the state still holds what was before t0
		v := x[t] - a[t-t0]
		for i, lag := range l.ar.lag {
			if lag > t-t0 {
				break
			}
			v -= l.ar.val[i] * x[t-lag]
		}
		for i, lag := range l.ma.lag {
			if lag > t-t0 {
				break
			}
			v -= l.ma.val[i] * e[t-lag]
		}
		e[t] = v
	}
	if mid == n {
		return
	}
	arma(e, x, mid, l.ar, l.ma)
}

// arma computes e_t = x_t - sum phi_j x_{t-j} - sum theta_j e_{t-j} from step t0
// on, all lags of which are there. Short lags stay in registers: then a step costs the
// time of one multiplication and one subtraction, whatever the order.
func arma(e, x []float64, t0 int, ar, ma lagPoly) {
	short := func(p lagPoly, most int) bool {
		q := len(p.lag)
		return q == 0 || q <= most && p.lag[q-1] == q
	}
	dst, src := e[t0:], x[t0:]
	src = src[:len(dst)]
	if !short(ar, 5) || !short(ma, 5) || t0 < 5 {
		copy(dst, src)
		for i, lag := range ar.lag {
			c, from := ar.val[i], x[t0-lag:]
			from = from[:len(dst)]
			for t := range dst {
				dst[t] -= c * from[t]
			}
		}
		recurse(e, t0, ma)
		return
	}
	var a, b [5]float64
	copy(a[:], ar.val)
	copy(b[:], ma.val)
	a0, a1, a2, a3, a4 := a[0], a[1], a[2], a[3], a[4]
	b0, b1, b2, b3, b4 := b[0], b[1], b[2], b[3], b[4]
	x0, x1, x2, x3, x4 := x[t0-1], x[t0-2], x[t0-3], x[t0-4], x[t0-5]
	e0, e1, e2, e3, e4 := e[t0-1], e[t0-2], e[t0-3], e[t0-4], e[t0-5]
	if short(ar, 2) && short(ma, 2) {
		for t, v := range src {
			w := v - (a0*x0 + a1*x1) - b1*e1
			w -= b0 * e0
			x1, x0 = x0, v
			e1, e0 = e0, w
			dst[t] = w
		}
		return
	}
	for t, v := range src {
		w := v - (a0*x0 + a1*x1) - (a2*x2 + a3*x3 + a4*x4)
		w -= (b1*e1 + b2*e2) + (b3*e3 + b4*e4)
		w -= b0 * e0
		x4, x3, x2, x1, x0 = x3, x2, x1, x0, v
		e4, e3, e2, e1, e0 = e3, e2, e1, e0, w
		dst[t] = w
	}
}

// recurse turns e from step t0 on into e_t - sum theta_j e_{t-j}.
func recurse(e []float64, t0 int, ma lagPoly) {
	val := ma.val
	lag := ma.lag[:len(val)]
	if len(val) == 0 {
		return
	}
	for t := t0; t < len(e); t++ {
		v := e[t]
		for i := len(val) - 1; i >= 0; i-- {
			v -= val[i] * e[t-lag[i]]
		}
		e[t] = v
	}
}

// concentrate solves the normal equations for beta, and sets sigma2 and the
// log-likelihood.
func (l *likelihood) concentrate(logF float64) bool {
	n := l.ncol
	for i := range n {
		for j := range i + 1 {
			l.gram[i*n+j] = weighted(l.e[i], l.e[j], l.inv[:l.settled])
		}
	}
	// Cholesky with y last: its pivot is the sum of squares that is left. Order
	// of elimination: 1, 2, ..., n-1, 0.
	det := 0.0
	ssq := l.gram[0]
	for j := 1; j < n; j++ {
		d := l.gram[j*n+j]
		for k := 1; k < j; k++ {
			d -= l.gram[j*n+k] * l.gram[j*n+k]
		}
		if !(d > 0) {
			return false
		}
		if j <= l.s.nmiss {
			det += math.Log(d)
		}
		d = math.Sqrt(d)
		l.gram[j*n+j] = d
		for i := j + 1; i < n; i++ {
			v := l.gram[i*n+j]
			for k := 1; k < j; k++ {
				v -= l.gram[i*n+k] * l.gram[j*n+k]
			}
			l.gram[i*n+j] = v / d
		}
		v := l.gram[j*n]
		for k := 1; k < j; k++ {
			v -= l.beta[k-1] * l.gram[j*n+k]
		}
		v /= d
		l.beta[j-1] = v
		ssq -= v * v
	}
	for j := n - 1; j > 0; j-- {
		v := l.beta[j-1]
		for k := j + 1; k < n; k++ {
			v -= l.gram[k*n+j] * l.beta[k-1]
		}
		l.beta[j-1] = v / l.gram[j*n+j]
	}
	if n > 1 && ssq < 1e-6*l.gram[0] {
		ssq = l.residual() // the difference of two large sums has lost its digits
	}
	l.sigma2 = max(ssq, 0) / float64(l.nobs)
	l.loglik = -0.5*float64(l.nobs)*(math.Log(2*math.Pi*l.sigma2)+1) - 0.5*logF - 0.5*det
	return true
}

// residual is the weighted sum of squares of y less its regression.
func (l *likelihood) residual() float64 {
	ssq := 0.0
	for t := range l.e[0] {
		v := l.e[0][t]
		for c, b := range l.beta {
			v -= b * l.e[c+1][t]
		}
		if t < l.settled {
			v *= v * l.inv[t]
		} else {
			v *= v
		}
		ssq += v
	}
	return ssq
}

// weighted is the sum of a_t b_t w_t; where w has ended it is 1.
func weighted(a, b, w []float64) float64 {
	s := 0.0
	for t, v := range w {
		s += a[t] * b[t] * v
	}
	a, b = a[len(w):], b[len(w):]
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	for len(a) >= 4 {
		s0 += a[0] * b[0]
		s1 += a[1] * b[1]
		s2 += a[2] * b[2]
		s3 += a[3] * b[3]
		a, b = a[4:], b[4:]
	}
	for t, v := range a {
		s0 += v * b[t]
	}
	return s + (s0 + s1) + (s2 + s3)
}

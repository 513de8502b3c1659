package arima

import "math"

// A filter is the Kalman filter of the undifferenced series. Its state is the ARMA
// state of r elements and the last d+mD levels, newest first; levels are known
// exactly unless samples were missing.
//
// With everything observed the covariance of the state tends to R R'. The filter
// keeps the excess D over it, drops D when nothing of it is left, and then a step
// costs O(r). Until then it costs O(r^2).
type filter struct {
	phi, resp []float64 // first column of T; R, with a 1 in front; both of length r
	arAt      []int     // where phi is not 0, index i of lag i+1
	delta     []float64 // y_t = a_0 + sum delta_j level_j
	r         int

	d, next []float64 // excess, full rows of size r+len(delta); next is scratch
	gain    []float64 // (R + D Z) of the current step; on the r+len(delta) elements
	dz      []float64
	excess  bool // D is not 0
	since   int  // steps since the last missing sample
	f       float64
}

func newFilter(p *polys, delta []float64) *filter {
	size := p.r + len(delta)
	f := &filter{r: p.r, delta: delta}
	f.phi = make([]float64, p.r)
	f.resp = make([]float64, size)
	f.d = make([]float64, size*size)
	f.next = make([]float64, size*size)
	f.gain = make([]float64, size)
	f.dz = make([]float64, size)
	return f
}

// start takes the coefficients and the stationary covariance of p, whose moments
// are computed. The levels are taken to be known.
func (f *filter) start(p *polys) {
	copy(f.phi, p.phi)
	f.arAt = f.arAt[:0]
	for _, l := range p.arAt {
		f.arAt = append(f.arAt, l-1)
	}
	clear(f.resp)
	f.resp[0] = 1
	copy(f.resp[1:p.r], p.th)
	r, size := f.r, len(f.gain)
	clear(f.d)
	p.covariance(f.next[:r*r])
	for i := range r {
		for j := range r {
			f.d[i*size+j] = f.next[i*r+j] - f.resp[i]*f.resp[j]
		}
	}
	f.excess = true
	f.since = len(f.delta)
}

// vague is the variance of a level of which nothing is known, in units of sigma2.
const vague = 1e8

// doubt makes level j, newest first, unknown.
func (f *filter) doubt(j int) {
	i := f.r + j
	f.d[i*len(f.gain)+i] = vague
	f.since = min(f.since, j)
}

// active is how many elements of the state are uncertain: without a missing sample
// among the last levels, only those of the ARMA part.
func (f *filter) active() int {
	if f.since >= len(f.delta) {
		return f.r
	}
	return len(f.gain)
}

// predict sets the variance of the next innovation and the gain. They do not
// depend on what is observed.
func (f *filter) predict() {
	f.f = 1
	copy(f.gain, f.resp)
	if !f.excess {
		return
	}
	size, n := len(f.gain), f.active()
	for i := range n {
		row := f.d[i*size : i*size+n]
		v := row[0]
		if n > f.r {
			for j, c := range f.delta {
				if c != 0 {
					v += c * row[f.r+j]
				}
			}
		}
		f.dz[i] = v
		f.gain[i] += v
	}
	f.f += f.dz[0]
	if n > f.r {
		for j, c := range f.delta {
			f.f += c * f.dz[f.r+j]
		}
	}
}

// small is the excess that is taken for none.
const small = 1e-13

// advance moves the covariance on by one step: P = T (P - P Z Z'P/F) T' + R R' when
// the sample was there, P = T P T' + R R' when it was not.
func (f *filter) advance(observed bool) {
	if observed && !f.excess {
		return
	}
	size := len(f.gain)
	if !observed {
		if !f.excess {
			clear(f.d)
			f.excess = true
		}
		if f.since >= len(f.delta) {
			f.forgetLevels()
		}
		f.since = 0
	}
	n := f.active()
	// D + R R' becomes the covariance of the filtered state
	inv := 0.0
	if observed {
		inv = 1 / f.f
	}
	for i := range n {
		row := f.d[i*size : i*size+n]
		a, b := f.resp[i], f.gain[i]*inv
		if a == 0 && b == 0 {
			continue
		}
		for j := range row {
			row[j] += a*f.resp[j] - b*f.gain[j]
		}
	}
	f.transition(n)
	if observed {
		f.since++
		if f.excess = f.largest() > small; !f.excess {
			f.since = len(f.delta)
		}
	}
}

// forgetLevels clears what rounding or an earlier gap has left where levels are
// known exactly.
func (f *filter) forgetLevels() {
	size := len(f.gain)
	for i := range f.r {
		clear(f.d[i*size+f.r : (i+1)*size])
	}
	clear(f.d[f.r*size:])
}

// transition is D = T D T' on the first n elements.
func (f *filter) transition(n int) {
	size, r := len(f.gain), f.r
	// rows: next = T D
	for i := range r {
		dst := f.next[i*size : i*size+n]
		if i+1 < r {
			copy(dst, f.d[(i+1)*size:(i+1)*size+n])
		} else {
			clear(dst)
		}
	}
	first := f.d[:n]
	for _, i := range f.arAt {
		c := f.phi[i]
		dst := f.next[i*size : i*size+n]
		for j, v := range first {
			dst[j] += c * v
		}
	}
	if n > r {
		level := f.next[r*size : r*size+n]
		copy(level, first)
		for j, c := range f.delta {
			if c != 0 {
				for k, v := range f.d[(r+j)*size : (r+j)*size+n] {
					level[k] += c * v
				}
			}
		}
		for i := r + 1; i < n; i++ {
			copy(f.next[i*size:i*size+n], f.d[(i-1)*size:(i-1)*size+n])
		}
	}
	// columns: D = next T'
	for i := range n {
		src, dst := f.next[i*size:i*size+n], f.d[i*size:i*size+n]
		copy(dst, src[1:r])
		dst[r-1] = 0
		for _, j := range f.arAt {
			dst[j] += f.phi[j] * src[0]
		}
		if n > r {
			copy(dst[r+1:], src[r:n-1])
			v := src[0]
			for j, c := range f.delta {
				if c != 0 {
					v += c * src[r+j]
				}
			}
			dst[r] = v
		}
	}
}

func (f *filter) largest() float64 {
	size, n := len(f.gain), f.active()
	m := 0.0
	for i := range n { // D is positive semidefinite
		m = max(m, math.Abs(f.d[i*size+i]))
	}
	return m
}

// A state is the mean of a filter's state. Columns of a series that go through
// one filter have one each.
type state struct {
	a     []float64 // r, and a zero
	level []float64
}

func newState(f *filter) state {
	return state{a: make([]float64, f.r+1), level: make([]float64, len(f.delta))}
}

// expect is what the state predicts for the next sample.
func (s state) expect(f *filter) float64 {
	v := s.a[0]
	for j, c := range f.delta {
		if c != 0 {
			v += c * s.level[j]
		}
	}
	return v
}

// step moves the state on by one step in which y was observed against the
// expectation y-v, or, with observed false, nothing was.
func (s state) step(f *filter, y, v float64, observed bool) {
	a := s.a
	if observed {
		g := v / f.f
		for i, k := range f.gain[:f.r] {
			a[i] += k * g
		}
		if f.since < len(f.delta) {
			for j, k := range f.gain[f.r:] {
				s.level[j] += k * g
			}
		}
	} else {
		y = s.expect(f)
	}
	a0 := a[0]
	copy(a[:f.r], a[1:])
	for _, i := range f.arAt {
		a[i] += f.phi[i] * a0
	}
	if len(s.level) > 0 {
		copy(s.level[1:], s.level)
		s.level[0] = y
	}
}

// gapped filters all columns of a series with missing samples, and returns the sum
// of the logs of the variances.
func (l *likelihood) gapped() (logF float64, ok bool) {
	f := l.cov
	f.start(l.polys)
	ds := len(f.delta)
	for c := range l.levels {
		s := l.levels[c]
		clear(s.a)
		for j := range s.level {
			s.level[j] = l.s.levels[c][ds-1-j]
		}
	}
	prod := 1.0
	for t := range l.e[0] {
		observed := !l.s.missing[ds+t]
		f.predict()
		l.inv[t] = 0
		if observed {
			if !(f.f > 0) {
				return 0, false
			}
			if prod *= f.f; prod > 1e100 {
				logF += math.Log(prod)
				prod = 1
			}
			l.inv[t] = 1 / f.f
		}
		for c := range l.levels {
			s := l.levels[c]
			y := l.s.levels[c][ds+t]
			v := y - s.expect(f)
			l.e[c][t] = v
			s.step(f, y, v, observed)
		}
		f.advance(observed)
	}
	l.settled = len(l.e[0])
	return logF + math.Log(prod), true
}

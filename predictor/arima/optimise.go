package arima

import "math"

// A search minimises a smooth function of a few parameters by BFGS with
// forward-difference gradients.
type search struct {
	f     func(u []float64) float64
	n     int
	tol   float64 // stop when a Newton step would gain less
	steps int     // bound of the iterations
	curve float64 // typical second derivative, to begin with

	u, g, next, gnext, dir, dg []float64
	h                          []float64 // inverse of the Hessian, n by n
	learnt                     bool      // h holds what learn has found
}

func newSearch(n int, f func([]float64) float64) *search {
	v := func() []float64 { return make([]float64, n) }
	return &search{f: f, n: n, steps: 100, curve: 1, u: v(), g: v(), next: v(), gnext: v(), dir: v(), dg: v(), h: make([]float64, n*n)}
}

// slope is the step of the differences: values have about 1e-10 of noise.
const slope = 1e-6

// maxStep is an eighth of a circle.
const maxStep = math.Pi / 4

func (s *search) gradient(dst, u []float64, f float64) bool {
	for i, v := range u {
		h := slope
		if math.Sin(2*v) > 0 {
			h = -h // away from the unit circle
		}
		u[i] = v + h
		fi := s.f(u)
		u[i] = v
		if math.IsInf(fi, 1) {
			return false
		}
		dst[i] = (fi - f) / h
	}
	return true
}

// learn sets the inverse Hessian that the next run begins with to that of g at u, if
// that is positive definite.
func (s *search) learn(g func(u []float64) float64, u []float64) {
	const h = 1e-3
	n := s.n
	copy(s.u, u)
	mid := g(s.u)
	plus := s.g
	for i := range n {
		s.u[i] = u[i] + h
		plus[i] = g(s.u)
		s.u[i] = u[i]
	}
	a := make([]float64, n*n)
	for i := range n {
		for j := range i + 1 {
			s.u[i] += h
			s.u[j] += h
			a[i*n+j] = (g(s.u) - plus[i] - plus[j] + mid) / (h * h)
			s.u[i], s.u[j] = u[i], u[j]
		}
		a[i*n+i] += 1e-3 * s.curve // flat directions stay bounded
	}
	work := make([]float64, n*n)
	x := make([]float64, n)
	for i := range n {
		copy(work, a)
		clear(x)
		x[i] = 1
		if !solve(work, x) {
			return
		}
		copy(s.h[i*n:], x)
	}
	s.learnt = true
}

// run starts at u and returns where it ends, in u, and the value there.
func (s *search) run(u []float64) float64 {
	n := s.n
	copy(s.u, u)
	f := s.f(s.u)
	if math.IsInf(f, 1) || n == 0 || !s.gradient(s.g, s.u, f) {
		copy(u, s.u)
		return f
	}
	fresh := !s.learnt
	if fresh {
		s.restart()
	}
	s.learnt = false
	for range s.steps {
		gain := 0.0
		for i := range n {
			d := 0.0
			for j := range n {
				d -= s.h[i*n+j] * s.g[j]
			}
			s.dir[i] = d
			gain -= d * s.g[i]
		}
		if !(gain > s.tol) {
			if fresh || gain >= 0 {
				break
			}
			s.restart()
			fresh = true
			continue
		}
		step := 1.0
		for _, d := range s.dir { // no parameter moves further than that
			step = min(step, maxStep/math.Abs(d))
		}
		fnext := math.Inf(1)
		for range 25 {
			for i, v := range s.u {
				s.next[i] = v + step*s.dir[i]
			}
			fnext = s.f(s.next)
			if fnext <= f-1e-4*step*gain {
				break
			}
			quad := 0.2
			if !math.IsInf(fnext, 1) {
				quad = 0.5 * step * gain / (fnext - f + step*gain)
			}
			step *= min(max(quad, 0.1), 0.5)
		}
		if !(fnext < f) || !s.gradient(s.gnext, s.next, fnext) {
			if fresh {
				break
			}
			s.restart()
			fresh = true
			continue
		}
		s.update(fresh)
		fresh = false
		copy(s.u, s.next)
		copy(s.g, s.gnext)
		f = fnext
	}
	copy(u, s.u)
	return f
}

func (s *search) restart() {
	clear(s.h)
	for i := range s.n {
		s.h[i*s.n+i] = 1 / s.curve
	}
}

// update is the BFGS update of the inverse Hessian; dir and dg become the step and
// the change of the gradient.
func (s *search) update(first bool) {
	n := s.n
	sy, yy, ss := 0.0, 0.0, 0.0
	for i := range n {
		s.dir[i] = s.next[i] - s.u[i]
		s.dg[i] = s.gnext[i] - s.g[i]
		sy += s.dir[i] * s.dg[i]
		yy += s.dg[i] * s.dg[i]
		ss += s.dir[i] * s.dir[i]
	}
	if !(sy > 1e-10*math.Sqrt(ss*yy)) {
		return
	}
	if first && sy > 0 {
		// scale by the curvature seen along the first step (Nocedal and Wright, 6.20)
		hy := 0.0
		for i := range n {
			hy += s.dg[i] * s.h[i*n+i] * s.dg[i]
		}
		if f := sy / hy; f < 1 {
			for i := range s.h {
				s.h[i] *= f
			}
		}
	}
	hy := s.g // the old gradient is not needed any more
	yhy := 0.0
	for i := range n {
		hy[i] = 0
		for j := range n {
			hy[i] += s.h[i*n+j] * s.dg[j]
		}
		yhy += hy[i] * s.dg[i]
	}
	c := (1 + yhy/sy) / sy
	for i := range n {
		for j := range n {
			s.h[i*n+j] += c*s.dir[i]*s.dir[j] - (hy[i]*s.dir[j]+s.dir[i]*hy[j])/sy
		}
	}
}

package emd

import "math"

// How a signal is continued beyond its ends. The figures are in extrema and in steps
// of a signal thinned to about perExtremum steps from one extremum to the next, so
// that fast and slow modes are treated alike.
const (
	extendBy    = 8   // extrema; the envelopes forget one that is so far away
	spacingOver = 16  // extrema at an end that tell how far apart they are there
	perExtremum = 5   // steps
	arWindow    = 128 // steps the model is fitted to
	arOrder     = 32
	holdOut     = 16 // last steps, which the candidates forecast to be compared
	arRidge     = 1e-4
	clampAt     = 2.0 // times the largest deviation from the mean in the window
	knownKnots  = 8   // steps before the end that join the interpolation
	maxSteps    = 2*perExtremum*extendBy + 4
)

// forgetting are the candidates' weights of a step relative to the next one. 0 stands
// for Burg's method, whose forecasts never grow; the others are weighted least squares
// forward and backward, which continue a trend and a sum of tones nearly exactly.
var forgetting = [...]float64{0, 0.95, 0.98, 1}

// An extension continues signals beyond their ends.
type extension struct {
	window   [arWindow]float64 // thinned, end last, in units of the largest deviation from the mean
	forecast [maxSteps]float64

	// Of the fit.
	a       [arOrder]float64
	history [arOrder + maxSteps]float64
	cov     [(arOrder + 1) * (arOrder + 1)]float64
	chol    [arOrder * arOrder]float64
	fw, bw  [arWindow]float64

	knots, bend, upper [knownKnots + maxSteps]float64
}

// extend continues the n samples buf[room:room+n], whose extrema e has found, to both
// sides, and returns by how many samples: at most room.
func (x *extension) extend(buf []float64, room, n int, e *envelope) (left, right int) {
	k := min(spacingOver, e.extrema()-1)
	spacing := func(from, to int) float64 { return (e.pos[to] - e.pos[from]) / float64(to-from) }
	right = x.side(buf, room+n-1, 1, n, room, spacing(e.last-k, e.last))
	left = x.side(buf, room, -1, n, room, spacing(e.first, e.first+k))
	return left, right
}

// side continues the signal of n samples that ends at buf[end], in direction dir. It
// returns by how many samples: at most room.
func (x *extension) side(buf []float64, end, dir, n, room int, spacing float64) int {
	step := max(1, int(spacing/perExtremum))
	samples := min(room, int(math.Ceil(extendBy*spacing)))
	steps := (samples+step-1)/step + 2
	if steps > maxSteps { // extrema closer than two samples apart cannot be, so neither can this
		steps = maxSteps
		samples = min(samples, (steps-2)*step)
	}
	size := min(arWindow, (n-1)/step+1)

	w := x.window[:size]
	mean := 0.0
	for i := range w {
		w[i] = buf[end-dir*step*(size-1-i)]
		mean += w[i]
	}
	mean /= float64(size)
	scale := 0.0
	for i := range w {
		w[i] -= mean
		scale = max(scale, math.Abs(w[i]))
	}
	if scale == 0 {
		return 0
	}
	for i := range w {
		w[i] /= scale
	}
	f := x.forecast[:steps]
	x.predict(w, f)

	if step == 1 {
		for i, v := range f[:samples] {
			buf[end+dir*(i+1)] = mean + scale*v
		}
		return samples
	}
	known := min(knownKnots, size)
	knots := append(append(x.knots[:0], w[size-known:]...), f...)
	x.spline(knots)
	for j, i := known-1, 0; i < samples; j++ {
		v0, v1, b0, b1 := knots[j], knots[j+1], x.bend[j], x.bend[j+1]
		first := step * (j + 1 - known)
		for ; i < samples && i+1 < first+step; i++ {
			at := float64(i+1) / float64(step)
			t := at - float64(j+1-known)
			u := 1 - t
			v := u*v0 + t*v1 - u*t*((1+u)*b0+(1+t)*b1)
			buf[end+dir*(i+1)] = mean + scale*v
		}
	}
	return samples
}

// spline sets bend to a sixth of the second derivatives of the natural spline through
// values one apart.
func (x *extension) spline(v []float64) {
	n := len(v)
	x.bend[0], x.upper[0], x.bend[n-1] = 0, 0, 0
	for i := 1; i < n-1; i++ {
		q := 1 / (4 - x.upper[i-1])
		x.upper[i] = q
		x.bend[i] = (v[i-1] - 2*v[i] + v[i+1] - x.bend[i-1]) * q
	}
	for i := n - 2; i > 0; i-- {
		x.bend[i] -= x.upper[i] * x.bend[i+1]
	}
}

// predict continues w by the candidate that would have continued best what came
// before the last steps.
func (x *extension) predict(w, f []float64) {
	best := 0
	if size := len(w); size >= 4*holdOut {
		least := math.Inf(1)
		k := min(holdOut, len(f))
		for i, lambda := range forgetting {
			x.fit(w[:size-k], lambda, f[:k])
			sum := 0.0
			for j, v := range f[:k] {
				d := v - w[size-k+j]
				sum += d * d
			}
			if sum < least {
				least, best = sum, i
			}
		}
	}
	x.fit(w, forgetting[best], f)
}

// fit fits an autoregression to w and forecasts.
func (x *extension) fit(w []float64, lambda float64, f []float64) {
	p := min(arOrder, len(w)/3)
	a := x.a[:p]
	if lambda == 0 {
		x.burg(w, a)
	} else {
		x.leastSquares(w, lambda, a)
	}
	h := x.history[:p+len(f)]
	copy(h, w[len(w)-p:])
	for i := range f {
		past := h[i : i+p]
		s := 0.0
		for k, v := range a {
			s += v * past[p-1-k]
		}
		s = max(-clampAt, min(clampAt, s))
		h[p+i] = s
		f[i] = s
	}
}

// burg sets a to the coefficients of lags 1, 2, … by Burg's method.
func (x *extension) burg(w, a []float64) {
	n := len(w)
	f, b := x.fw[:n], x.bw[:n]
	copy(f, w)
	copy(b, w)
	clear(a)
	var num, den float64
	for i := 1; i < n; i++ {
		num += f[i] * b[i-1]
		den += f[i]*f[i] + b[i-1]*b[i-1]
	}
	for m := range a {
		if den == 0 {
			return
		}
		k := 2 * num / den
		for i, j := 0, m-1; i <= j; i, j = i+1, j-1 {
			a[i], a[j] = a[i]-k*a[j], a[j]-k*a[i]
		}
		a[m] = k
		// The errors of one order more, and at once the sums for the order after it: of
		// each forward error with the backward error one step before.
		num, den = 0, 0
		before, past := b[m], 0.0 // b[i-1] of the old order and of the new one
		for i := m + 1; i < n; i++ {
			ahead := f[i] - k*before
			behind := before - k*f[i]
			before = b[i]
			f[i], b[i] = ahead, behind
			if i > m+1 {
				num += ahead * past
				den += ahead*ahead + past*past
			}
			past = behind
		}
	}
}

// leastSquares sets a to the coefficients that predict each step of w from those
// before it, and from those after it, with the least sum of squares, where the
// weight falls by lambda per step into the past. A small ridge keeps superfluous
// coefficients small, and with them the roots that would make forecasts grow.
func (x *extension) leastSquares(w []float64, lambda float64, a []float64) {
	n, p := len(w), len(a)
	// Entry i, j of cov is the weighted sum over t = p..n-1 of w[t-i] w[t-j]. One step
	// down the diagonal moves that sum by one.
	weighted := x.fw[:n]
	far := 1.0 // lambda^(n-p)
	for t, f := n-1, 1.0; t >= p; t-- {
		weighted[t] = w[t] * f
		f *= lambda
		far = f
	}
	row := p + 1
	cov := x.cov[:row*row]
	for j := 0; j < row; j += 4 { // p is at least 16; four sums at once, as each addition waits for the one before
		var s0, s1, s2, s3 float64
		k := min(j, row-4)
		for t, v := range weighted[p:] {
			past := w[p-k-3+t:][:4]
			s0 += v * past[3]
			s1 += v * past[2]
			s2 += v * past[1]
			s3 += v * past[0]
		}
		cov[k], cov[k+1], cov[k+2], cov[k+3] = s0, s1, s2, s3
	}
	inv := 1 / lambda
	for i := range p {
		u, v := far*w[p-1-i], w[n-1-i]
		above, below := cov[i*row+i:][:p-i], cov[(i+1)*row+i+1:][:p-i]
		first, last := w[:p-i], w[n-p:][:p-i]
		for j, s := range above {
			k := p - i - 1 - j
			below[j] = inv * (s + u*first[k] - v*last[k])
		}
	}
	at := func(i, j int) float64 {
		if i > j {
			i, j = j, i
		}
		return cov[i*row+j]
	}
	g := x.chol[:p*p]
	trace := 0.0
	for i := range p {
		for j := range i + 1 {
			g[i*p+j] = cov[(j+1)*row+i+1] + cov[(p-1-i)*row+p-1-j]
		}
		trace += g[i*p+i]
		a[i] = at(i+1, 0) + at(p-1-i, p)
	}
	solve(g, a, arRidge*trace/float64(p))
}

// solve replaces r by the solution of (g + ridge) x = r, where g is symmetric, of
// which the lower half is given.
func solve(g, r []float64, ridge float64) {
	p := len(r)
	for j := range p {
		gj := g[j*p:][:j+1]
		s := gj[j]
		for _, v := range gj[:j] {
			s -= v * v
		}
		// The diagonal holds reciprocals. Rounding may make it less than the ridge.
		inv := 1 / math.Sqrt(max(s+ridge, 0.5*ridge, math.SmallestNonzeroFloat64))
		gj[j] = inv
		r[j] *= inv
		gj = gj[:j]
		i := j + 1
		for ; i+4 <= p; i += 4 { // four rows at once, as each subtraction waits for the one before
			g0, g1, g2, g3 := g[i*p:][:j+1], g[(i+1)*p:][:j+1], g[(i+2)*p:][:j+1], g[(i+3)*p:][:j+1]
			s0, s1, s2, s3 := g0[j], g1[j], g2[j], g3[j]
			for k, v := range gj {
				s0 -= v * g0[k]
				s1 -= v * g1[k]
				s2 -= v * g2[k]
				s3 -= v * g3[k]
			}
			g0[j], g1[j], g2[j], g3[j] = s0*inv, s1*inv, s2*inv, s3*inv
		}
		for ; i < p; i++ {
			gi := g[i*p:][:j+1]
			s := gi[j]
			for k, v := range gj {
				s -= v * gi[k]
			}
			gi[j] = s * inv
		}
		for i := j + 1; i < p; i++ {
			r[i] -= g[i*p+j] * r[j]
		}
	}
	for i := p - 1; i >= 0; i-- {
		r[i] *= g[i*p+i]
		for k := range i {
			r[k] -= g[i*p+k] * r[i]
		}
	}
}

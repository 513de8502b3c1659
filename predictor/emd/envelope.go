package emd

import "math"

// pad is how many extrema are mirrored beyond each end: two for either envelope.
const pad = 4

// An envelope holds the extrema of a signal and the two cubic splines through
// them. Maxima and minima alternate, so one list holds both: the knots of a spline
// are every other entry, and one loop over the list solves two independent
// tridiagonal systems, which a processor overlaps.
type envelope struct {
	first, last int // own extrema are pos[first:last+1]; pad mirrored ones before and after
	crossings   int // sign changes of the signal between its ends
	turns       turns
	// Knot j: place (samples, between samples where the top was interpolated) and
	// value; then the cubic from knot j to j+2 is val + b t + c t² + d t³.
	pos, val, b, c, d []float64
	inv               []float64 // 1 / (pos[j+2]-pos[j])

	piece []int32 // scratch, one per sample
}

// A cubic is a + b y + c y² + d y³.
type cubic struct{ a, b, c, d float64 }

// grow makes room for a signal of n samples, which has at most n-2 extrema and
// may be given one more at either end.
func (e *envelope) grow(n int) {
	if n += 2*pad + 4; len(e.pos) < n {
		all := make([]float64, 6*n)
		for i, p := range []*[]float64{&e.pos, &e.val, &e.b, &e.c, &e.d, &e.inv} {
			*p = all[i*n : (i+1)*n : (i+1)*n]
		}
		e.piece = make([]int32, n)
		e.turns.at = make([]int32, n)
	}
}

// extrema is how many the signal has, without its ends.
func (e *envelope) extrema() int { return e.last - e.first + 1 }

// find lists the extrema of h.
func (e *envelope) find(h []float64) {
	e.turns.list(h)
	e.place(h)
}

// place lists the extrema of h, whose turns have been listed. A plateau is one extremum
// at its middle. A top of one sample is that of the parabola through it and its
// neighbours: without this an oscillation of 12 samples a period has an envelope that
// is 3 % too low.
func (e *envelope) place(h []float64) {
	turns := e.turns.at[:e.turns.n]
	if len(turns) > 0 && !(h[turns[0]] < h[0]) {
		turns = turns[1:] // h only begins to rise
	}
	e.first = pad + 1 // one place in front for an end that counts
	e.last, e.crossings = e.first+len(turns)-1, 0
	if len(h) == 0 {
		return
	}
	pos, val := e.pos[e.first:][:len(turns)], e.val[e.first:][:len(turns)]
	before := math.Float64bits(h[0])
	crossings := uint64(0)
	for j, t := range turns {
		at := int(t)
		l, v, r := h[at-1], h[at], h[at+1]
		p := float64(at)
		if l == v { // the end of a plateau
			s := at - 1
			for h[s-1] == v {
				s--
			}
			p = float64(s+at) / 2
		} else {
			// Neither neighbour is as high, so the shift is less than 1/2.
			shift := 0.5 * (r - l) / ((v - l) + (v - r))
			p += shift
			v += 0.25 * (r - l) * shift
		}
		now := math.Float64bits(v)
		crossings += (now ^ before) >> 63
		before = now
		pos[j], val[j] = p, v
	}
	crossings += (math.Float64bits(h[len(h)-1]) ^ before) >> 63
	e.crossings = int(crossings)
}

// mirror adds pad extrema beyond each end of h (Rilling, Flandrin and Gonçalves
// 2003): across the outermost extremum where the end of the signal lies between
// it and the next one, else across the end, which then counts as an extremum.
// It needs at least two extrema.
func (e *envelope) mirror(h []float64) {
	n := len(h)
	pos, val := e.pos, e.val
	f, l := e.first, e.last
	lf, ll := f, l // axes
	if maximum := val[f] > val[f+1]; (h[0] < val[f+1]) == maximum && h[0] != val[f+1] || !e.reaches(f, 0) {
		lf = f - 1
		pos[lf], val[lf] = 0, h[0]
	}
	if maximum := val[l] > val[l-1]; (h[n-1] < val[l-1]) == maximum && h[n-1] != val[l-1] || !e.reaches(l, float64(n-1)) {
		ll = l + 1
		pos[ll], val[ll] = float64(n-1), h[n-1]
	}
	// The list as it is now may have fewer than pad entries inside; then it is
	// mirrored at its other end again. Entry k from the axis:
	for k := 1; k <= pad; k++ {
		dist, v := e.fold(lf, ll, k)
		pos[lf-k], val[lf-k] = pos[lf]-dist, v
		dist, v = e.fold(ll, lf, k)
		pos[ll+k], val[ll+k] = pos[ll]+dist, v
	}
	e.first, e.last = lf, ll
}

// reaches says whether mirroring across extremum j brings both envelopes to the
// end of the signal.
func (e *envelope) reaches(j int, end float64) bool {
	dist, _ := e.fold(j, e.first+e.last-j, pad-1)
	return dist >= math.Abs(end-e.pos[j])
}

// fold returns the distance from entry axis and the value of the k-th entry
// counted towards entry other and, beyond it, back again.
func (e *envelope) fold(axis, other, k int) (dist, v float64) {
	count, step := other-axis, 1
	if count < 0 {
		count, step = -count, -1
	}
	span := math.Abs(e.pos[other] - e.pos[axis])
	turns, rest := k/count, k%count
	if turns%2 == 0 {
		j := axis + step*rest
		return float64(turns)*span + math.Abs(e.pos[j]-e.pos[axis]), e.val[j]
	}
	j := other - step*rest
	return float64(turns)*span + math.Abs(e.pos[j]-e.pos[other]), e.val[j]
}

// solve fits both natural splines through all knots.
func (e *envelope) solve() {
	lo, hi := e.first-pad, e.last+pad
	n := hi - lo + 1
	pos, val := e.pos[lo:hi+1], e.val[lo:hi+1]
	b, c, d, inv := e.b[lo:hi+1], e.c[lo:hi+1], e.d[lo:hi+1], e.inv[lo:hi+1]
	_ = pos[n-1]
	// q is a sixth of the second derivative: h0 q0 + 2 (h0+h2) q2 + h2 q4 = s2 - s0 with
	// h the widths and s the slopes of the chords. c takes the upper diagonal, d the
	// right side, b the slopes. What does not depend on the knots before is done in the
	// same loop, while the divisions that do are waited for.
	for j := range 2 {
		inv[j] = 1 / (pos[j+2] - pos[j])
		b[j] = (val[j+2] - val[j]) * inv[j]
		c[j], d[j] = 0, 0
	}
	for j := 2; j < n-2; j++ {
		h0, h2 := pos[j]-pos[j-2], pos[j+2]-pos[j]
		iv := 1 / h2
		slope := (val[j+2] - val[j]) * iv
		w := 1 / (2*(h0+h2) - h0*c[j-2])
		inv[j] = iv
		b[j] = slope
		c[j] = h2 * w
		d[j] = (slope - b[j-2] - h0*d[j-2]) * w
	}
	q1, q2 := 0.0, 0.0 // of knots j+1 and j+2
	for j := n - 3; j >= 0; j-- {
		q := d[j] - c[j]*q2
		b[j] -= (pos[j+2] - pos[j]) * (2*q + q2)
		c[j] = 3 * q
		d[j] = (q2 - q) * inv[j]
		q1, q2 = q, q1
	}
}

// middle returns the mean of both splines between knots j and j+1, by the distance from
// knot j: half the sum of the one that begins there and the one before moved by s.
func (e *envelope) middle(j int) cubic {
	k := j - 1
	s := e.pos[j] - e.pos[k]
	b, c, d := e.b[k], e.c[k], e.d[k]
	return cubic{
		a: 0.5 * (e.val[k] + s*(b+s*(c+s*d)) + e.val[j]),
		b: 0.5 * (b + s*(2*c+3*s*d) + e.b[j]),
		c: 0.5 * (c + 3*s*d + e.c[j]),
		d: 0.5 * (d + e.d[j]),
	}
}

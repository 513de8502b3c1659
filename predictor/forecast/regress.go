package forecast

import "math"

// A regression forecasts z[t+h]-z[t] by robust ridge regressions on what is known at t: recent samples and levels, the same
// slots of earlier days and weeks, seasonal profiles, the forecasts of the smoothers, known inputs. Some horizons ("nodes") have
// coefficients of their own, those between them interpolate. The normal equations forget exponentially. Parts of the day may
// have equations of their own, leaning on those of the whole day.
type regression struct {
	opt     regressionOptions
	view    *view
	known   *inputs
	p       int
	horizon int
	nodes   []int // ascending horizons
	node    []int // horizon-1 -> node at or below
	frac    []float64

	a, b   []float64 // part × node: packed lower triangle of the weighted sum of xxᵀ; of xy
	weight []float64 // part × node: of the newest evidence; grows, so that the sums need not be faded
	mass   []float64 // part × node: sum of weights
	w      []float64 // part × node: coefficients in force
	solved []bool    // part × node

	size []float64 // node × p: running size of each feature; features are clipped at a multiple
	off  []float64 // node: running absolute error

	ring int       // origins kept
	x    []float64 // origin × node × p
	pred []float64 // origin × node
	base []float64 // origin: z
	ok   []bool    // origin × node: x and pred hold

	next             int // node to solve next
	row, common      []float64
	l, y, sumA, sumB []float64
	longest          int
}

type regressionOptions struct {
	lags   int     // z[t-1]-z[t] … z[t-lags]-z[t]
	levels []int   // indices of levelRates
	days   int     // how many of the seasons are used by their lags
	both   bool    // the slot one day before last week's: a day's departure from its week
	prof   []int   // profiles of the view
	smooth bool    // the bank of smoothers
	inputs bool    // known inputs
	memory float64 // samples
	ridge  float64 // samples' worth of evidence for 0
	parts  int     // of the day
	start  int     // first origin that is learnt from
	thin   int     // a node learns from every thin-th origin
}

const (
	hubers    = 3  // an error beyond this multiple of the typical one counts as if it were that
	clip      = 8  // so does a feature
	partLean  = 50 // samples' worth of evidence for the coefficients of the whole day
	sizeRate  = 0.003
	errorRate = 0.01
)

func newRegression(v *view, known *inputs, horizon int, o regressionOptions) *regression {
	o.parts = max(1, o.parts)
	o.thin = max(1, o.thin)
	p := 1 + o.lags + len(o.levels) + 4*o.days + 2*len(o.prof)
	if o.both {
		p += 2
	}
	if o.smooth {
		p += len(v.smooth)
	}
	if o.inputs {
		p += 2 * known.k
	}
	r := &regression{opt: o, view: v, known: known, p: p, horizon: horizon, ring: horizon + 1}
	for h := 1; h < horizon; h += max(1, h/2) {
		r.nodes = append(r.nodes, h)
	}
	r.nodes = append(r.nodes, horizon)
	n := len(r.nodes)
	r.node = make([]int, horizon)
	r.frac = make([]float64, horizon)
	for h := 1; h <= horizon && n > 1; h++ {
		i := 0
		for i+2 < n && r.nodes[i+1] <= h {
			i++
		}
		r.node[h-1] = i
		r.frac[h-1] = float64(h-r.nodes[i]) / float64(r.nodes[i+1]-r.nodes[i])
	}
	tri := p * (p + 1) / 2
	g := o.parts * n
	r.a, r.b, r.w = make([]float64, g*tri), make([]float64, g*p), make([]float64, g*p)
	r.weight, r.mass, r.solved = make([]float64, g), make([]float64, g), make([]bool, g)
	for i := range r.weight {
		r.weight[i] = 1
	}
	r.size, r.off = make([]float64, n*p), make([]float64, n)
	r.x, r.pred = make([]float64, r.ring*n*p), make([]float64, r.ring*n)
	r.base, r.ok = make([]float64, r.ring), make([]bool, r.ring*n)
	r.row, r.common = make([]float64, p), make([]float64, 0, p)
	r.l, r.y = make([]float64, tri), make([]float64, p)
	r.sumA, r.sumB = make([]float64, tri), make([]float64, p)
	r.longest = o.lags
	for _, m := range v.seasons[:o.days] {
		r.longest = max(r.longest, m+2)
	}
	if o.both {
		r.longest = max(r.longest, v.seasons[0]+v.seasons[len(v.seasons)-1]+1)
	}
	for _, i := range o.prof {
		r.longest = max(r.longest, len(v.profiles[i].v))
	}
	r.longest = max(r.longest, o.start)
	return r
}

// part is the part of the day that index t falls into.
func (r *regression) part(t int) int {
	if r.opt.parts == 1 {
		return 0
	}
	m := r.view.seasons[0]
	return t % m * r.opt.parts / m
}

// due says whether node i learns from the forecast made at origin o.
func (r *regression) due(i, o int) bool {
	return r.opt.thin == 1 || (o+2*r.nodes[i])%r.opt.thin == 0
}

// learn takes the newest sample of the view.
func (r *regression) learn() {
	t := r.view.n - 1
	z := r.view.at(t)
	p := r.p
	tri := p * (p + 1) / 2
	n := len(r.nodes)
	grow := 1 / (1 - float64(r.opt.parts)/r.opt.memory)
	for i, h := range r.nodes {
		o := t - h
		if o < 0 {
			break
		}
		s := o % r.ring
		if !r.ok[s*n+i] || !r.due(i, o) {
			continue
		}
		x := r.x[(s*n+i)*p:][:p]
		d := z - r.base[s]
		e := math.Abs(z - r.pred[s*n+i])
		wt := 1.0
		if r.off[i] > 0 {
			if lim := hubers * r.off[i]; e > lim {
				wt = lim / e
			}
			r.off[i] += errorRate * (min(e, 5*r.off[i]) - r.off[i])
		} else {
			r.off[i] = e
		}
		size := r.size[i*p:][:p]
		for j, v := range x {
			if v = math.Abs(v); size[j] == 0 {
				size[j] = v
			} else {
				size[j] += sizeRate * (min(v, 5*size[j]) - size[j])
			}
		}
		g := r.part(t)*n + i
		wt *= r.weight[g]
		r.mass[g] += wt
		a, b := r.a[g*tri:][:tri], r.b[g*p:][:p]
		k := 0
		for j, xj := range x {
			v := wt * xj
			b[j] += v * d
			row := a[k : k+j+1]
			for m, xm := range x[:len(row)] {
				row[m] += v * xm
			}
			k += j + 1
		}
		if r.weight[g] *= grow; r.weight[g] > 1e6 {
			c := 1 / r.weight[g]
			for j := range a {
				a[j] *= c
			}
			for j := range b {
				b[j] *= c
			}
			r.mass[g] *= c
			r.weight[g] = 1
		}
	}
}

// renew solves one node's equations in turn. Equations of a part of the day that a node has just entered are solved at once.
func (r *regression) renew(turn bool) {
	t := r.view.n - 1
	if r.opt.parts > 1 {
		for i, h := range r.nodes {
			if p := r.part(t + h); p != r.part(t+h-1) {
				r.solve(i, p)
			}
		}
	}
	if turn {
		r.solve(r.next, r.part(t+r.nodes[r.next]))
		r.next = (r.next + 1) % len(r.nodes)
	}
}

// solve renews the coefficients of node i in a part of the day.
func (r *regression) solve(i, part int) {
	p := r.p
	tri := p * (p + 1) / 2
	n := len(r.nodes)
	g := part*n + i
	a, b := r.a[g*tri:][:tri], r.b[g*p:][:p]
	weight, mass := r.weight[g], r.mass[g]/r.weight[g]
	if r.opt.parts > 1 {
		clear(r.sumA)
		clear(r.sumB)
		total := 0.0
		for k := i; k < r.opt.parts*n; k += n {
			c := 1 / r.weight[k]
			total += c * r.mass[k]
			addScaled(r.sumA, c, r.a[k*tri:][:tri])
			addScaled(r.sumB, c, r.b[k*p:][:p])
		}
		if total == 0 {
			return
		}
		lean := partLean / total
		for j, v := range a {
			r.sumA[j] = lean*r.sumA[j] + v/weight
		}
		for j, v := range b {
			r.sumB[j] = lean*r.sumB[j] + v/weight
		}
		a, b = r.sumA, r.sumB
		weight = 1
		if total < float64(p) {
			return
		}
		mass += min(partLean, total)
	} else if mass < float64(p) {
		return
	}
	w := r.w[g*p:][:p]
	ridgeSolve(a, b, r.opt.ridge/mass+1e-9, 1e-12*weight, r.l, r.y, w)
	for _, v := range w {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			clear(w)
			return
		}
	}
	r.solved[g] = true
}

func addScaled(dst []float64, c float64, src []float64) {
	for i, v := range src[:len(dst)] {
		dst[i] += c * v
	}
}

// prepare stores, from the newest sample as origin, the features that learn will need, and nothing else.
func (r *regression) prepare() {
	if !r.begin() {
		return
	}
	t := r.view.n - 1
	n := len(r.nodes)
	s := t % r.ring
	for i, h := range r.nodes {
		if r.due(i, t) {
			x := r.x[(s*n+i)*r.p:][:r.p]
			r.features(h, i, x)
			r.pred[s*n+i] = r.eval(h, x)
			r.ok[s*n+i] = true
		}
	}
}

// predict writes forecasts from the newest sample, in the scale of the view. It reports false as long as it has learnt too
// little; dst is then not to be used.
func (r *regression) predict(dst []float64) bool {
	if !r.begin() {
		return false
	}
	t := r.view.n - 1
	n := len(r.nodes)
	s := t % r.ring
	ready := true
	i := 0
	for h := 1; h <= r.horizon; h++ {
		if h == r.nodes[i] {
			x := r.x[(s*n+i)*r.p:][:r.p]
			r.features(h, i, x)
			dst[h-1] = r.eval(h, x)
			r.pred[s*n+i] = dst[h-1]
			r.ok[s*n+i] = true
			ready = ready && r.solved[r.part(t+h)*n+i]
			i++
		} else {
			r.features(h, r.node[h-1], r.row)
			dst[h-1] = r.eval(h, r.row)
		}
	}
	return ready
}

// begin gathers what all horizons have in common; false if the longest lag is not there yet.
func (r *regression) begin() bool {
	v := r.view
	t := v.n - 1
	s := t % r.ring
	n := len(r.nodes)
	clear(r.ok[s*n:][:n])
	if t < r.longest {
		return false
	}
	z := v.at(t)
	r.base[s] = z
	c := append(r.common[:0], v.step)
	for k := 1; k <= r.opt.lags; k++ {
		c = append(c, v.at(t-k)-z)
	}
	for _, i := range r.opt.levels {
		c = append(c, v.levels[i]-z)
	}
	r.common = c
	return true
}

// features fills x for horizon h, clipped by the sizes of a node.
func (r *regression) features(h, node int, x []float64) {
	v := r.view
	t := v.n - 1
	z := v.at(t)
	k := copy(x, r.common)
	for _, m := range v.seasons[:r.opt.days] {
		to := v.earlier(t+h, m)
		o := to - h
		if o < 1 {
			o = 1
		}
		x[k] = v.at(to) - v.at(o)
		x[k+1] = v.at(o) - z
		x[k+2] = v.at(o-1) - z
		x[k+3] = (v.at(to-1)+v.at(min(to+1, t)))/2 - v.at(to)
		k += 4
	}
	if r.opt.both {
		x[k], x[k+1] = 0, 0
		if m := v.seasons[0] + v.seasons[len(v.seasons)-1]; h <= m {
			x[k] = v.at(t+h-m) - v.at(t-m)
			x[k+1] = v.at(t-m) - z
		}
		k += 2
	}
	for _, i := range r.opt.prof {
		now := v.profiles[i].at(t)
		x[k] = v.profiles[i].at(t+h) - now
		x[k+1] = now - z
		k += 2
	}
	if r.opt.smooth {
		for _, a := range v.ahead {
			x[k] = a[h-1] - z
			k++
		}
	}
	size := r.size[node*r.p:][:k]
	for j, f := range x[:k] {
		if lim := clip * size[j]; lim > 0 {
			if f > lim {
				x[j] = lim
			} else if f < -lim {
				x[j] = -lim
			}
		}
	}
	if r.opt.inputs { // rare events are no outliers: not clipped
		now, then := r.known.at(0), r.known.at(h)
		for j := range now {
			x[k] = (then[j] - now[j]) * v.step
			x[k+1] = then[j] * v.step
			k += 2
		}
	}
}

func (r *regression) eval(h int, x []float64) float64 {
	t := r.view.n - 1
	g := r.part(t+h)*len(r.nodes) + r.node[h-1]
	w := r.w[g*r.p:][:len(x)]
	s := 0.0
	if c := r.frac[h-1]; c == 0 {
		for j, v := range x {
			s += w[j] * v
		}
	} else {
		u := r.w[(g+1)*r.p:][:len(x)]
		a, b := 0.0, 0.0
		for j, v := range x {
			a += w[j] * v
			b += u[j] * v
		}
		s = a + c*(b-a)
	}
	return r.view.at(t) + s
}

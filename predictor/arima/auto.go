package arima

import (
	"fmt"
	"math"
	"slices"
)

// Auto chooses the order and fits it.
//
// D is 1 when SeasonalStrength is above 0.64, d is Differences of what is left, as
// Hyndman and Khandakar (2008) do. The other orders and the constant minimise AICc. The
// search goes from the best models to their neighbours until the best three have been
// looked at from all sides; every candidate is fitted by exact likelihood, the best
// ones from several starts. Candidates with a root closer to the unit circle than
// 1.001 are refused.
//
// A series that is explained exactly (constant, linear, one sample) gives a model
// without ARMA terms, Sigma2 = 0 and LogLik = +Inf. Errors as of Fit; a Season beyond
// MaxLag is ErrSeason.
func Auto(y []float64, o Options) (*Model, error) {
	first, last, err := check(y, o.XReg)
	if err != nil {
		return nil, err
	}
	m := o.Season
	if m < 0 || m > MaxLag {
		return nil, fmt.Errorf("%w: season %d, at most %d", ErrSeason, m, MaxLag)
	}
	n := last - first + 1
	if m < 2 || n < m+2 {
		m = 0
	}
	d, sd, err := differences(y[first:last+1], o, first, m)
	if err != nil {
		return nil, err
	}
	s, err := newSeries(y, o.XReg, d, sd, m, !o.NoConstant)
	if err != nil {
		return nil, err
	}
	a := &auto{s: s, base: Order{D: d, SD: sd, Season: m}, seen: map[candidateKey]*candidate{}}
	if s.exact(s.nconst > 0) {
		return exactModel(y, s, a.with(0, 0, 0, 0), o, s.nconst > 0), nil
	}
	a.limits(o)
	best := a.search()
	if best == nil {
		return nil, fmt.Errorf("%w: no order can be fitted", ErrShort)
	}
	if best.fit.cheap != nil {
		best.fit.polish(best.fit.u)
	}
	return best.fit.model(y, o), nil
}

// differences are d and D, told from what regression leaves of the samples.
func differences(y []float64, o Options, first, m int) (d, sd int, err error) {
	x := y
	if len(o.XReg) > 0 {
		s, err := newSeries(y, o.XReg[first:first+len(y)], 0, 0, 0, true)
		if err != nil {
			return 0, 0, err
		}
		x = slices.Clone(s.detrended(true))
		for t, v := range y {
			if math.IsNaN(v) {
				x[t] = v
			}
		}
	}
	if m > 1 && len(x) > 2*m && !o.NoSeasonalDiff && SeasonalStrength(x, m) > seasonalDiff {
		sd = 1
		diff := make([]float64, len(x)-m)
		for t := range diff {
			diff[t] = x[t+m] - x[t]
		}
		if len(present(diff)) == 0 {
			return Differences(x), 0, nil
		}
		x = diff
	}
	return Differences(x), sd, nil
}

type candidateKey struct {
	order    Order
	constant bool
}

type candidate struct {
	candidateKey
	fit      *fitting
	aicc     float64
	expanded bool // its neighbours have been tried
	refined  bool // fitted from several starts
}

type auto struct {
	s      *series
	base   Order
	limit  Order // of p, q, P, Q
	seen   map[candidateKey]*candidate
	ranked []*candidate // by AICc, those that can be fitted
}

func (a *auto) with(p, q, sp, sq int) Order {
	o := a.base
	o.P, o.Q, o.SP, o.SQ = p, q, sp, sq
	return o
}

// limits bounds the orders by the options, by the number of samples and, for long
// seasons, by MaxLag.
func (a *auto) limits(o Options) {
	or := func(v, otherwise int) int {
		if v <= 0 {
			v = otherwise
		}
		return min(v, MaxOrder)
	}
	n := a.s.nobs + len(a.s.delta) // as R counts
	l := &a.limit
	l.P, l.Q = min(or(o.MaxP, 5), n/3), min(or(o.MaxQ, 5), n/3)
	if m := a.base.Season; m > 1 {
		l.SP, l.SQ = min(or(o.MaxSP, 2), n/3/m), min(or(o.MaxSQ, 2), n/3/m)
		if l.SP+l.SQ > 0 { // a lag has one parameter
			l.P, l.Q = min(l.P, m-1), min(l.Q, m-1)
		}
		l.SP, l.SQ = min(l.SP, (MaxLag-l.P)/m), min(l.SQ, (MaxLag-l.Q)/m)
	}
}

func (a *auto) allowed(o Order) bool {
	l := a.limit
	return o.P >= 0 && o.Q >= 0 && o.SP >= 0 && o.SQ >= 0 && o.P <= l.P && o.Q <= l.Q && o.SP <= l.SP && o.SQ <= l.SQ
}

// Bounds of the search.
const (
	beam       = 6   // models whose neighbours are all tried
	dearBeam   = 3   // the same where the likelihood is not cheap
	maxModels  = 300 // candidates
	worth      = 4.0 // AICc above the best within which a candidate is worth several starts
	nearCircle = 1.001
	cheapSweep = 5000 // samples times states up to which all small orders are tried
	maxWork    = 6e7  // of the search, in samples times states times evaluations
)

func (a *auto) search() *candidate {
	constants := []bool{false}
	if a.s.nconst > 0 {
		constants = []bool{true, false}
	}
	l := a.limit
	for _, c := range constants {
		a.try(a.with(min(2, l.P), min(2, l.Q), min(1, l.SP), min(1, l.SQ)), c, nil)
		a.try(a.with(0, 0, 0, 0), c, nil)
		a.try(a.with(min(1, l.P), 0, min(1, l.SP), 0), c, nil)
		a.try(a.with(0, min(1, l.Q), 0, min(1, l.SQ)), c, nil)
	}
	a.sweep(constants)
	for {
		if c := a.next(); c != nil {
			a.expand(c)
			continue
		}
		if !a.refine() {
			break
		}
	}
	if len(a.ranked) == 0 {
		return nil
	}
	return a.ranked[0]
}

// sweep tries all orders of at most five parameters where that costs little.
func (a *auto) sweep(constants []bool) {
	const most = 5
	l := a.limit
	largest := a.with(min(l.P, most), min(l.Q, most), l.SP, l.SQ).states()
	if a.s.nobs*largest > cheapSweep || a.s.nreg-a.s.nconst > 2 {
		return
	}
	for p := range min(l.P, most) + 1 {
		for q := range min(l.Q, most-p) + 1 {
			for sp := range min(l.SP, most-p-q) + 1 {
				for sq := range min(l.SQ, most-p-q-sp) + 1 {
					for _, c := range constants {
						a.try(a.with(p, q, sp, sq), c, nil)
					}
				}
			}
		}
	}
}

// next is the best candidate of the beam whose neighbours are not all tried.
func (a *auto) next() *candidate {
	if len(a.seen) >= maxModels || a.work() > maxWork {
		return nil
	}
	for _, c := range a.ranked[:min(a.beam(), len(a.ranked))] {
		if !c.expanded {
			return c
		}
	}
	return nil
}

// work is what the search has cost so far. It is counted, not timed, so that the
// result does not depend on the machine.
func (a *auto) work() float64 {
	n := float64(a.s.nobs)
	sum := 0.0
	for _, c := range a.ranked {
		sum += float64(c.fit.lik.evals) * n * float64(c.fit.lik.r)
		if c.fit.cheap != nil {
			sum += float64(c.fit.cheap.evals) * min(n, whittleLags) * 5
		}
	}
	return sum
}

// beam is by the best candidate that has parameters.
func (a *auto) beam() int {
	for _, c := range a.ranked {
		if c.fit.cheap != nil {
			return dearBeam
		}
	}
	return beam
}

func (a *auto) expand(c *candidate) {
	c.expanded = true
	if a.s.nconst > 0 {
		a.try(c.order, !c.constant, c)
	}
	for _, step := range [][2]int{{1, 0}, {0, 1}, {-1, 0}, {0, -1}, {1, 1}, {-1, -1}, {1, -1}, {-1, 1}} {
		o := c.order
		o.P += step[0]
		o.Q += step[1]
		a.try(o, c.constant, c)
		o = c.order
		o.SP += step[0]
		o.SQ += step[1]
		a.try(o, c.constant, c)
	}
}

// try fits a candidate roughly, from the parameters of its parent or from Hannan and
// Rissanen's, whichever are better.
func (a *auto) try(o Order, constant bool, parent *candidate) {
	key := candidateKey{o, constant}
	if !a.allowed(o) || a.seen[key] != nil || len(a.seen) >= maxModels {
		return
	}
	c := &candidate{candidateKey: key, aicc: math.Inf(1)}
	a.seen[key] = c
	s := a.s
	k := o.params() + s.nreg
	if !constant {
		k -= s.nconst
	}
	if s.nobs < k+3 { // AICc needs more
		return
	}
	c.fit = newFit(s, o, constant)
	f := c.fit
	var starts [][]float64
	if parent != nil {
		starts = append(starts, adapt(parent.fit.u, parent.order, o))
	}
	if u, ok := s.hannanRissanen(o, constant); ok {
		starts = append(starts, u)
	}
	if len(starts) == 0 {
		starts = append(starts, make([]float64, len(f.u)))
	}
	if f.cheap == nil && len(f.u) > 1 {
		starts = append(starts, f.grid()[0].u)
	}
	if e := f.climb(starts, rough); len(e) > 0 {
		f.keep(e[0])
	}
	a.rank(c)
}

// adapt takes parameters of one order to another: partial autocorrelations of nested
// models are the same.
func adapt(u []float64, from, to Order) []float64 {
	out := make([]float64, to.params())
	a, b, c, d := from.parts(u)
	e, f, g, h := to.parts(out)
	copy(e, a)
	copy(f, b)
	copy(g, c)
	copy(h, d)
	return out
}

// rank sets AICc and puts the candidate to its place.
func (a *auto) rank(c *candidate) {
	a.ranked = slices.DeleteFunc(a.ranked, func(r *candidate) bool { return r == c })
	c.aicc = c.fit.aicc()
	if math.IsInf(c.aicc, 1) || math.IsNaN(c.aicc) {
		return
	}
	at := len(a.ranked)
	for at > 0 && a.ranked[at-1].aicc > c.aicc {
		at--
	}
	a.ranked = slices.Insert(a.ranked, at, c)
}

// aicc is that of the parameters found so far, in the units of the series, +Inf near
// the unit circle.
func (f *fitting) aicc() float64 {
	if math.IsInf(f.value, 1) {
		return f.value
	}
	f.lik.set(f.u)
	ar, ma, sar, sma := f.ord.parts(f.lik.coef)
	for i, c := range [][]float64{ar, ma, sar, sma} {
		c = slices.Clone(c)
		if i%2 == 1 {
			for j := range c {
				c[j] = -c[j]
			}
		}
		root := minRoot(c)
		if i > 1 {
			root = math.Pow(root, 1/float64(f.ord.Season))
		}
		if root < nearCircle {
			return math.Inf(1)
		}
	}
	k := float64(len(f.u) + f.lik.ncol - f.s.nmiss)
	n := float64(f.s.nobs)
	return 2*f.value + 2*k + 2*k*(k+1)/(n-k-1)
}

// refine fits the best candidates from several starts and reports whether there were
// any that had not been.
func (a *auto) refine() bool {
	var todo []*candidate
	for _, c := range a.ranked[:min(a.beam(), len(a.ranked))] {
		if c.aicc < a.ranked[0].aicc+worth && !c.refined {
			todo = append(todo, c)
		}
	}
	for _, c := range todo {
		c.refined = true
		f := c.fit
		if f.cheap == nil {
			f.best([][]float64{slices.Clone(f.u)})
		} else {
			for _, e := range f.climb(f.starts([][]float64{slices.Clone(f.u)}), serious) {
				f.keep(e)
			}
		}
		a.rank(c)
	}
	return len(todo) > 0
}

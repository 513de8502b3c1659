package arima

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Fit estimates a model of the given order by exact maximum likelihood, from
// several starts. y is not kept.
//
// Missing samples (NaN) are left out of the likelihood. A series that the model
// explains exactly (constant, or linear with a drift) gives a model with Sigma2 = 0,
// LogLik = +Inf and coefficients 0. Errors: ErrEmpty, ErrShort, ErrInfinite, ErrOrder,
// ErrSeason, ErrRegressors.
func Fit(y []float64, order Order, o Options) (*Model, error) {
	if err := order.check(); err != nil {
		return nil, err
	}
	if !order.seasonal() {
		order.Season = 0
	}
	s, err := newSeries(y, o.XReg, order.D, order.SD, order.Season, o.Constant)
	if err != nil {
		return nil, err
	}
	if len(y) == 0 {
		return nil, ErrEmpty
	}
	constant := s.nconst > 0
	if need := order.params() + s.nreg + 1; s.nobs < need {
		return nil, fmt.Errorf("%w %v: %d after differencing, at least %d", ErrShort, order, s.nobs, need)
	}
	if s.exact(constant) {
		return exactModel(y, s, order, o, constant), nil
	}
	f := newFit(s, order, constant)
	if !f.best(nil) {
		return nil, fmt.Errorf("%w %v: the likelihood cannot be computed", ErrShort, order)
	}
	return f.model(y, o), nil
}

// exact reports whether only rounding is left of the series after differencing and
// regression.
func (s *series) exact(constant bool) bool {
	limit := 1e-13 * math.Ldexp(1, 2*(s.d+s.sd))
	for _, v := range s.detrended(constant) {
		if math.Abs(v) > limit {
			return false
		}
	}
	return true
}

func exactModel(y []float64, s *series, order Order, o Options, constant bool) *Model {
	f := newFit(s, order, constant)
	f.lik.set(f.u)
	// least squares on the differenced data; the samples are explained whatever
	// the coefficients are
	beta := make([]float64, len(f.lik.beta))
	for c, col := range s.cols[1+s.nmiss : f.lik.ncol] {
		beta[s.nmiss+c] = weighted(s.cols[0], col, nil)
	}
	m := f.assemble(y, o, beta, 0)
	m.LogLik = math.Inf(1)
	m.StdErr = make([]float64, len(m.Coef()))
	m.criteria()
	return m
}

// A fitting is the search for the parameters of one order on one series.
type fitting struct {
	s        *series
	ord      Order
	constant bool
	lik      *likelihood
	search   *search
	cheap    *surrogate // nil where the likelihood is cheap itself
	scout    *search    // of cheap
	u        []float64  // best so far
	value    float64    // minus its log-likelihood
}

func newFit(s *series, o Order, constant bool) *fitting {
	f := &fitting{s: s, ord: o, constant: constant, lik: newLikelihood(o, s, constant), value: math.Inf(1)}
	f.u = make([]float64, o.params())
	f.search = newSearch(len(f.u), f.lik.value)
	f.search.curve = float64(s.nobs)
	if f.cheap = newSurrogate(f.lik, constant); f.cheap != nil {
		f.scout = newSearch(len(f.u), f.cheap.value)
		f.scout.curve = f.search.curve
		f.scout.tol = roughTol
	}
	return f
}

// Gains of log-likelihood that end a search.
const (
	roughTol = 1e-3
	fineTol  = 1e-9
)

// An effort bounds a search.
type effort struct {
	hills int     // of the surrogate from which the likelihood is climbed
	scout int     // iterations on the surrogate
	steps int     // and on the likelihood
	tol   float64 // gain of a step that ends it
}

var (
	thorough = effort{hills: 3, scout: 100, steps: 100, tol: roughTol}
	serious  = effort{hills: 2, scout: 40, steps: 12, tol: roughTol}
	rough    = effort{hills: 1, scout: 25, steps: 2, tol: 10 * roughTol}
)

// best searches from several starts, given ones among them, and reports whether any
// had a likelihood.
func (f *fitting) best(given [][]float64) bool {
	ends := f.climb(f.starts(given), thorough)
	// ends that are near the best may be other hills, or the same
	for i, e := range ends {
		if i > 0 && (e.value > ends[0].value+10*roughTol || near(e.u, ends[0].u)) {
			continue
		}
		f.polish(e.u)
	}
	return len(ends) > 0
}

// polish searches to the end from u.
func (f *fitting) polish(u []float64) {
	u = slices.Clone(u)
	f.search.tol, f.search.steps = fineTol, thorough.steps
	if f.cheap != nil {
		f.search.learn(f.cheap.value, u)
	}
	f.keep(end{u, f.search.run(u)})
}

func (f *fitting) keep(e end) {
	if e.value < f.value {
		f.value = e.value
		copy(f.u, e.u)
	}
}

// climb searches roughly from all starts and returns where it ends, best first. Where
// there is a surrogate, that is climbed, and only from its best hills the likelihood.
func (f *fitting) climb(starts [][]float64, e effort) []end {
	if f.cheap != nil {
		f.scout.steps = e.scout
		starts = distinct(ends(f.scout, starts), e.hills)
		f.search.steps = e.steps
	}
	f.search.tol = e.tol
	var out []end
	for _, u := range starts {
		if f.cheap != nil {
			f.search.learn(f.cheap.value, u)
		}
		out = append(out, ends(f.search, [][]float64{u})...)
	}
	return sorted(out)
}

// ends are where a search arrives from the starts, best first.
func ends(s *search, starts [][]float64) []end {
	var out []end
	for _, u := range starts {
		e := end{u: slices.Clone(u)}
		if e.value = s.run(e.u); !math.IsInf(e.value, 1) {
			out = append(out, e)
		}
	}
	return sorted(out)
}

func sorted(e []end) []end {
	slices.SortStableFunc(e, func(a, b end) int { return cmp.Compare(a.value, b.value) })
	return e
}

// distinct are the parameters of the best ends that are not near each other; at most
// count, and none that is hopeless.
func distinct(ends []end, count int) [][]float64 {
	const hopeless = 20 // of log-likelihood, by a surrogate
	var out [][]float64
	for _, e := range ends {
		same := func(u []float64) bool { return near(u, e.u) }
		if len(out) < count && e.value < ends[0].value+hopeless && !slices.ContainsFunc(out, same) {
			out = append(out, e.u)
		}
	}
	return out
}

type end struct {
	u     []float64
	value float64
}

func near(a, b []float64) bool {
	for i, v := range a {
		if math.Abs(math.Sin(v)-math.Sin(b[i])) > 0.02 {
			return false
		}
	}
	return true
}

// starts are where searches begin: Hannan and Rissanen's estimate, nought, the given
// ones, and the best two of a coarse grid over the first parameter of each group.
func (f *fitting) starts(given [][]float64) [][]float64 {
	k := f.ord.params()
	if k == 0 {
		return [][]float64{nil}
	}
	var out [][]float64
	if u, ok := f.s.hannanRissanen(f.ord, f.constant); ok {
		out = append(out, u)
	}
	out = append(out, given...)
	out = append(out, make([]float64, k))

	if k == 1 {
		return out // the hill is found from anywhere
	}
	for _, g := range f.grid()[:2] {
		out = append(out, g.u)
	}
	return out
}

// grid tries both signs of the first parameter of each group, best first; there are two
// points or more when there is a parameter.
func (f *fitting) grid() []end {
	var heads []int
	at := 0
	for _, n := range []int{f.ord.P, f.ord.Q, f.ord.SP, f.ord.SQ} {
		if n > 0 {
			heads = append(heads, at)
		}
		at += n
	}
	var grid []end
	for bits := range 1 << len(heads) {
		u := make([]float64, len(f.u))
		for i, h := range heads {
			u[h] = 0.7
			if bits>>i&1 == 1 {
				u[h] = -0.7
			}
		}
		grid = append(grid, end{u, f.quick(u)})
	}
	return sorted(grid)
}

// quick is the surrogate if there is one, and the likelihood if not.
func (f *fitting) quick(u []float64) float64 {
	if f.cheap != nil {
		return f.cheap.value(u)
	}
	return f.lik.value(u)
}

// model makes the model of the best parameters.
func (f *fitting) model(y []float64, o Options) *Model {
	l := f.lik
	l.value(f.u)
	s := f.s
	beta, sigma2, loglik := slices.Clone(l.beta), l.sigma2, l.loglik
	m := f.assemble(y, o, beta, sigma2*s.scale*s.scale)
	m.LogLik = loglik - float64(s.nobs)*math.Log(s.scale)
	m.StdErr = f.errors()
	m.criteria()
	return m
}

// assemble makes a model of the coefficients that are set in the likelihood and runs
// its filter over the samples.
func (f *fitting) assemble(y []float64, o Options, beta []float64, sigma2 float64) *Model {
	s, l := f.s, f.lik
	m := &Model{Order: f.ord, HasConstant: f.constant, NObs: s.nobs, Sigma2: sigma2}
	ar, ma, sar, sma := f.ord.parts(slices.Clone(l.coef))
	m.AR, m.MA, m.SAR, m.SMA = slices.Clip(ar), slices.Clip(ma), slices.Clip(sar), sma
	b := s.original(beta[s.nmiss:])
	m.Beta = b
	if f.constant {
		m.Beta, m.Constant = b[:len(b)-1:len(b)-1], b[len(b)-1]
	}
	k := f.ord.params() + len(b)
	m.Sigma2Unbiased = sigma2
	if s.nobs > k {
		m.Sigma2Unbiased = sigma2 * float64(s.nobs) / float64(s.nobs-k)
	}
	// levels to begin with; the missing ones as estimated, and still open
	first, open := make([]float64, len(s.delta)), make([]bool, len(s.delta))
	for t := range first {
		first[t] = s.levels[0][t]
		for c := range s.nmiss {
			if s.levels[1+c][t] != 0 {
				first[t] -= beta[c]
				open[t] = true
			}
		}
		first[t] *= s.scale
	}
	m.run(y, o.XReg, s.lead, l.polys, s.delta, first, open)
	return m
}

// errors are the standard errors of the coefficients, from the Hessian of the
// likelihood in the unconstrained parameters (the coefficients of the regression
// concentrated out) and the delta method.
func (f *fitting) errors() []float64 {
	l := f.lik
	k := len(f.u)
	out := make([]float64, k, k+l.ncol)
	copy(out, f.arma())
	l.value(f.u)
	return append(out, f.regression()...)
}

const maxErrors = 24 // parameters; the Hessian takes twice their square in evaluations

func (f *fitting) arma() []float64 {
	k := len(f.u)
	out := make([]float64, k)
	for i := range out {
		out[i] = math.NaN()
	}
	if k == 0 || k > maxErrors {
		return out
	}
	const h = 1e-3
	u := slices.Clone(f.u)
	at := func(i int, di float64, j int, dj float64) float64 {
		copy(u, f.u)
		u[i] += di
		u[j] += dj
		return f.lik.value(u)
	}
	hess := make([]float64, k*k)
	mid := f.lik.value(f.u)
	for i := range k {
		if math.Abs(math.Cos(f.u[i])) < 2*h {
			return out // the estimate stands at the border
		}
		hess[i*k+i] = (at(i, h, i, 0) - 2*mid + at(i, -h, i, 0)) / (h * h)
		for j := range i {
			hess[i*k+j] = (at(i, h, j, h) - at(i, h, j, -h) - at(i, -h, j, h) + at(i, -h, j, -h)) / (4 * h * h)
		}
	}
	// jacobian of the coefficients
	jac := make([]float64, k*k)
	for j := range k {
		copy(u, f.u)
		u[j] += h
		f.lik.set(u)
		for i, v := range f.lik.coef {
			jac[i*k+j] = v
		}
		u[j] -= 2 * h
		f.lik.set(u)
		for i, v := range f.lik.coef {
			jac[i*k+j] = (jac[i*k+j] - v) / (2 * h)
		}
	}
	work := make([]float64, k*k)
	x := make([]float64, k)
	for i := range k {
		copy(work, hess)
		copy(x, jac[i*k:(i+1)*k])
		if !solve(work, x) {
			continue
		}
		v := 0.0
		for j, g := range x {
			v += g * jac[i*k+j]
		}
		out[i] = math.Sqrt(v)
	}
	return out
}

// regression is for the constant, if any, and then the user's columns. It takes the
// triangle that concentrate has left.
func (f *fitting) regression() []float64 {
	l, s := f.lik, f.s
	first, n := 1+s.nmiss, l.ncol
	k := n - first
	out := make([]float64, k)
	x := make([]float64, k)
	for i := range k { // user's column i is row i of back
		for j := range x {
			x[j] = 0
			if j >= i {
				x[j] = s.back[i*s.nreg+j]
			}
		}
		v := 0.0
		for j := range k { // |L^-1 x|^2
			for q := range j {
				x[j] -= l.gram[(first+j)*n+first+q] * x[q]
			}
			x[j] /= l.gram[(first+j)*n+first+j]
			v += x[j] * x[j]
		}
		out[i] = math.Sqrt(v*l.sigma2) * s.scale
	}
	if f.constant {
		last := out[k-1]
		copy(out[1:], out[:k-1])
		out[0] = last
	}
	return out
}

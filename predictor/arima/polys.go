package arima

// polys are the expanded polynomials of an order at one point of the parameter
// space, dense and sparse, and the second moments that follow from them. All in
// units of sigma2 = 1.
type polys struct {
	ord  Order
	r    int // length of the ARMA state
	nAR  int // longest lag of phi(B)PHI(B^m)
	nMA  int // longest lag of theta(B)THETA(B^m)
	phi  []float64
	th   []float64
	ar   lagPoly
	ma   lagPoly
	arAt []int
	maAt []int

	coef []float64 // AR, MA, SAR, SMA side by side

	// scratch of the second moments
	tri   []float64 // Levinson's predictors of every order up to nAR
	gu    []float64 // autocovariances of 1/phi(B) e_t
	gamma []float64 // of the process, lags 0..nAR
	psi   []float64 // responses to e_t, lags 0..r-1
	auto  []float64 // autocorrelation of the MA coefficients, lags 0..nMA
	col   []float64 // first column of the state's covariance, and a zero
}

func newPolys(o Order) *polys {
	p := &polys{ord: o, r: o.states(), nAR: o.P + o.SP*o.Season, nMA: o.Q + o.SQ*o.Season}
	p.phi = make([]float64, p.r)
	p.th = make([]float64, p.r)
	p.arAt = structure(o.P, o.SP, o.Season)
	p.maAt = structure(o.Q, o.SQ, o.Season)
	p.coef = make([]float64, o.params())
	p.tri = make([]float64, p.nAR*(p.nAR+1)/2)
	p.gu = make([]float64, p.nAR+p.nMA+1)
	p.gamma = make([]float64, p.nAR+1)
	p.psi = make([]float64, p.r)
	p.auto = make([]float64, p.nMA+1)
	p.col = make([]float64, p.r+1)
	return p
}

// parts are the four groups of v, which has one number for each parameter.
func (o Order) parts(v []float64) (ar, ma, sar, sma []float64) {
	ar, v = v[:o.P], v[o.P:]
	ma, v = v[:o.Q], v[o.Q:]
	sar, sma = v[:o.SP], v[o.SP:]
	return ar, ma, sar, sma
}

// set takes unconstrained parameters, arcsines of partial autocorrelations.
func (p *polys) set(u []float64) {
	ar, ma, sar, sma := p.ord.parts(p.coef)
	uar, uma, usar, usma := p.ord.parts(u)
	fromPacf(ar, uar)
	fromPacf(ma, uma)
	fromPacf(sar, usar)
	fromPacf(sma, usma)
	for i := range ma {
		ma[i] = -ma[i]
	}
	for i := range sma {
		sma[i] = -sma[i]
	}
	p.spread()
}

// spread expands coef.
func (p *polys) spread() {
	ar, ma, sar, sma := p.ord.parts(p.coef)
	expand(p.phi, ar, sar, p.ord.Season, -1)
	expand(p.th, ma, sma, p.ord.Season, 1)
	p.ar.gather(p.phi, p.arAt)
	p.ma.gather(p.th, p.maAt)
}

// moments fills gamma and psi. It reports false where the process is not
// stationary to rounding.
//
// The autoregression is taken down to its partial autocorrelations and up again
// (Levinson), which costs the square of its order and keeps its relative precision
// near the unit circle, where solving for the covariance of the state does not.
func (p *polys) moments() bool {
	n := p.nAR
	p.gu[0] = 1
	if n > 0 {
		row := func(k int) []float64 { return p.tri[k*(k-1)/2 : k*(k-1)/2+k] } // predictor of order k
		copy(row(n), p.phi[:n])
		for k := n; k > 0; k-- {
			c := row(k)
			r := c[k-1]
			d := 1 - r*r
			if !(d > 0) {
				return false
			}
			p.gu[0] /= d
			if k > 1 {
				down, f := row(k-1), 1/d
				for i := range down {
					down[i] = (c[i] + r*c[k-2-i]) * f
				}
			}
		}
		left := p.gu[0] // variance of the error of prediction from k-1 samples
		for k := 1; k <= n; k++ {
			r := row(k)[k-1]
			s := r * left
			if k > 1 {
				for i, v := range row(k - 1) {
					s += v * p.gu[k-1-i]
				}
			}
			p.gu[k] = s
			left *= 1 - r*r
		}
	}
	for k := n + 1; k < len(p.gu); k++ {
		s := 0.0
		for i, l := range p.ar.lag {
			s += p.ar.val[i] * p.gu[k-l]
		}
		p.gu[k] = s
	}

	clear(p.auto)
	p.auto[0] = 1
	for i, l := range p.ma.lag {
		v := p.ma.val[i]
		p.auto[l] += v
		for j, k := range p.ma.lag[:i+1] {
			p.auto[l-k] += v * p.ma.val[j]
		}
	}
	for k := range p.gamma {
		s := p.auto[0] * p.gu[k]
		for l := 1; l <= p.nMA; l++ {
			if c := p.auto[l]; c != 0 {
				s += c * (p.gu[k+l] + p.gu[abs(k-l)])
			}
		}
		p.gamma[k] = s
	}

	for k := range p.psi {
		s := 0.0
		switch {
		case k == 0:
			s = 1
		case k <= p.nMA:
			s = p.th[k-1]
		}
		for i, l := range p.ar.lag {
			if l > k {
				break
			}
			s += p.ar.val[i] * p.psi[k-l]
		}
		p.psi[k] = s
	}
	return true
}

func abs(k int) int {
	if k < 0 {
		return -k
	}
	return k
}

// first writes the first column of the stationary covariance of the state
// a_i = sum_{j>=i} (phi_{j+1} y_{t-1-(j-i)} + theta_j e_{t-(j-i)}), by moments.
func (p *polys) first(dst []float64) {
	clear(dst)
	dst[0] = 1 // theta_0
	for i, l := range p.ma.lag {
		v := p.ma.val[i]
		for j := 0; j <= l; j++ {
			dst[j] += v * p.psi[l-j]
		}
	}
	for i, l := range p.ar.lag {
		v := p.ar.val[i]
		for j := range l {
			dst[j] += v * p.gamma[l-j]
		}
	}
}

// covariance fills the stationary covariance of the state, r by r, from its first
// column: P = T P T' + R R' gives every other element from its neighbour down and
// to the right.
func (p *polys) covariance(dst []float64) {
	r := p.r
	col := p.col
	p.first(col[:r])
	at := func(i, j int) float64 {
		if i >= r || j >= r {
			return 0
		}
		return dst[i*r+j]
	}
	resp := func(i int) float64 { // R
		if i == 0 {
			return 1
		}
		return p.th[i-1]
	}
	for i := r - 1; i >= 0; i-- {
		for j := i; j >= 0; j-- {
			v := at(i+1, j+1) + p.phi[i]*col[j+1] + p.phi[j]*col[i+1] + p.phi[i]*p.phi[j]*col[0] + resp(i)*resp(j)
			dst[i*r+j], dst[j*r+i] = v, v
		}
	}
}

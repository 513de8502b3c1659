package arima

import "math"

// run sets the model's filter to the end of y, of which the first lead samples are
// missing and said nothing. first are the levels to begin with, of which the open ones
// are missing.
func (m *Model) run(y []float64, xreg [][]float64, lead int, p *polys, delta, first []float64, open []bool) {
	m.filter = *newFilter(p, delta)
	f := &m.filter
	p.moments()
	f.start(p)
	m.mean, m.ahead = newState(f), newState(f)
	m.row = make([]float64, f.r+len(delta)+1)
	lost := len(delta)
	for t := range lost {
		m.mean.level[lost-1-t] = first[t] - m.regression(row(xreg, lead+t), t)
		if open[t] {
			f.doubt(lost - 1 - t)
		}
	}
	m.now = lost
	for t := lead + lost; t < len(y); t++ {
		m.Update(y[t], row(xreg, t))
	}
}

func row(x [][]float64, t int) []float64 {
	if x == nil {
		return nil
	}
	return x[t]
}

// regression is what constant and regressors contribute at step t.
func (m *Model) regression(x []float64, t int) float64 {
	v := 0.0
	for i, b := range m.Beta {
		v += b * x[i]
	}
	if m.HasConstant {
		if m.Order.D+m.Order.SD > 0 {
			v += m.Constant * float64(t)
		} else {
			v += m.Constant
		}
	}
	return v
}

// Update takes one more sample, of the step after the last one; coefficients stay as
// they are. NaN and infinite samples (and any beyond 1e120) are missing, and so is one whose regressors x
// are not as many finite numbers as Beta has. It returns by how much the sample
// differs from what was expected, and the standard deviation of that; the first is NaN
// when the sample is missing.
//
// It costs O(p+q+m(P+Q)+d+mD), its square for a while after missing samples, and
// allocates nothing.
func (m *Model) Update(y float64, x []float64) (surprise, sd float64) {
	f := &m.filter
	known := math.Abs(y) <= maxSample && checkRow(x, len(m.Beta)) == nil
	f.predict()
	sd = math.Sqrt(m.Sigma2Unbiased * f.f)
	surprise = math.NaN()
	if known {
		y -= m.regression(x, m.now)
		surprise = y - m.mean.expect(f)
	}
	m.mean.step(f, y, surprise, known)
	f.advance(known)
	m.now++
	return surprise, sd
}

// Forecast gives mean and standard deviation of the next h samples. xreg has their
// rows of regressors, when the model has some. The results are NaN where a row is
// missing or does not fit, and empty when h is not positive. Standard deviations do
// not know that the coefficients are estimates.
func (m *Model) Forecast(h int, xreg [][]float64) (mean, sd []float64) {
	h = max(h, 0)
	mean, sd = make([]float64, h), make([]float64, h)
	m.ForecastInto(mean, sd, xreg)
	return mean, sd
}

// ForecastInto is Forecast for len(mean) steps into the caller's slices, of equal
// length, without allocation.
func (m *Model) ForecastInto(mean, sd []float64, xreg [][]float64) {
	f := &m.filter
	s := m.ahead
	copy(s.a, m.mean.a)
	copy(s.level, m.mean.level)
	for t := range mean {
		v := s.expect(f)
		s.step(f, v, 0, false)
		switch {
		case len(m.Beta) == 0:
			v += m.regression(nil, m.now+t)
		case t < len(xreg) && checkRow(xreg[t], len(m.Beta)) == nil:
			v += m.regression(xreg[t], m.now+t)
		default:
			v = math.NaN()
		}
		mean[t] = v
	}
	m.spread(sd)
	for t, v := range mean[:len(sd)] {
		if math.IsNaN(v) {
			sd[t] = v
		}
	}
}

// spread writes the standard deviations: of the noise to come, by the responses to
// it, and of what is not known of the state now.
func (m *Model) spread(sd []float64) {
	f := &m.filter
	r, size := f.r, len(f.gain)
	z := m.row // the row Z T^h, and a zero
	clear(z)
	z[0] = 1
	copy(z[r:], f.delta)
	noise := 0.0
	for t := range sd {
		psi := 0.0
		for i, c := range f.resp[:r] {
			psi += c * z[i]
		}
		noise += psi * psi
		v := noise
		if f.excess {
			n := f.active()
			for i := range n {
				if z[i] == 0 {
					continue
				}
				w := 0.0
				for j, c := range f.d[i*size : i*size+n] {
					w += c * z[j]
				}
				v += z[i] * w
			}
		}
		sd[t] = math.Sqrt(m.Sigma2Unbiased * max(v, 0))
		// z = z T: column i of T
		head := 0.0
		for _, i := range f.arAt {
			head += z[i] * f.phi[i]
		}
		newest := 0.0
		if len(f.delta) > 0 {
			newest = z[r]
			head += newest
			for j, c := range f.delta {
				z[r+j] = z[r+j+1] + c*newest
			}
		}
		copy(z[1:r], z[:r-1])
		z[0] = head
	}
}

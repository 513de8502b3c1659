package arima_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/barrage-im/barrage/predictor/arima"
)

// The oracle is the definition, by dense matrices and without any recursion of the
// package: y is Gaussian, its covariance that of integrated ARMA noise, the levels before
// the first sample have a flat prior. Missing samples are rows that are left out.

type oracle struct {
	loglik, sigma2 float64
	mean, sd       []float64 // of the h steps after y, by sigma2Unbiased
}

func convolve(a, b []float64) []float64 {
	out := make([]float64, len(a)+len(b)-1)
	for i, u := range a {
		for j, v := range b {
			out[i+j] += u * v
		}
	}
	return out
}

// spaced is 1 + sign*c_1 B^step + ...
func spaced(c []float64, step int, sign float64) []float64 {
	if len(c) == 0 {
		return []float64{1}
	}
	out := make([]float64, len(c)*step+1)
	out[0] = 1
	for i, v := range c {
		out[(i+1)*step] = sign * v
	}
	return out
}

// autocovariance sums the responses to noise, until they have died.
func autocovariance(ar, ma []float64, lags int) []float64 {
	const long = 6000
	psi := make([]float64, long)
	for t := range psi {
		if t < len(ma) {
			psi[t] = ma[t]
		}
		for i := 1; i < len(ar) && i <= t; i++ {
			psi[t] -= ar[i] * psi[t-i]
		}
	}
	out := make([]float64, lags)
	for k := range out {
		for t := range long - k {
			out[k] += psi[t] * psi[t+k]
		}
	}
	return out
}

// cholesky of the symmetric a, in place; the lower triangle counts.
func cholesky(a [][]float64) (logdet float64) {
	for j := range a {
		for k := range j {
			a[j][j] -= a[j][k] * a[j][k]
		}
		a[j][j] = math.Sqrt(a[j][j])
		logdet += 2 * math.Log(a[j][j])
		for i := j + 1; i < len(a); i++ {
			for k := range j {
				a[i][j] -= a[i][k] * a[j][k]
			}
			a[i][j] /= a[j][j]
		}
	}
	return logdet
}

// whiten solves L x = b.
func whiten(l [][]float64, b []float64) []float64 {
	x := make([]float64, len(b))
	for i := range b {
		x[i] = b[i]
		for k := range i {
			x[i] -= l[i][k] * x[k]
		}
		x[i] /= l[i][i]
	}
	return x
}

func dot(a, b []float64) float64 {
	s := 0.0
	for i, v := range a {
		s += v * b[i]
	}
	return s
}

// consult evaluates m's coefficients on y, whose regression on xreg and constant they
// hold, and h steps after it.
func consult(m *arima.Model, y []float64, xreg [][]float64, h int) oracle {
	o := m.Order
	season := max(o.Season, 1)
	ar := convolve(spaced(m.AR, 1, -1), spaced(m.SAR, season, -1))
	ma := convolve(spaced(m.MA, 1, 1), spaced(m.SMA, season, 1))
	diff := []float64{1}
	for range o.D {
		diff = convolve(diff, []float64{1, -1})
	}
	for range o.SD {
		diff = convolve(diff, spaced([]float64{1}, season, -1))
	}
	n, ds := len(y), len(diff)-1
	gamma := autocovariance(ar, ma, n+h)

	// row t of level: what y_t is made of, the levels before and the noise up to t
	level := make([][]float64, n+h)
	for t := range level {
		level[t] = make([]float64, ds+n+h)
		level[t][ds+t] = 1
		for j := 1; j <= ds; j++ {
			if t-j >= 0 {
				for i, v := range level[t-j] {
					level[t][i] -= diff[j] * v
				}
			} else {
				level[t][j-t-1] -= diff[j]
			}
		}
	}
	rows := make([][]float64, n+h) // level times Gamma
	for t := range rows {
		rows[t] = make([]float64, n+h)
		for j := range n + h {
			for i := range t + 1 {
				rows[t][j] += level[t][ds+i] * gamma[max(i-j, j-i)]
			}
		}
	}
	cov := func(s, t int) float64 { return dot(rows[s], level[t][ds:]) }

	regress := func(t int) float64 {
		v := 0.0
		if m.HasConstant {
			v = m.Constant
			if o.D+o.SD > 0 {
				v *= float64(t)
			}
		}
		if xreg != nil {
			v += dot(m.Beta, xreg[t])
		}
		return v
	}

	var there []int
	for t, v := range y {
		if !math.IsNaN(v) {
			there = append(there, t)
		}
	}
	v := make([][]float64, len(there))
	data := make([]float64, len(there))
	for i, s := range there {
		v[i] = make([]float64, len(there))
		for j := range i + 1 {
			v[i][j] = cov(s, there[j])
		}
		data[i] = y[s] - regress(s)
	}
	logdet := cholesky(v)
	data = whiten(v, data)
	drift := make([][]float64, ds) // columns of the flat prior, whitened
	for k := range drift {
		col := make([]float64, len(there))
		for i, s := range there {
			col[i] = level[s][k]
		}
		drift[k] = whiten(v, col)
	}
	info := make([][]float64, ds)
	for i := range info {
		info[i] = make([]float64, ds)
		for j := range i + 1 {
			info[i][j] = dot(drift[i], drift[j])
		}
	}
	logdet += cholesky(info)
	b := make([]float64, ds)
	for k := range b {
		b[k] = dot(drift[k], data)
	}
	b = whiten(info, b)
	nobs := float64(len(there) - ds)
	var out oracle
	out.sigma2 = (dot(data, data) - dot(b, b)) / nobs
	out.loglik = -0.5*nobs*(math.Log(2*math.Pi*out.sigma2)+1) - 0.5*logdet

	// kriging with the flat levels
	for t := n; t < n+h; t++ {
		c := make([]float64, len(there))
		for i, s := range there {
			c[i] = cov(s, t)
		}
		c = whiten(v, c)
		mean, variance := regress(t)+dot(c, data), cov(t, t)-dot(c, c)
		left := make([]float64, ds)
		for k := range left {
			left[k] = level[t][k] - dot(drift[k], c)
		}
		left = whiten(info, left)
		mean += dot(left, b)
		variance += dot(left, left)
		out.mean = append(out.mean, mean)
		out.sd = append(out.sd, math.Sqrt(variance*m.Sigma2Unbiased))
	}
	return out
}

type oracleCase struct {
	order    arima.Order
	constant bool
	xreg     bool
	missing  float64 // share
	n        int
}

func (c oracleCase) String() string {
	return fmt.Sprintf("%v constant=%v xreg=%v missing=%v n=%d", c.order, c.constant, c.xreg, c.missing, c.n)
}

var oracleCases = []oracleCase{
	{arima.Order{}, true, false, 0, 30},
	{arima.Order{P: 1}, true, false, 0, 30},
	{arima.Order{Q: 2}, false, false, 0, 40},
	{arima.Order{P: 2, Q: 1}, true, true, 0, 60},
	{arima.Order{P: 1, D: 1, Q: 1}, true, false, 0, 60},
	{arima.Order{P: 3, D: 2, Q: 2}, false, false, 0, 70},
	{arima.Order{P: 1, Q: 1, SP: 1, SD: 1, SQ: 1, Season: 4}, true, false, 0, 70},
	{arima.Order{D: 1, Q: 1, SD: 1, SQ: 1, Season: 7}, false, true, 0, 80},
	{arima.Order{P: 1, SP: 2, Season: 5}, true, false, 0, 80},
	// few missing: a column each
	{arima.Order{P: 2, Q: 1}, true, false, 0.05, 50},
	{arima.Order{P: 1, D: 1, Q: 1}, true, true, 0.04, 60},
	{arima.Order{P: 1, D: 1, SD: 1, SQ: 1, Season: 6}, false, false, 0.15, 70},
	{arima.Order{P: 1, SP: 1, SD: 1, Season: 12}, true, false, 0.2, 80},
	// many missing: the filter of gaps
	{arima.Order{P: 2, Q: 2}, true, false, 0.4, 60},
	{arima.Order{P: 1, D: 1, Q: 1}, false, true, 0.3, 80},
	{arima.Order{P: 2, D: 2, Q: 1}, false, false, 0.3, 80},
	{arima.Order{Q: 1, SD: 1, SQ: 1, Season: 3}, true, false, 0.4, 70},
	{arima.Order{P: 1, D: 1, Q: 1, SP: 1, SD: 1, SQ: 1, Season: 4}, false, false, 0.45, 80},
}

// sample is noise with some memory, a trend, regressors and gaps.
func (c oracleCase) sample(seed uint64) (y []float64, xreg [][]float64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	level, z, e1 := 50.0, 0.0, 0.0
	for t := range c.n {
		e := rng.NormFloat64()
		z = 0.6*z + e + 0.4*e1
		e1 = e
		v := z
		if c.order.D+c.order.SD > 0 {
			level += 0.3 + 0.5*rng.NormFloat64()
			v += level
		}
		if s := c.order.Season; s > 1 {
			v += 3 * math.Sin(2*math.Pi*float64(t)/float64(s))
		}
		if c.xreg {
			row := []float64{rng.NormFloat64(), float64(t*t) / 1000}
			xreg = append(xreg, row)
			v += 2*row[0] - row[1]
		}
		if rng.Float64() < c.missing && t > 0 {
			v = nan
		}
		y = append(y, v)
	}
	if c.missing > 0 { // also where differencing begins
		y[1] = nan
	}
	return y, xreg
}

func close2(a, b, tol float64) bool { return math.Abs(a-b) <= tol*max(1, math.Abs(b)) }

func TestLikelihoodAndForecastsAreThoseOfTheDefinition(t *testing.T) {
	for i, c := range oracleCases {
		for seed := range uint64(3) {
			y, xreg := c.sample(100*uint64(i) + seed)
			m, err := arima.Fit(y, c.order, arima.Options{Constant: c.constant, XReg: xreg})
			if err != nil {
				t.Errorf("%v: %v", c, err)
				continue
			}
			const h = 9
			var ahead [][]float64
			if c.xreg {
				for k := range h {
					ahead = append(ahead, []float64{float64(k), 1})
				}
			}
			want := consult(m, y, append(xreg[:len(xreg):len(xreg)], ahead...), h)
			if !close2(m.LogLik, want.loglik, 1e-7) || !close2(m.Sigma2, want.sigma2, 1e-6) {
				t.Errorf("%v: log-likelihood %.9f, sigma2 %.9f; by definition %.9f, %.9f", c, m.LogLik, m.Sigma2, want.loglik, want.sigma2)
			}
			mean, sd := m.Forecast(h, ahead)
			for k := range mean {
				// levels that are missing in front are taken for known in the filter
				if !close2(mean[k], want.mean[k], 1e-4) || !close2(sd[k], want.sd[k], 1e-3) {
					t.Errorf("%v: step %d: %.7f ± %.7f, by definition %.7f ± %.7f", c, k+1, mean[k], sd[k], want.mean[k], want.sd[k])
					break
				}
			}
		}
	}
}

// No coefficient can be moved to where the definition's likelihood is higher.
func TestEstimatesAreAMaximum(t *testing.T) {
	for i, c := range oracleCases {
		y, xreg := c.sample(100 * uint64(i))
		m, err := arima.Fit(y, c.order, arima.Options{Constant: c.constant, XReg: xreg})
		if err != nil {
			t.Errorf("%v: %v", c, err)
			continue
		}
		best := consult(m, y, xreg, 0).loglik
		move := func(name string, at *float64, by float64) {
			old := *at
			*at += by
			if moved := consult(m, y, xreg, 0).loglik; moved > best+1e-6 {
				t.Errorf("%v: %s %f: log-likelihood %.8f, moved by %g %.8f", c, name, old, best, by, moved)
			}
			*at = old
		}
		for _, by := range []float64{-1e-3, 1e-3} {
			for name, group := range map[string][]float64{"ar": m.AR, "ma": m.MA, "sar": m.SAR, "sma": m.SMA, "beta": m.Beta} {
				for k := range group {
					move(fmt.Sprint(name, k+1), &group[k], by)
				}
			}
			if m.HasConstant {
				move("constant", &m.Constant, by*0.1)
			}
		}
	}
}

// Samples that come one at a time leave the model where the definition has it.
func TestUpdateContinues(t *testing.T) {
	for i, c := range oracleCases {
		y, xreg := c.sample(100*uint64(i) + 50)
		c.n += 25
		more, moreX := c.sample(100*uint64(i) + 50)
		c.n -= 25
		all := append(y[:c.n:c.n], more[c.n:]...)
		var allX [][]float64
		if c.xreg {
			allX = append(xreg[:c.n:c.n], moreX[c.n:]...)
		}
		m, err := arima.Fit(y, c.order, arima.Options{Constant: c.constant, XReg: xreg})
		if err != nil {
			t.Errorf("%v: %v", c, err)
			continue
		}
		for s := c.n; s < len(all); s++ {
			var x []float64
			if c.xreg {
				x = allX[s]
			}
			one, sd1 := m.Forecast(1, [][]float64{x})
			surprise, sd := m.Update(all[s], x)
			if sd != sd1[0] || !math.IsNaN(all[s]) && !close2(surprise, all[s]-one[0], 1e-9) {
				t.Errorf("%v: surprise %f ± %f at a sample %f that was forecast as %f ± %f", c, surprise, sd, all[s], one[0], sd1[0])
			}
		}
		const h = 6
		var ahead [][]float64
		if c.xreg {
			for range h {
				ahead = append(ahead, []float64{1, 2})
			}
		}
		want := consult(m, all, append(allX, ahead...), h)
		mean, sd := m.Forecast(h, ahead)
		for k := range mean {
			if !close2(mean[k], want.mean[k], 1e-4) || !close2(sd[k], want.sd[k], 1e-3) {
				t.Errorf("%v: step %d: %.7f ± %.7f, by definition %.7f ± %.7f", c, k+1, mean[k], sd[k], want.mean[k], want.sd[k])
				break
			}
		}
	}
}

func TestUpdateAndForecastDoNotAllocate(t *testing.T) {
	for _, c := range []oracleCase{oracleCases[4], oracleCases[6], oracleCases[17]} {
		y, _ := c.sample(1)
		m, err := arima.Fit(y, c.order, arima.Options{Constant: c.constant})
		if err != nil {
			t.Fatal(err)
		}
		mean, sd := make([]float64, 15), make([]float64, 15)
		i := 0
		n := testing.AllocsPerRun(200, func() {
			v := y[i%len(y)]
			if i%17 == 3 {
				v = nan
			}
			m.Update(v, nil)
			m.ForecastInto(mean, sd, nil)
			i++
		})
		if n != 0 {
			t.Errorf("%v: %v allocations", c, n)
		}
	}
}

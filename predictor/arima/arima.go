// Package arima fits ARIMA and multiplicative seasonal ARIMA models by exact
// Gaussian likelihood, chooses their order, forecasts, and takes new samples
// one at a time. Missing samples are NaN anywhere in a series.
//
// The model of y, observed at equal steps, is
//
//	phi(B) PHI(B^m) (1-B)^d (1-B^m)^D (y_t - x_t'beta) = theta(B) THETA(B^m) e_t
//
// with phi(B) = 1 - phi_1 B - ..., theta(B) = 1 + theta_1 B + ..., e_t white
// with variance sigma2, and x_t the regressors and the constant: a mean when
// d+D = 0, a drift per step when d+D = 1.
//
// The likelihood is that of the differenced data; where samples are missing,
// that of the samples which are there, given a flat prior for the first d+mD.
// It is what a state space with exactly diffuse levels gives. Beta and sigma2
// are concentrated out.
//
// Long seasons (a day of minutes) are no polynomial: Fit and Auto refuse them
// with ErrSeason. Use Fourier as regressors, or take the season out before.
//
// The package is pure: no clock, no I/O, no goroutine, no randomness.
package arima

import (
	"errors"
	"fmt"
	"math"
)

// Limits. What is beyond them is refused before anything is allocated.
const (
	MaxLag        = 400 // longest lag of an expanded polynomial or of the differencing; the state grows with it
	MaxOrder      = 40  // of p, q, P, Q each
	MaxDiff       = 3   // of d and of D
	MaxRegressors = 200 // columns of XReg
	MaxLen        = 1 << 22
)

// What Fit and Auto refuse. The error's text says which number.
var (
	ErrEmpty      = errors.New("arima: no sample that is a number")
	ErrShort      = errors.New("arima: too few samples for the order")
	ErrInfinite   = errors.New("arima: infinite or too large sample or regressor")
	ErrOrder      = errors.New("arima: order out of range")
	ErrSeason     = errors.New("arima: season too long for a polynomial; use Fourier terms as regressors")
	ErrRegressors = errors.New("arima: regressors do not fit")
)

// Order is (p,d,q)(P,D,Q)m. Season is m in steps; it may be 0 or 1 when P, D
// and Q are 0.
type Order struct {
	P, D, Q    int // autoregressive, differences, moving average
	SP, SD, SQ int // the same at multiples of the season
	Season     int
}

func (o Order) String() string {
	if o.seasonal() {
		return fmt.Sprintf("(%d,%d,%d)(%d,%d,%d)%d", o.P, o.D, o.Q, o.SP, o.SD, o.SQ, o.Season)
	}
	return fmt.Sprintf("(%d,%d,%d)", o.P, o.D, o.Q)
}

func (o Order) seasonal() bool { return o.SP+o.SD+o.SQ > 0 }

func (o Order) params() int { return o.P + o.Q + o.SP + o.SQ }

// lost is how many samples differencing takes.
func (o Order) lost() int { return o.D + o.SD*o.Season }

// states is the length of the ARMA part of the state.
func (o Order) states() int {
	return max(o.P+o.SP*o.Season, o.Q+o.SQ*o.Season+1)
}

func (o Order) check() error {
	for _, v := range []int{o.P, o.Q, o.SP, o.SQ} {
		if v < 0 || v > MaxOrder {
			return fmt.Errorf("%w: %v: p, q, P and Q are 0 to %d", ErrOrder, o, MaxOrder)
		}
	}
	for _, v := range []int{o.D, o.SD} {
		if v < 0 || v > MaxDiff {
			return fmt.Errorf("%w: %v: d and D are 0 to %d", ErrOrder, o, MaxDiff)
		}
	}
	if o.seasonal() {
		if o.Season < 2 {
			return fmt.Errorf("%w: %v: a season has 2 steps or more", ErrOrder, o)
		}
		if o.Season > MaxLag || max(o.states(), o.lost()) > MaxLag+1 {
			return fmt.Errorf("%w: %v has lag %d, at most %d", ErrSeason, o, max(o.states()-1, o.lost(), o.Season), MaxLag)
		}
	}
	return nil
}

// Options of Fit and Auto. The zero value is usable.
type Options struct {
	// Constant asks Fit for a mean (d+D = 0) or a drift per step (d+D = 1); more
	// differences allow none. Auto decides itself and does not look at it.
	Constant bool
	// XReg has a row of regressors for each sample; all rows are of one length and
	// finite, also where the sample is missing.
	XReg [][]float64

	// The rest is for Auto.

	Season         int  // m; 0 or 1: no seasonal part
	MaxP, MaxQ     int  // 0: 5
	MaxSP, MaxSQ   int  // 0: 2
	NoConstant     bool // models with a mean or a drift are not tried
	NoSeasonalDiff bool // D is 0
}

// A Model is a fitted model and where its filter stands: after the last sample
// of Fit, or of Update. It is not safe for concurrent use.
type Model struct {
	Order    Order
	AR, MA   []float64 // phi_1..p, theta_1..q
	SAR, SMA []float64 // PHI_1..P, THETA_1..Q

	HasConstant bool
	Constant    float64   // mean, or drift per step
	Beta        []float64 // of the columns of XReg

	// Standard errors, in the order AR, MA, SAR, SMA, constant, Beta; NaN where
	// the likelihood is too flat or the estimate stands at the border.
	StdErr []float64

	Sigma2         float64 // maximum likelihood
	Sigma2Unbiased float64 // divided by NObs less the number of coefficients; forecasts use it
	LogLik         float64 // +Inf when the model explains the samples exactly
	AIC, AICc, BIC float64 // count sigma2 as a parameter
	NObs           int     // samples that are there, less d+mD

	filter filter
	mean   state
	ahead  state     // scratch of Forecast
	row    []float64 // scratch of Forecast
	now    int       // samples seen since the first of Fit: the time of the drift
}

// Coef are all estimates, in the order of StdErr.
func (m *Model) Coef() []float64 {
	var c []float64
	for _, part := range [][]float64{m.AR, m.MA, m.SAR, m.SMA} {
		c = append(c, part...)
	}
	if m.HasConstant {
		c = append(c, m.Constant)
	}
	return append(c, m.Beta...)
}

// criteria fills in AIC, AICc and BIC.
func (m *Model) criteria() {
	k := float64(len(m.Coef()) + 1)
	n := float64(m.NObs)
	m.AIC = -2*m.LogLik + 2*k
	m.BIC = -2*m.LogLik + k*math.Log(n)
	m.AICc = math.Inf(1)
	switch {
	case math.IsInf(m.LogLik, 1):
		m.AICc = math.Inf(-1)
	case n-k-1 > 0:
		m.AICc = m.AIC + 2*k*(k+1)/(n-k-1)
	}
}

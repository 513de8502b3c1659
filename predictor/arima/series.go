package arima

import (
	"fmt"
	"math"
)

// A series is the samples, the regressors and the missing, ready for any order
// with the same differences.
//
// A missing sample is either a regressor of its own, 1 where the sample is missing,
// with a flat prior (then the data are complete and the quick filter serves), or
// left out by the filter of gaps. Both give the same likelihood. The second is for
// many; samples among the first d+mD are always of the first kind.
type series struct {
	d, sd, m int
	delta    []float64 // y_t = w_t + sum delta_j y_{t-1-j}
	scale    float64   // samples are divided by it, a power of two
	lead     int       // missing samples in front, which say nothing
	tail     int       // missing samples at the end

	levels  [][]float64 // y, the missing, the regressors, the constant
	missing []bool      // for the filter of gaps
	cols    [][]float64 // levels, differenced
	sparse  bool        // use the filter of gaps

	nmiss, nreg, nconst int // columns; nreg counts the constant
	nobs                int
	back                []float64 // beta of the user's columns = back times beta of ours, upper triangular

	rest  [2][]float64 // differenced y less its regression, without and with constant
	innov [2][]float64 // innovations of a long autoregression of rest
	auto  [2][]float64 // autocovariances of rest
}

// maxSample is the largest sample and regressor: squares of more would overflow.
const maxSample = 1e120

// check refuses what no model can be fitted to and returns the first and the last
// sample that is there.
func check(y []float64, xreg [][]float64) (first, last int, err error) {
	if len(y) > MaxLen {
		return 0, 0, fmt.Errorf("%w: %d samples, at most %d are taken", ErrOrder, len(y), MaxLen)
	}
	first, last = -1, -1
	for t, v := range y {
		if math.IsNaN(v) {
			continue
		}
		if math.Abs(v) > maxSample {
			return 0, 0, fmt.Errorf("%w: sample %d is %g, at most %g are taken", ErrInfinite, t, v, maxSample)
		}
		if first < 0 {
			first = t
		}
		last = t
	}
	if first < 0 {
		return 0, 0, fmt.Errorf("%w of %d", ErrEmpty, len(y))
	}
	if xreg == nil {
		return first, last, nil
	}
	if len(xreg) != len(y) {
		return 0, 0, fmt.Errorf("%w: %d rows for %d samples", ErrRegressors, len(xreg), len(y))
	}
	if len(xreg[0]) > MaxRegressors {
		return 0, 0, fmt.Errorf("%w: %d columns, at most %d", ErrRegressors, len(xreg[0]), MaxRegressors)
	}
	for t, row := range xreg {
		if err := checkRow(row, len(xreg[0])); err != nil {
			return 0, 0, fmt.Errorf("row %d: %w", t, err)
		}
	}
	return first, last, nil
}

func checkRow(row []float64, n int) error {
	if len(row) != n {
		return fmt.Errorf("%w: %d values, %d columns", ErrRegressors, len(row), n)
	}
	for _, v := range row {
		if !(math.Abs(v) <= maxSample) {
			return fmt.Errorf("%w: regressors are finite numbers, of at most %g", ErrInfinite, maxSample)
		}
	}
	return nil
}

// newSeries prepares y between its first and last sample. The constant is a column
// when there are at most one differences and constant asks for it.
func newSeries(y []float64, xreg [][]float64, d, sd, m int, constant bool) (*series, error) {
	first, last, err := check(y, xreg)
	if err != nil {
		return nil, err
	}
	s := &series{d: d, sd: sd, m: m, lead: first, tail: len(y) - 1 - last}
	c := difference(d, sd, m)
	for _, v := range c[1:] {
		s.delta = append(s.delta, -v)
	}
	y = y[first : last+1]
	lost := len(s.delta)
	if len(y) <= lost {
		return nil, fmt.Errorf("%w: %d samples, differencing takes %d", ErrShort, len(y), lost)
	}

	size := 0.0
	for _, v := range y {
		if !math.IsNaN(v) {
			size = max(size, math.Abs(v))
		}
	}
	s.scale = 1
	if size > 0 {
		_, e := math.Frexp(size)
		s.scale = math.Ldexp(1, min(max(e, -1000), 1000))
	}
	if err := s.fill(y); err != nil {
		return nil, err
	}
	if err := s.regressors(xreg, first, constant); err != nil {
		return nil, err
	}
	for _, col := range s.levels {
		s.cols = append(s.cols, s.differenced(col))
	}
	if s.nobs < s.nreg {
		return nil, fmt.Errorf("%w: %d after differencing, %d regressors", ErrShort, s.nobs, s.nreg)
	}
	return s, nil
}

// fill scales the samples, interpolates the missing and makes their columns.
func (s *series) fill(y []float64) error {
	lost := len(s.delta)
	level := make([]float64, len(y))
	s.missing = make([]bool, len(y))
	var gaps []int
	early := 0
	prev := 0 // last sample that was there; the first is
	for t, v := range y {
		if math.IsNaN(v) {
			gaps = append(gaps, t)
			s.missing[t] = true
			if t < lost {
				early++
			}
			continue
		}
		level[t] = v / s.scale
		for u := prev + 1; u < t; u++ {
			a := float64(u-prev) / float64(t-prev)
			level[u] = level[prev]*(1-a) + level[t]*a
		}
		prev = t
	}
	s.nobs = len(y) - lost - len(gaps)
	if s.nobs < 1 {
		return fmt.Errorf("%w: %d samples, differencing takes %d", ErrShort, len(y)-len(gaps), lost)
	}
	s.sparse = len(gaps) > max(4, 2*s.m*min(s.sd, 1))
	if s.sparse {
		gaps = gaps[:early]
	}
	s.levels = append(s.levels, level)
	for _, t := range gaps {
		col := make([]float64, len(y))
		col[t] = 1
		s.levels = append(s.levels, col)
		s.missing[t] = false
	}
	s.nmiss = len(gaps)
	return nil
}

// regressors adds the user's columns and the constant, made orthonormal after
// differencing, so that normal equations keep their digits.
func (s *series) regressors(xreg [][]float64, from int, constant bool) error {
	n := len(s.levels[0])
	var cols [][]float64
	if len(xreg) > 0 {
		for j := range xreg[0] {
			col := make([]float64, n)
			for t := range col {
				col[t] = xreg[from+t][j]
			}
			cols = append(cols, col)
		}
	}
	if constant && s.d+s.sd <= 1 {
		col := make([]float64, n)
		for t := range col {
			col[t] = 1
			if s.d+s.sd == 1 {
				col[t] = float64(t)
			}
		}
		cols = append(cols, col)
		s.nconst = 1
	}
	k := len(cols)
	s.nreg = k
	s.back = make([]float64, k*k)
	diffs := make([][]float64, k)
	for j, col := range cols {
		diffs[j] = s.differenced(col)
		before := math.Sqrt(weighted(diffs[j], diffs[j], nil))
		s.back[j*k+j] = 1
		for range 2 { // the second time takes what rounding has left
			for i := range j {
				p := weighted(diffs[i], diffs[j], nil)
				for t, v := range diffs[i] {
					diffs[j][t] -= p * v
				}
				for t, v := range cols[i] {
					col[t] -= p * v
				}
				for a := range i + 1 {
					s.back[a*k+j] -= p * s.back[a*k+i]
				}
			}
		}
		after := math.Sqrt(weighted(diffs[j], diffs[j], nil))
		if !(after > 1e-9*before) || math.IsInf(before, 0) {
			return fmt.Errorf("%w: column %d is, after differencing, nothing that the ones before it are not", ErrRegressors, j)
		}
		for t := range col {
			col[t] /= after
		}
		for t := range diffs[j] {
			diffs[j][t] /= after
		}
		for a := range j + 1 {
			s.back[a*k+j] /= after
		}
	}
	s.levels = append(s.levels, cols...)
	return nil
}

func (s *series) differenced(level []float64) []float64 {
	lost := len(s.delta)
	out := make([]float64, len(level)-lost)
	copy(out, level[lost:])
	for j, c := range s.delta {
		if c == 0 {
			continue
		}
		from := level[lost-1-j:]
		for t := range out {
			out[t] -= c * from[t]
		}
	}
	return out
}

// original is beta of the user's columns, and of the constant if it is used, from
// beta of the orthonormal ones.
func (s *series) original(beta []float64) []float64 {
	k := s.nreg
	out := make([]float64, len(beta))
	for i := range out {
		for j := i; j < len(beta); j++ {
			out[i] += s.back[i*k+j] * beta[j]
		}
		out[i] *= s.scale
	}
	return out
}

// detrended is y after differencing and regression by least squares.
func (s *series) detrended(constant bool) []float64 {
	which := 0
	if constant {
		which = 1
	}
	if s.rest[which] != nil {
		return s.rest[which]
	}
	out := append([]float64(nil), s.cols[0]...)
	last := len(s.cols)
	if !constant {
		last -= s.nconst
	}
	for _, col := range s.cols[1+s.nmiss : last] { // orthonormal
		p := weighted(out, col, nil)
		for t, v := range col {
			out[t] -= p * v
		}
	}
	s.rest[which] = out
	return out
}

package forecast

import "math"

const (
	trackMemory = 400 // samples, about, that a tracked quantile rests on
	laplace     = 1.25
)

// A tracker follows quantiles of errors in units of the expected absolute error, per horizon: a step up for each sample above, a
// step down for each below, so that in the long run the shares are right whatever the errors are (Gibbs and Candès 2021,
// Angelopoulos et al. 2023).
type tracker struct {
	levels []float64
	step   []float64 // per level
	c      []float64 // row × level
}

func newTracker(rows int, levels []float64) *tracker {
	t := &tracker{levels: levels, c: make([]float64, 0, rows*len(levels))}
	for _, p := range levels {
		t.step = append(t.step, laplace/(trackMemory*normalDensity(p)))
	}
	for range rows {
		for _, p := range levels {
			t.c = append(t.c, laplace*normalQuantile(p))
		}
	}
	return t
}

func normalQuantile(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }

func normalDensity(p float64) float64 {
	z := normalQuantile(p)
	return math.Exp(-z*z/2) / math.Sqrt(2*math.Pi)
}

// row returns the quantiles in force.
func (t *tracker) row(i int) []float64 { return t.c[i*len(t.levels):][:len(t.levels)] }

// learn takes an error of row i.
func (t *tracker) learn(i int, u float64) {
	c := t.row(i)
	for j, p := range t.levels {
		if u <= c[j] {
			c[j] -= t.step[j] * (1 - p)
		} else {
			c[j] += t.step[j] * p
		}
	}
}

// ascending makes q ascend; it nearly does.
func ascending(q []float64) {
	for i := 1; i < len(q); i++ {
		for j := i; j > 0 && q[j] < q[j-1]; j-- {
			q[j], q[j-1] = q[j-1], q[j]
		}
	}
}

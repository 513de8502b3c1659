package capacity

// rls is recursive least squares with exponential forgetting (Haykin, Adaptive
// Filter Theory, ch. 10).
type rls struct {
	w []float64 // coefficients
	p []float64 // inverse of the weighted moment matrix, row by row
	g []float64 // scratch: p·x
}

// maxTrace bounds p: directions that nothing excites are not forgotten for ever.
const maxTrace = 1e6

func newRLS(n int) rls {
	r := rls{w: make([]float64, n), p: make([]float64, n*n), g: make([]float64, n)}
	for i := range n {
		r.p[i*n+i] = 1
	}
	return r
}

func (r *rls) predict(x []float64) float64 {
	sum := 0.0
	for i, w := range r.w {
		sum += w * x[i]
	}
	return sum
}

// update learns that x led to y, with that weight; keep < 1 forgets.
func (r *rls) update(x []float64, y, weight, keep float64) {
	n := len(r.w)
	denominator := keep / weight
	trace := 0.0
	for i := range n {
		row := r.p[i*n : i*n+n]
		sum := 0.0
		for k, v := range row {
			sum += v * x[k]
		}
		r.g[i] = sum
		denominator += sum * x[i]
		trace += row[i]
	}
	err := y - r.predict(x)
	inverse, grow := 1/denominator, 1/keep
	if trace > maxTrace {
		grow = 1
	}
	for i := range n {
		gi := r.g[i] * inverse
		r.w[i] += gi * err
		row := r.p[i*n : i*n+n]
		for k := range row {
			row[k] = (row[k] - gi*r.g[k]) * grow
		}
	}
}

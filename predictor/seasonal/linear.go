package seasonal

import "math"

// solve solves a x = b for a symmetric positive definite a (row-major k×k,
// overwritten by its Cholesky factor) in place of b. It reports whether a was
// positive definite.
func solve(a, b []float64) bool {
	k := len(b)
	for j := range k {
		rowJ := a[j*k : j*k+j]
		d := a[j*k+j]
		for _, v := range rowJ {
			d -= v * v
		}
		if !(d > 0) {
			return false
		}
		d = math.Sqrt(d)
		a[j*k+j] = d
		for i := j + 1; i < k; i++ {
			rowI := a[i*k : i*k+j]
			s := a[i*k+j]
			for l, v := range rowJ {
				s -= v * rowI[l]
			}
			a[i*k+j] = s / d
		}
	}
	for i := range k {
		s := b[i]
		for l := range i {
			s -= a[i*k+l] * b[l]
		}
		b[i] = s / a[i*k+i]
	}
	for i := k - 1; i >= 0; i-- {
		s := b[i]
		for l := i + 1; l < k; l++ {
			s -= a[l*k+i] * b[l]
		}
		b[i] = s / a[i*k+i]
	}
	return true
}

// minimise looks for a minimum of f from start by Nelder and Mead's simplex,
// with at most evals evaluations.
func minimise(f func(x []float64) float64, start []float64, step float64, evals int) []float64 {
	k := len(start)
	type vertex struct {
		x []float64
		f float64
	}
	simplex := make([]vertex, k+1)
	for i := range simplex {
		x := append([]float64(nil), start...)
		if i > 0 {
			x[i-1] += step
		}
		simplex[i] = vertex{x, f(x)}
	}
	evals -= k + 1
	centre := make([]float64, k)
	along := func(worst []float64, by float64) vertex {
		x := make([]float64, k)
		for i := range x {
			x[i] = centre[i] + by*(worst[i]-centre[i])
		}
		evals--
		return vertex{x, f(x)}
	}
	for evals > 0 {
		for i := 1; i <= k; i++ { // insertion sort: nearly sorted always
			for j := i; j > 0 && simplex[j].f < simplex[j-1].f; j-- {
				simplex[j], simplex[j-1] = simplex[j-1], simplex[j]
			}
		}
		if simplex[k].f-simplex[0].f <= 1e-5*math.Abs(simplex[0].f) {
			break
		}
		clear(centre)
		for _, v := range simplex[:k] {
			for i, xi := range v.x {
				centre[i] += xi / float64(k)
			}
		}
		worst := simplex[k]
		try := along(worst.x, -1)
		switch {
		case try.f < simplex[0].f:
			if further := along(worst.x, -2); further.f < try.f {
				try = further
			}
			simplex[k] = try
		case try.f < simplex[k-1].f:
			simplex[k] = try
		default:
			by := 0.5
			if try.f < worst.f {
				by = -0.5
			}
			if try = along(worst.x, by); try.f < worst.f {
				simplex[k] = try
				continue
			}
			for i := 1; i <= k; i++ {
				for j := range simplex[i].x {
					simplex[i].x[j] = (simplex[i].x[j] + simplex[0].x[j]) / 2
				}
				simplex[i].f = f(simplex[i].x)
				evals--
			}
		}
	}
	best := simplex[0]
	for _, v := range simplex {
		if v.f < best.f {
			best = v
		}
	}
	return best.x
}

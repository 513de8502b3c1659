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

package forecast

import "math"

// ridgeSolve solves (A + ridge diag(A) + tiny) w = b for the packed lower triangle A of a Gram matrix (row by row), by Cholesky
// factorisation into l. A column that says nothing new gets coefficient 0. l has the size of a; y and w that of b.
func ridgeSolve(a, b []float64, ridge, tiny float64, l, y, w []float64) {
	p := len(b)
	k := 0
	for j := range p {
		row := l[k : k+j+1]
		arow := a[k : k+j+1]
		kc := 0
		for c := range j {
			s := arow[c]
			lc := l[kc : kc+c+1]
			rc := row[:len(lc)]
			for m := range c {
				s -= rc[m] * lc[m]
			}
			row[c] = s * y[c] // y holds the inverse diagonal
			kc += c + 1
		}
		d := arow[j] * (1 + ridge)
		s := d + tiny
		for _, v := range row[:j] {
			s -= v * v
		}
		if s <= 1e-10*(d+tiny) {
			y[j] = 0
			row[j] = math.Inf(1)
		} else {
			row[j] = math.Sqrt(s)
			y[j] = 1 / row[j]
		}
		k += j + 1
	}
	inv := w // the inverse diagonal moves over, y becomes the half-solved side
	k = 0
	for j := range p {
		d := y[j]
		s := b[j]
		row := l[k : k+j+1]
		for m, v := range y[:j] {
			s -= row[m] * v
		}
		y[j] = s * d
		inv[j] = d
		k += j + 1
	}
	for j := p - 1; j >= 0; j-- {
		k -= j + 1
		wj := y[j] * inv[j]
		w[j] = wj
		if wj == 0 {
			continue
		}
		row := l[k : k+j+1]
		for m := range j {
			y[m] -= row[m] * wj
		}
	}
}

package emd

import "math"

// sift turns h into its fastest mode: it takes the mean of the envelopes away until
// none is left to speak of. Samples from..to are the ones that decide; what is
// before and after is continuation.
func (e *envelope) sift(h []float64, from, to int, o Options) {
	sifts := o.Sifts
	if sifts <= 0 {
		sifts = o.MaxSifts
	}
	for range sifts {
		e.find(h)
		extrema, crossings := e.extrema(), e.crossings
		if extrema < minExtrema {
			return
		}
		e.mirror(h)
		e.solve()
		if o.Sifts > 0 {
			e.subtractMean(h, from, to, 0, 0)
			continue
		}
		some, many := e.subtractMean(h, from, to, o.Theta1, o.Theta2)
		if many == 0 && float64(some) < o.Alpha*float64(to-from) && -1 <= extrema-crossings && extrema-crossings <= 1 {
			return // the mean that was found to be small is taken too
		}
	}
}

// dense is from how many extrema per sample on the envelopes are evaluated sample
// by sample instead of piece by piece.
const dense = 1.0 / 6

// subtractMean takes the mean of the envelopes from h. It counts, among samples
// from..to, those where the mean is larger than theta1 and than theta2 times the
// amplitude, half the distance of the envelopes.
func (e *envelope) subtractMean(h []float64, from, to int, theta1, theta2 float64) (above1, above2 int) {
	if float64(e.extrema()) > dense*float64(len(h)) {
		return e.subtractBySample(h, from, to, theta1, theta2)
	}
	n := len(h)
	pos, val, b, c, d := e.pos, e.val, e.b, e.c, e.d
	theta1 *= 0.5
	theta2 *= 0.5
	theta2 /= theta1
	var count1, count2 uint64
	for i, j := 0, e.first-pad+1; i < n; j++ {
		end := n
		if p := pos[j+1]; p < float64(i) {
			continue // no sample in this piece
		} else if p < float64(n-1) {
			end = int(p) + 1
		}
		// Mean and amplitude as cubics in y: half the sum and, times theta1, half the
		// difference of piece j and piece j-1 moved by s.
		s := pos[j] - pos[j-1]
		d1 := d[j-1]
		c1 := c[j-1] + 3*s*d1
		b1 := b[j-1] + s*(2*c[j-1]+3*s*d1)
		a1 := val[j-1] + s*(b[j-1]+s*(c[j-1]+s*d1))
		m0, m1, m2, m3 := 0.5*(a1+val[j]), 0.5*(b1+b[j]), 0.5*(c1+c[j]), 0.5*(d1+d[j])
		y := float64(i) - pos[j]
		part := h[i:end]
		if theta1 == 0 || i < from || end > to { // the few own samples in a piece that is partly continuation do not count
			for k := range part {
				part[k] -= m0 + y*(m1+y*(m2+y*m3))
				y++
			}
			i = end
			continue
		}
		r0, r1, r2, r3 := theta1*(a1-val[j]), theta1*(b1-b[j]), theta1*(c1-c[j]), theta1*(d1-d[j])
		for k := range part {
			m := m0 + y*(m1+y*(m2+y*m3))
			r := math.Abs(r0 + y*(r1+y*(r2+y*r3)))
			part[k] -= m
			m = math.Abs(m)
			count1 += math.Float64bits(r-m) >> 63
			count2 += math.Float64bits(theta2*r-m) >> 63
			y++
		}
		i = end
	}
	return int(count1), int(count2)
}

// subtractBySample does the same where extrema are so close that finding out, for
// each piece, where it ends would take longer than the piece.
func (e *envelope) subtractBySample(h []float64, from, to int, theta1, theta2 float64) (above1, above2 int) {
	// index[i] becomes the piece of sample i: one more after each extremum.
	index := e.index[:len(h)+1]
	clear(index)
	own := e.pos[e.first : e.last+1]
	for _, p := range own {
		index[int(p)+1]++
	}
	piece := int32(e.first - 1)
	for i, more := range index {
		piece += more
		index[i] = piece
	}
	e.subtractSamples(h, 0, from, 0, 0)
	above1, above2 = e.subtractSamples(h, from, to, theta1, theta2)
	e.subtractSamples(h, to, len(h), 0, 0)
	return above1, above2
}

func (e *envelope) subtractSamples(h []float64, from, to int, theta1, theta2 float64) (above1, above2 int) {
	n := len(e.pos)
	pos, val, b, c, d := e.pos[:n], e.val[:n], e.b[:n], e.c[:n], e.d[:n]
	var count1, count2 uint64
	index := e.index[:len(h)]
	for i := from; i < to; i++ {
		j := int(index[i])
		k := j - 1
		y, z := float64(i)-pos[j], float64(i)-pos[k]
		u := val[j] + y*(b[j]+y*(c[j]+y*d[j]))
		v := val[k] + z*(b[k]+z*(c[k]+z*d[k]))
		m := 0.5 * (u + v)
		h[i] -= m
		m = math.Abs(m)
		r := math.Abs(0.5 * (u - v))
		count1 += math.Float64bits(theta1*r-m) >> 63
		count2 += math.Float64bits(theta2*r-m) >> 63
	}
	return int(count1), int(count2)
}

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
	e.turns.list(h)
	for left := sifts - 1; left >= 0; left-- {
		e.place(h)
		extrema, crossings := e.extrema(), e.crossings
		if extrema < minExtrema {
			return
		}
		e.mirror(h)
		e.solve()
		// Where the answer is known or would change nothing, it is not looked for.
		stop := stopping{
			may:    o.Sifts <= 0 && left > 0 && -1 <= extrema-crossings && extrema-crossings <= 1,
			theta1: o.Theta1, theta2: o.Theta2,
			most: o.Alpha * float64(to-from),
		}
		e.subtractMean(h, from, to, &stop)
		if stop.may {
			return // the mean that was found to be small is taken too
		}
	}
}

// stopping is Rilling's criterion in the course of its evaluation. Most sifts fail it
// within few samples, and all others then need only the mean of the envelopes.
type stopping struct {
	may            bool // nothing so far is against it
	theta1, theta2 float64
	most           float64 // fewer samples than this may have a mean above theta1 times the amplitude
	above          uint64  // those that have it
}

// add takes the counts of some more samples with a mean above theta1 and theta2 times
// the amplitude.
func (s *stopping) add(above1, above2 uint64) {
	s.above += above1
	s.may = above2 == 0 && float64(s.above) < s.most
}

// dense is from how many extrema per sample on the envelopes are evaluated sample
// by sample instead of piece by piece.
const dense = 1.0 / 6

// subtractMean takes the mean of the envelopes from h, lists the turns of what it leaves,
// and holds samples from..to to the stopping criterion, where the amplitude is half the
// distance of the envelopes.
func (e *envelope) subtractMean(h []float64, from, to int, stop *stopping) {
	if float64(e.extrema()) > dense*float64(len(h)) {
		e.subtractBySample(h, from, to, stop)
		return
	}
	e.turns.start()
	for i, j := 0, e.first-pad+1; i < len(h); j++ {
		end := len(h)
		if p := e.pos[j+1]; p < float64(i) {
			continue // no sample in this piece
		} else if p < float64(end-1) {
			end = int(p) + 1
		}
		m, y := e.middle(j), float64(i)-e.pos[j]
		if stop.may && from <= i && end <= to { // the few own samples in a piece that is partly continuation do not count
			half := cubic{m.a - e.val[j], m.b - e.b[j], m.c - e.c[j], m.d - e.d[j]}
			m.subtractWatched(h[i:end], y, &half, stop)
			e.turns.add(h[i:end], i)
		} else {
			m.subtract(h[i:end], y, i, &e.turns)
		}
		i = end
	}
}

// subtract takes m at y, y+1, … from h, and adds what it leaves, samples i, i+1, … of
// a smooth signal, to t.
func (m *cubic) subtract(h []float64, y float64, i int, t *turns) {
	a, b, c, d := m.a, m.b, m.c, m.d
	last, rising := t.last, t.rising
	for k := range h {
		v := h[k] - (a + y*(b+y*(c+y*d)))
		h[k] = v
		y++
		if rising && v < last || !rising && v > last {
			t.at[t.n] = int32(i + k - 1)
			t.n++
			rising = !rising
		}
		last = v
	}
	t.last, t.rising = last, rising
}

// subtractWatched does the same and holds m to the stopping criterion, where half is
// half the distance of the envelopes, or its negative.
func (m *cubic) subtractWatched(h []float64, y float64, half *cubic, stop *stopping) {
	a, b, c, d := m.a, m.b, m.c, m.d
	t := stop.theta1
	ra, rb, rc, rd := t*half.a, t*half.b, t*half.c, t*half.d
	t = stop.theta2 / t
	var above1, above2 uint64
	for i := range h {
		v := a + y*(b+y*(c+y*d))
		r := math.Abs(ra + y*(rb+y*(rc+y*rd)))
		h[i] -= v
		y++
		if v = math.Abs(v); v > r {
			above1++
			if v > t*r {
				above2++
			}
		}
	}
	stop.add(above1, above2)
}

// subtractBySample does the same where extrema are so close that finding out, for
// each piece, where it ends would take longer than the piece.
func (e *envelope) subtractBySample(h []float64, from, to int, stop *stopping) {
	// index[i] becomes the piece of sample i: one more after each extremum.
	index := e.piece[:len(h)+1]
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
	e.subtractSamples(h, 0, from)
	for i := from; i < to; {
		if !stop.may {
			e.subtractSamples(h, i, to)
			break
		}
		end := min(i+256, to)
		e.subtractWatched(h, i, end, stop)
		i = end
	}
	e.subtractSamples(h, to, len(h))
	e.turns.list(h)
}

func (e *envelope) subtractSamples(h []float64, from, to int) {
	n := len(e.pos)
	pos, val, b, c, d := e.pos[:n], e.val[:n], e.b[:n], e.c[:n], e.d[:n]
	index := e.piece[:len(h)]
	for i := from; i < to; i++ {
		j := int(index[i])
		k := j - 1
		y, z := float64(i)-pos[j], float64(i)-pos[k]
		u := val[j] + y*(b[j]+y*(c[j]+y*d[j]))
		v := val[k] + z*(b[k]+z*(c[k]+z*d[k]))
		h[i] -= 0.5 * (u + v)
	}
}

func (e *envelope) subtractWatched(h []float64, from, to int, stop *stopping) {
	n := len(e.pos)
	pos, val, b, c, d := e.pos[:n], e.val[:n], e.b[:n], e.c[:n], e.d[:n]
	var above1, above2 uint64
	index := e.piece[:len(h)]
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
		above1 += math.Float64bits(stop.theta1*r-m) >> 63
		above2 += math.Float64bits(stop.theta2*r-m) >> 63
	}
	stop.add(above1, above2)
}

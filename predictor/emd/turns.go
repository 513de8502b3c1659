package emd

import "math"

// turns lists the samples after which a signal begins to fall or to rise, the last ones
// of plateaus. Before its first sample a signal is taken to fall, so there may be one
// turn too many, in front.
type turns struct {
	at []int32
	n  int // how many there are

	// At the end of what has been seen.
	rising bool
	last   float64
}

func (t *turns) start() { t.n, t.rising, t.last = 0, false, math.Inf(1) }

// add goes on with the samples h, which begin at index i. It is for smooth signals: its
// branches go wrong only where the signal turns.
func (t *turns) add(h []float64, i int) {
	last, rising := t.last, t.rising
	for _, v := range h {
		if rising && v < last || !rising && v > last {
			t.at[t.n] = int32(i - 1)
			t.n++
			rising = !rising
		}
		last = v
		i++
	}
	t.last, t.rising = last, rising
}

// smooth is up to how many turns per sample a branch that goes wrong at each of them
// costs less than having none.
const smooth = 1.0 / 12

// list finds the turns of h. What it is best at depends on how many there were last
// time, what it finds does not.
func (t *turns) list(h []float64) {
	if float64(t.n) < smooth*float64(len(h)) {
		t.start()
		t.add(h, 0)
		return
	}
	t.listNoise(h)
}

// listNoise does not branch on which way the signal goes: noise turns at random.
func (t *turns) listNoise(h []float64) {
	t.n = 0
	if len(h) == 0 {
		return
	}
	at := t.at[:len(h)]
	n := 0
	last := h[0]
	falling := uint64(1)
	for i, v := range h {
		d := v - last
		last = v
		sign := math.Float64bits(d) >> 63
		if d == 0 {
			sign = falling
		}
		at[n] = int32(i - 1)
		n += int(sign ^ falling)
		falling = sign
	}
	t.n = n
}

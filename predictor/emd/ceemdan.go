package emd

import (
	"math"
	"math/rand/v2"
)

// noiseSifts is the fixed number of sifts in CEEMDAN where Options has none. It must
// be the same for all trials, or their means would not be of the same thing (Wu and
// Huang 2009 take 10 as well).
const noiseSifts = 10

// A Noise is the white noises of CEEMDAN and their modes. It depends on the length of
// the signal but not on the signal, so it is made once and kept: about
// 4·trials·n·log2(2n) bytes. It is never changed, and may be shared between
// workspaces and goroutines.
type Noise struct {
	samples, pairs, sifts int
	seed                  uint64

	modes [][][]float32 // of each noise; unit variance before the decomposition
	first float64       // mean standard deviation of the first modes
}

// NewNoise makes the noises for signals of n samples: o.Trials of them, half of
// which are the other half's negative, and decomposes them with o.Sifts sifts.
func NewNoise(n int, o Options, seed uint64) *Noise {
	o = o.withDefaults()
	v := &Noise{samples: n, pairs: (o.Trials + 1) / 2, sifts: o.Sifts, seed: seed}
	if v.sifts <= 0 {
		v.sifts = noiseSifts
	}
	var w Workspace
	white := make([]float64, n+2*room(n))
	for i := range v.pairs {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		for j := range white {
			white[j] = r.NormFloat64()
		}
		// Its own ends are beyond those of the signal, so they need no care.
		modes, _, _ := w.Decompose(white, Options{Sifts: v.sifts, NoExtension: true})
		small := make([][]float32, len(modes))
		for k, m := range modes {
			small[k] = make([]float32, len(m))
			for j, x := range m {
				small[k][j] = float32(x)
			}
		}
		v.modes = append(v.modes, small)
		if len(modes) > 0 {
			v.first += deviation(modes[0]) / float64(v.pairs)
		}
	}
	return v
}

func (v *Noise) is(n int, o Options, seed uint64) bool {
	return v != nil && v.samples == n && v.pairs == (o.Trials+1)/2 && v.sifts == o.Sifts && v.seed == seed
}

func deviation(x []float64) float64 {
	mean := 0.0
	for _, v := range x {
		mean += v
	}
	mean /= float64(len(x))
	sum := 0.0
	for _, v := range x {
		sum += (v - mean) * (v - mean)
	}
	return math.Sqrt(sum / float64(len(x)))
}

// CEEMDAN returns modes and residue as Decompose does, but each step to a slower
// residue is the average over many copies of what is left with noise added, so that
// what comes and goes does not end up in different modes at different times. The
// noise of step k is the k-th mode of white noise (Colominas, Schlotthauer and Torres
// 2014). The same seed gives the same result to the bit.
func CEEMDAN(x []float64, o Options, seed uint64) (modes [][]float64, residue []float64, err error) {
	return new(Workspace).CEEMDAN(x, o, seed)
}

// UseNoise spares w making the noise that the next CEEMDAN asks for, if it is the
// one: the same length, Trials, Sifts and seed.
func (w *Workspace) UseNoise(v *Noise) { w.noise = v }

// CEEMDAN is the function of that name. What it returns is valid until the next call
// on w. The noise is kept for the next signal of the same length.
func (w *Workspace) CEEMDAN(x []float64, o Options, seed uint64) (modes [][]float64, residue []float64, err error) {
	span, unit, err := w.start(x)
	if err != nil {
		return nil, nil, err
	}
	o = o.withDefaults()
	if o.Sifts <= 0 {
		o.Sifts = noiseSifts
	}
	n := len(x)
	if cap(w.noisy) < len(w.ext) {
		w.noisy = make([]float64, len(w.ext))
		w.mean = make([]float64, n)
	}
	w.mean = w.mean[:n]
	k := 0
	for ; k < o.MaxModes; k++ {
		lo, hi, ok := w.more(span)
		if !ok {
			break
		}
		if !w.noise.is(n, o, seed) {
			w.noise = NewNoise(n, o, seed)
		}
		h, at := w.extend(o.NoExtension)
		w.average(h, at, k, hi-lo, o)
		mode := w.row(k)
		for i, m := range w.mean {
			mode[i] = w.rest[i] - m
			w.rest[i] = m
		}
	}
	w.finish(k, unit)
	return w.rows[:k], w.rest, nil
}

// average sets mean to what is left of h, on average, when its k-th noises have been
// added and the fastest mode taken. span is the range of its own samples.
func (w *Workspace) average(h []float64, at, k int, span float64, o Options) {
	v := w.noise
	n := len(w.rest)
	amount := o.Noise * deviation(w.rest)
	if k == 0 && v.first > 0 {
		amount /= v.first
	}
	clear(w.mean)
	noisy := w.noisy[:len(h)]
	for _, modes := range v.modes {
		sign := amount
		for range 2 {
			copy(noisy, h)
			peak := maxPeak * span
			if k < len(modes) {
				largest := 0.0
				for i, e := range modes[k][room(n)-at:][:len(h)] {
					d := sign * float64(e)
					noisy[i] += d
					largest = max(largest, math.Abs(d))
				}
				peak += 2 * largest
			}
			own := noisy[at : at+n]
			if w.sift(noisy, at, peak, o) {
				for i, m := range w.work[at : at+n] {
					w.mean[i] += own[i] - m
				}
			} else {
				for i, m := range own {
					w.mean[i] += m
				}
			}
			sign = -sign
		}
	}
	for i := range w.mean {
		w.mean[i] /= float64(2 * v.pairs)
	}
}

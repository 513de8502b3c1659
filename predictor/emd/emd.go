// Package emd splits a signal into oscillating modes, from fast to slow, and a
// residue: empirical mode decomposition (Huang et al. 1998) and its noise-assisted
// form CEEMDAN (Torres et al. 2011, improved by Colominas et al. 2014).
//
// Forecasts start at the end of a signal, and there the decomposition is worst: the
// envelopes have nothing to lean on. So before each mode is taken, what is left is
// continued beyond both ends by an autoregressive forecast and backcast, and cut
// again afterwards. Beyond these, extrema are mirrored.
//
// The package is pure: same input, same bits. It knows nothing of time stamps or
// missing samples, and it never sees more than it is given: whoever forecasts from
// modes must decompose the past only, at every origin anew.
package emd

import (
	"errors"
	"fmt"
	"math"
)

// ErrInput is the error for a signal with a NaN, an infinity, or a number of more
// than MaxMagnitude. Nothing is repaired here: who knows the series knows better.
var ErrInput = errors.New("not a finite number of at most 1e300")

const (
	// MaxMagnitude leaves room for modes and envelopes to be larger than the signal.
	MaxMagnitude = 1e300
	// MaxModes bounds the modes of one decomposition. Each mode halves the number of
	// extrema at least about, so 2^24 samples would have about so many.
	MaxModes = 24

	// minExtrema are what a mode is looked for in: two of one kind, one of the other.
	minExtrema = 3
	// minSamples is the shortest signal that can have so many.
	minSamples = 5
	// minRange ends the decomposition: what is left varies less than this share of the
	// signal (an energy of 1e-10).
	minRange = 1e-5
	// maxPeak is how far a mode may reach, as a share of the range of what it was taken
	// from. A true mode stays within about half. Beyond, the splines have run away.
	maxPeak = 0.8
)

// Options choose the sifting. The zero value is good.
type Options struct {
	// MaxModes bounds the modes; what is slower stays in the residue. 0: MaxModes.
	MaxModes int

	// Sifts is a fixed number of sifts per mode. 0: the three thresholds decide, or in
	// CEEMDAN 10.
	Sifts int
	// MaxSifts ends a mode that the thresholds do not. 0: 10. Noise of 10,000 samples
	// always has some place that asks for more (50 are common), but more neither brings
	// modes closer to the truth nor makes them steadier at the end of the signal.
	MaxSifts int
	// Rilling's thresholds: sifting ends when the mean of the envelopes is below Theta1
	// times their amplitude but for a share Alpha of the samples, below Theta2 times
	// everywhere, and extrema and zero crossings alternate. 0: 0.05, 0.5, 0.05.
	Theta1, Theta2, Alpha float64

	// NoExtension leaves the forecast beyond the ends away and only mirrors extrema.
	NoExtension bool

	// Trials is the number of noises of CEEMDAN, in pairs of w and -w. 0: 100.
	Trials int
	// Noise is their standard deviation as a share of that of what they are added to.
	// 0: 0.2.
	Noise float64
}

func (o Options) withDefaults() Options {
	if o.MaxModes <= 0 || o.MaxModes > MaxModes {
		o.MaxModes = MaxModes
	}
	for _, d := range []struct {
		v       *int
		instead int
	}{{&o.MaxSifts, 10}, {&o.Trials, 100}} {
		if *d.v <= 0 {
			*d.v = d.instead
		}
	}
	for _, d := range []struct {
		v       *float64
		instead float64
	}{{&o.Theta1, 0.05}, {&o.Theta2, 0.5}, {&o.Alpha, 0.05}, {&o.Noise, 0.2}} {
		if !(*d.v > 0) {
			*d.v = d.instead
		}
	}
	return o
}

// Decompose returns the modes of x, from fast to slow, and the residue, all of the
// length of x. They add up to x but for rounding.
//
// An empty, constant or monotone signal, and one of fewer than 5 samples or 3
// extrema, is all residue. A plateau counts as one extremum at its middle. The only
// error is ErrInput.
func Decompose(x []float64, o Options) (modes [][]float64, residue []float64, err error) {
	return new(Workspace).Decompose(x, o)
}

// A Workspace keeps the memory of decompositions, so that the next one of the same
// length allocates nothing. One goroutine at a time may use it. The zero value is
// ready.
type Workspace struct {
	env  envelope
	ends extension
	rest []float64   // x without the modes so far; at last the residue
	ext  []float64   // rest with its continuations
	work []float64   // what is being sifted
	rows [][]float64 // memory of modes

	noise *Noise    // of the last CEEMDAN
	noisy []float64 // ext with noise
	mean  []float64
}

// Decompose is the function of that name. What it returns is valid until the next
// call on w.
func (w *Workspace) Decompose(x []float64, o Options) (modes [][]float64, residue []float64, err error) {
	span, unit, err := w.start(x)
	if err != nil {
		return nil, nil, err
	}
	o = o.withDefaults()
	k := 0
	for ; k < o.MaxModes; k++ {
		lo, hi, ok := w.more(span)
		if !ok {
			break
		}
		h, at := w.extend(o.NoExtension)
		if !w.sift(h, at, maxPeak*(hi-lo), o) {
			break
		}
		mode := w.row(k)
		copy(mode, w.work[at:])
		rest := w.rest[:len(mode)]
		for i, v := range mode {
			rest[i] -= v
		}
	}
	w.finish(k, unit)
	return w.rows[:k], w.rest, nil
}

// start checks x and copies it, in units of a power of two where its numbers are so
// large or small that squares would leave the range of float64.
func (w *Workspace) start(x []float64) (span, unit float64, err error) {
	lo, hi := math.Inf(1), math.Inf(-1)
	for i, v := range x {
		if !(math.Abs(v) <= MaxMagnitude) {
			return 0, 0, fmt.Errorf("sample %d is %v: %w", i, v, ErrInput)
		}
		lo, hi = min(lo, v), max(hi, v)
	}
	unit = 1
	if size := max(-lo, hi); size > 1e100 || size < 1e-100 && size > 0 {
		_, e := math.Frexp(size)
		unit = math.Ldexp(1, max(e, -1000))
	}
	w.grow(len(x))
	for i, v := range x {
		w.rest[i] = v / unit
	}
	return (hi - lo) / unit, unit, nil
}

func (w *Workspace) grow(n int) {
	if cap(w.rest) < n {
		long := n + 2*room(n)
		all := make([]float64, n+2*long)
		w.rest, w.ext, w.work = all[:n:n], all[n:n+long:n+long], all[n+long:]
		w.env.grow(long)
	}
	long := n + 2*room(n)
	w.rest, w.ext, w.work = w.rest[:n], w.ext[:long], w.work[:long]
}

// room is the length of the longest continuation of n samples.
func room(n int) int { return n / 2 }

// row is memory for mode k.
func (w *Workspace) row(k int) []float64 {
	n := len(w.rest)
	for len(w.rows) <= k {
		w.rows = append(w.rows, nil)
	}
	if cap(w.rows[k]) < n {
		w.rows[k] = make([]float64, n)
	}
	w.rows[k] = w.rows[k][:n]
	return w.rows[k]
}

// finish returns to the units of the input.
func (w *Workspace) finish(modes int, unit float64) {
	if unit == 1 {
		return
	}
	for k := -1; k < modes; k++ {
		row := w.rest
		if k >= 0 {
			row = w.rows[k]
		}
		for i := range row {
			row[i] *= unit
		}
	}
}

// more says whether there is another mode in rest, finds its extrema, and its least
// and largest value. span is the range of the whole signal.
func (w *Workspace) more(span float64) (lo, hi float64, ok bool) {
	if len(w.rest) < minSamples {
		return 0, 0, false
	}
	w.env.find(w.rest)
	if w.env.extrema() < minExtrema {
		return 0, 0, false
	}
	lo, hi = bounds(w.rest)
	return lo, hi, hi-lo > minRange*span
}

func bounds(x []float64) (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, v := range x {
		if v < lo {
			lo = v
		}
		if v > hi {
			hi = v
		}
	}
	return lo, hi
}

// extend returns rest with its continuations, and where it begins in it. The
// extrema of rest must have been found.
func (w *Workspace) extend(mirrorOnly bool) (h []float64, at int) {
	n := len(w.rest)
	room := room(n)
	copy(w.ext[room:], w.rest)
	left, right := 0, 0
	if !mirrorOnly {
		left, right = w.ends.extend(w.ext, room, n, &w.env)
	}
	return w.ext[room-left : room+n+right], left
}

// sift takes the fastest mode of h, whose own samples begin at index at, and leaves
// it in work at the same place. It is false when the mode ran away, beyond peak, and
// did so too without continuations: then there is none that can be trusted.
func (w *Workspace) sift(h []float64, at int, peak float64, o Options) bool {
	n := len(w.rest)
	work := w.work[:len(h)]
	copy(work, h)
	w.env.sift(work, at, at+n, o)
	if within(work[at:at+n], peak) {
		return true
	}
	work = work[at : at+n]
	copy(work, h[at:])
	w.env.sift(work, 0, n, o)
	return within(work, peak)
}

func within(x []float64, peak float64) bool {
	for _, v := range x {
		if !(math.Abs(v) <= peak) {
			return false
		}
	}
	return true
}

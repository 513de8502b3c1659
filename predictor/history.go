package predictor

import (
	"math"
	"time"
)

// A history is the demand of the last steps, and what was scheduled for them.
type history struct {
	step  time.Duration
	limit int       // steps that are kept
	next  time.Time // the step after the last; zero while there is none
	load  []float64 // NaN: missing
	known []float64 // as scheduled then, a row a step; empty without inputs
}

// add appends the step at h.next.
func (h *history) add(y float64, known []float64) {
	if len(h.load) >= h.limit+h.limit/8+1 { // not a copy every time
		h.trim()
	}
	h.load = append(h.load, y)
	h.known = append(h.known, known...)
	h.next = h.next.Add(h.step)
}

func (h *history) trim() {
	drop := len(h.load) - h.limit
	if drop <= 0 {
		return
	}
	inputs := len(h.known) / len(h.load)
	h.load = append(h.load[:0], h.load[drop:]...)
	h.known = append(h.known[:0], h.known[drop*inputs:]...)
}

// begin is the time of the first step.
func (h *history) begin() time.Time { return h.next.Add(-time.Duration(len(h.load)) * h.step) }

// place is the index of a time, which may be outside.
func (h *history) place(at time.Time) int { return int(at.Sub(h.begin()) / h.step) }

// samples counts steps that are not missing.
func (h *history) samples() (n int) {
	for _, y := range h.load {
		if !math.IsNaN(y) {
			n++
		}
	}
	return n
}

// first is the index of the first step that is not missing; len(h.load) if all are.
func (h *history) first() int {
	for i, y := range h.load {
		if !math.IsNaN(y) {
			return i
		}
	}
	return len(h.load)
}

// last is when the newest step that is not missing was; zero if all are.
func (h *history) last() time.Time {
	for i := len(h.load) - 1; i >= 0; i-- {
		if !math.IsNaN(h.load[i]) {
			return h.begin().Add(time.Duration(i) * h.step)
		}
	}
	return time.Time{}
}

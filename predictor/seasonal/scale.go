package seasonal

import (
	"math"
	"slices"
)

// fill returns y with what was not observed replaced: the median of the slot,
// moved by the deviation of the observed neighbours from theirs, linearly in
// between, and within the range of what was observed.
func fill(y []float64, observed []bool, s season) []float64 {
	out := slices.Clone(y)
	if !slices.Contains(observed, false) {
		return out
	}
	usual := usualBySlot(y, observed, s)
	m := len(usual)
	low, high := math.Inf(1), math.Inf(-1)
	for t, v := range y {
		if observed[t] {
			low, high = min(low, v), max(high, v)
		}
	}
	last := -1 // the last observed sample
	for t := 0; t <= len(y); t++ {
		if t < len(y) && !observed[t] {
			continue
		}
		for k := last + 1; k < t; k++ {
			var before, after float64
			if last >= 0 {
				before = y[last] - usual[last%m]
			}
			if t < len(y) {
				after = y[t] - usual[t%m]
			}
			switch {
			case last < 0:
				before = after
			case t == len(y):
				after = before
			}
			share := float64(k-last) / float64(t-last)
			out[k] = min(max(usual[k%m]+before*(1-share)+after*share, low), high)
		}
		last = t
	}
	return out
}

// usualBySlot is the median of each slot of the longest season; for a slot that
// was never observed that of its slot in the day; if need be that of all.
func usualBySlot(y []float64, observed []bool, s season) []float64 {
	by := func(m int) [][]float64 {
		slots := make([][]float64, m)
		for t, v := range y {
			if observed[t] {
				slots[t%m] = append(slots[t%m], v)
			}
		}
		return slots
	}
	all := median(by(1)[0])
	day := by(s.day)
	usual := make([]float64, s.longest())
	for slot, values := range by(s.longest()) {
		switch {
		case len(values) > 0:
			usual[slot] = median(values)
		case len(day[slot%s.day]) > 0:
			usual[slot] = median(day[slot%s.day])
		default:
			usual[slot] = all
		}
	}
	return usual
}

// A powerScale is a Box and Cox power of a series, chosen so that errors are
// about as large where the series is high as where it is low.
type powerScale struct {
	power float64 // 0 (logarithm) to 1 (as it is)
	shift float64 // added first
	floor float64 // what no forecast goes below; -Inf = none
}

// chooseScale regresses the logarithm of how much a slot of the day changes from
// one day to the next on the logarithm of its level. The power is 1 less the
// slope. Series with negative samples or without a season stay as they are.
func chooseScale(y []float64, s season) powerScale {
	c := powerScale{power: 1, floor: math.Inf(-1)}
	low := slices.Min(y)
	if low < 0 {
		return c
	}
	c.floor = 0
	if s.day < 3 {
		return c
	}
	if low == 0 {
		c.shift = leastStep(y)
	}
	var n, sx, sy, sxx, sxy float64
	level := make([]float64, 0, len(y)/s.day+1)
	for slot := range s.day {
		level = level[:0]
		change := 0.0
		for t := slot + s.day; t < len(y); t += s.day {
			level = append(level, y[t]+c.shift)
			change += math.Abs(y[t] - y[t-s.day])
		}
		if change == 0 {
			continue
		}
		lx, ly := math.Log(median(level)), math.Log(change/float64(len(level)))
		n++
		sx += lx
		sy += ly
		sxx += lx * lx
		sxy += lx * ly
	}
	const same = 1e-3 // variance of log levels below which there is nothing to regress on
	if v := sxx - sx*sx/n; n >= 3 && v > same*n {
		c.power = min(1, max(0, 1-(sxy-sx*sy/n)/v))
	}
	if c.power < 0.02 {
		c.power = 0
	}
	return c
}

// leastStep is the smallest positive sample, 1 for counts; but not less than a
// thousandth of the mean.
func leastStep(y []float64) float64 {
	least, mean := slices.Max(y), 0.0
	for _, v := range y {
		mean += v / float64(len(y))
		if v > 0 {
			least = min(least, v)
		}
	}
	return max(least, mean/1000)
}

func (c powerScale) to(y float64) float64 {
	switch y += c.shift; c.power {
	case 0:
		return math.Log(y)
	case 1:
		return y
	}
	return (math.Pow(y, c.power) - 1) / c.power
}

// from is the inverse of to. It is finite for every finite z.
func (c powerScale) from(z float64) float64 {
	var y float64
	switch c.power {
	case 0:
		y = math.Exp(z)
	case 1:
		y = z
	default:
		y = math.Pow(max(z*c.power+1, 0), 1/c.power)
	}
	return min(max(y-c.shift, c.floor), math.MaxFloat64)
}

// median is the middle of x, which it reorders; 0 of nothing.
func median(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	slices.Sort(x)
	n := len(x)
	return x[(n-1)/2]/2 + x[n/2]/2
}

package forecast

import "math"

// inputs are the known inputs of the steps from the newest sample to the horizon, row by row: what is scheduled, not forecast.
type inputs struct {
	k, horizon int
	v          []float64 // (horizon+1) × k
}

func newInputs(k, horizon int) *inputs {
	return &inputs{k: k, horizon: horizon, v: make([]float64, (horizon+1)*k)}
}

func (i *inputs) at(h int) []float64 { return i.v[h*i.k:][:i.k] }

// set takes rows of now and the steps after; rows that are not given repeat the last one, numbers that are not finite are 0.
func (i *inputs) set(rows []float64) {
	if i.k == 0 {
		return
	}
	n := min(len(rows)/i.k*i.k, len(i.v))
	for j, v := range rows[:n] {
		if math.IsNaN(v) || math.Abs(v) > MaxLoad {
			v = 0
		}
		i.v[j] = v
	}
	for j := n; j < len(i.v); j++ {
		if j < i.k {
			i.v[j] = 0
		} else {
			i.v[j] = i.v[j-i.k]
		}
	}
}

package forecast

import "math"

// A scale maps samples to where errors are of one size, and back.
type scale int

const (
	raw  scale = iota
	root       // square root (Anscombe): the variance of a count grows with its mean
	logs       // log(1+y): load that grows by factors
)

const anscombe = 0.375

func (s scale) to(y float64) float64 {
	switch s {
	case root:
		if y < 0 {
			return 2*math.Sqrt(anscombe) - math.Sqrt(anscombe-y)
		}
		return math.Sqrt(y + anscombe)
	case logs:
		if y < 0 {
			return -math.Log1p(-y)
		}
		return math.Log1p(y)
	default:
		return y
	}
}

// from is the inverse of to where y is not negative, and 0 below.
func (s scale) from(z float64) float64 {
	switch s {
	case root:
		if !(z*z > anscombe) || z < 0 {
			return 0
		}
		return z*z - anscombe
	case logs:
		return math.Expm1(max(0, min(z, 700)))
	default:
		return max(0, z)
	}
}

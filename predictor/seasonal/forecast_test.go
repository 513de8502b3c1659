package seasonal_test

import (
	"math"
	"math/rand/v2"
)

var hourly = []int{24, 168}

// load is n hours of something like a load: days, weekends, a level that wanders,
// noise that grows with the level.
func load(n int, seed uint64) []float64 {
	r := rand.New(rand.NewPCG(seed, 2))
	y := make([]float64, n)
	level := 0.0
	for t := range y {
		level = 0.98*level + 0.03*r.NormFloat64()
		day := 0.6 * math.Sin(2*math.Pi*float64(t)/24)
		if t/24%7 >= 5 {
			day = 0.3*day - 0.4
		}
		y[t] = 1000 * math.Exp(level+day+0.05*r.NormFloat64())
	}
	return y
}

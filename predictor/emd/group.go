package emd

import "math"

// Crossings is how often a mode changes sign.
func Crossings(mode []float64) int {
	count := 0
	for i := 1; i < len(mode); i++ {
		if (mode[i] < 0) != (mode[i-1] < 0) {
			count++
		}
	}
	return count
}

// Period is the mean period of a mode in samples, +Inf if it never changes sign.
func Period(mode []float64) float64 {
	return 2 * float64(len(mode)) / float64(Crossings(mode))
}

// RunsTest is the test of Wald and Wolfowitz (1940) for whether the signs of a mode
// follow each other at random: the number of runs of one sign, and by how many
// standard deviations it is above the number to be expected. Noise is near 0, the
// fastest mode of noise above, a slow oscillation far below. z is 0 if there is only
// one sign.
func RunsTest(mode []float64) (runs int, z float64) {
	if len(mode) == 0 {
		return 0, 0
	}
	runs = Crossings(mode) + 1
	negative := 0.0
	for _, v := range mode {
		if v < 0 {
			negative++
		}
	}
	n := float64(len(mode))
	mean := 2*negative*(n-negative)/n + 1
	variance := (mean - 1) * (mean - 2) / (n - 1)
	if !(variance > 0) {
		return runs, 0
	}
	return runs, (float64(runs) - mean) / math.Sqrt(variance)
}

// Groups are a signal in parts that want a model each. They add up to the signal, as
// the modes did. The zero value is ready, and may be used again and again.
type Groups struct {
	High   []float64 // fast, mean 0: no memory of a season
	Middle []float64 // about the season
	Low    []float64 // slower, and the residue: carries the level
}

const (
	// A mode is of the season when its mean period is from a sixth of it (a daily load
	// has strong harmonics, and modes in which they mix) to 1.5 times of it.
	shortestOfSeason = 1.0 / 6
	longestOfSeason  = 1.5

	// Without a season: a mode of white noise has runs of 1.5 samples at first, twice as
	// long in each that follows. Up to fastRun it is as good as noise.
	fastRun = 4.0
	// fewRuns are too few to learn an oscillation from.
	fewRuns = 10
)

// BySeason groups by mean period; season is in samples.
func (g *Groups) BySeason(modes [][]float64, residue []float64, season float64) {
	g.group(modes, residue, func(mode []float64) *[]float64 {
		switch p := Period(mode); {
		case p < season*shortestOfSeason:
			return &g.High
		case p <= season*longestOfSeason:
			return &g.Middle
		default:
			return &g.Low
		}
	})
}

// ByRuns groups where no season is known, by runs of one sign (Chen and Wang 2019):
// those no longer than chance makes them are High, modes with too few to tell an
// oscillation Low.
func (g *Groups) ByRuns(modes [][]float64, residue []float64) {
	g.group(modes, residue, func(mode []float64) *[]float64 {
		switch runs, z := RunsTest(mode); {
		case z > -1.96 && runs > 1 || float64(len(mode)) < fastRun*float64(runs):
			return &g.High
		case runs >= fewRuns:
			return &g.Middle
		default:
			return &g.Low
		}
	})
}

func (g *Groups) group(modes [][]float64, residue []float64, of func(mode []float64) *[]float64) {
	for _, part := range []*[]float64{&g.High, &g.Middle, &g.Low} {
		if cap(*part) < len(residue) {
			*part = make([]float64, len(residue))
		}
		*part = (*part)[:len(residue)]
		clear(*part)
	}
	copy(g.Low, residue)
	for _, mode := range modes {
		part := *of(mode)
		for i, v := range mode {
			part[i] += v
		}
	}
}

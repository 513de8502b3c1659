package emd_test

import (
	"math"
	"testing"

	"github.com/barrage-im/barrage/predictor/emd"
)

func TestCrossingsPeriodRuns(t *testing.T) {
	for _, c := range []struct {
		name      string
		x         []float64
		crossings int
		period    float64
		runs      int
		z         float64
	}{
		{"nothing", nil, 0, math.NaN(), 0, 0},
		{"one sign", []float64{1, 2, 3}, 0, math.Inf(1), 1, 0},
		{"every sample", []float64{1, -1, 1, -1}, 3, 8.0 / 3, 4, 1.2247448713915892}, // mean 3, variance 2/3
		{"by fours", []float64{1, 1, 1, 1, -1, -1, -1, -1}, 1, 16, 2, -2.2912878474779204},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := emd.Crossings(c.x); got != c.crossings {
				t.Errorf("%d crossings, want %d", got, c.crossings)
			}
			if got := emd.Period(c.x); got != c.period && !math.IsNaN(c.period) {
				t.Errorf("period %v, want %v", got, c.period)
			}
			if runs, z := emd.RunsTest(c.x); runs != c.runs || math.Abs(z-c.z) > 1e-12 {
				t.Errorf("%d runs, z %v, want %d and %v", runs, z, c.runs, c.z)
			}
		})
	}
}

func TestGroups(t *testing.T) {
	s := load(2016, 7, 5) // a day is 288 samples
	modes, residue := decompose(t, s.sum, emd.Options{})
	var g emd.Groups
	for name, group := range map[string]func(){
		"by season": func() { g.BySeason(modes, residue, 288) },
		"by runs":   func() { g.ByRuns(modes, residue) },
	} {
		t.Run(name, func(t *testing.T) {
			group()
			checkSum(t, s.sum, [][]float64{g.High, g.Middle}, g.Low)
			if c := correlation(g.High, s.truth[0]); c < 0.85 {
				t.Errorf("the fast part has a correlation of %.3f with the noise", c)
			}
			if c := correlation(g.Middle, s.truth[1]); c < 0.95 {
				t.Errorf("the middle part has a correlation of %.3f with the days", c)
			}
			if d := math.Abs(mean(g.Low) - mean(s.truth[2])); d > 5 {
				t.Errorf("the level of the slow part is off by %.2f", d)
			}
		})
	}
}

func TestGroupsWithoutModes(t *testing.T) {
	x := []float64{1, 2, 3}
	var g emd.Groups
	g.BySeason(nil, x, 24)
	checkSum(t, x, [][]float64{g.High, g.Middle}, g.Low)
	g.ByRuns(nil, nil)
	if len(g.High)+len(g.Middle)+len(g.Low) != 0 {
		t.Error("groups of nothing")
	}
}

package forecast

import (
	"math/rand/v2"
	"testing"
)

// The guard notices errors that keep to one side, and neither noise nor one
// outlier.
func TestGuard(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	noise := func() float64 { return 1.25 * random.NormFloat64() } // expected absolute error 1
	var g guard
	for i := range 20_000 {
		u := noise()
		if i%500 == 0 {
			u = 50
		}
		if g.learn(u) {
			t.Fatalf("noise with outliers is a change after %d samples", i)
		}
	}
	for _, side := range []float64{1, -1} {
		n := 0
		for ; !g.learn(side*3 + noise()); n++ {
			if n > 40 {
				t.Fatalf("errors of %v for 40 samples are no change", side*3)
			}
		}
	}
	if g.changes != 2 {
		t.Errorf("%d changes, want 2", g.changes)
	}
}

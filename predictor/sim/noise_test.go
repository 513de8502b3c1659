package sim

import (
	"math"
	"testing"
)

// What numpy 1.24 draws from default_rng(12345).
func TestNoiseIsNumpys(t *testing.T) {
	n := newNoise(12345)
	if a, b := n.uint64(), n.uint64(); a != 4193609425186963869 || b != 5843160025838961886 {
		t.Errorf("raw words %d, %d", a, b)
	}
	n = newNoise(12345)
	sum := 0.0
	for range 1_000_000 {
		sum += n.normal()
	}
	if math.Abs(sum-1461.504433702036) > 1e-6 {
		t.Errorf("a million draws sum to %v", sum)
	}
	// All the same layers and tails were taken.
	if got := n.uint64(); got != 11387742598029217230 {
		t.Errorf("the word after a million draws is %d", got)
	}
}

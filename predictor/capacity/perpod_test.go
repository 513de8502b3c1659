package capacity_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/barrage-im/barrage/predictor/capacity"
)

func perPod(t *testing.T, configured float64) *capacity.PerPod {
	t.Helper()
	p, err := capacity.NewPerPod(configured)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A pod's true capacity is found from both sides, with labels that are wrong now and then.
func TestPerPodIsLearnt(t *testing.T) {
	for _, truth := range []float64{40, 100, 300} {
		p := perPod(t, 100)
		random := rand.New(rand.NewPCG(1, 1))
		for range 20_000 {
			ready := 5 + random.IntN(20)
			load := truth * (0.5 + 0.7*random.Float64())
			over := load > truth
			if random.Float64() < 0.01 {
				over = !over
			}
			p.Observe(load*float64(ready), ready, over)
		}
		if got := p.Load(); math.Abs(got/truth-1) > 0.06 {
			t.Errorf("%v learnt, %v is true", got, truth)
		}
	}
}

func TestPerPodKeepsWhatIsConfigured(t *testing.T) {
	p := perPod(t, 100)
	if got := p.Load(); got != 100 {
		t.Errorf("%v before any sample", got)
	}
	for range 50_000 { // at half of it, never overloaded: says nothing
		p.Observe(1000, 20, false)
	}
	if got := p.Load(); got != 100 {
		t.Errorf("%v after samples far below", got)
	}
	for range 1000 { // more is carried
		p.Observe(3000, 20, false)
	}
	if got := p.Load(); math.Abs(got/150-1) > 0.03 {
		t.Errorf("%v where pods carried 150", got)
	}
}

func TestPerPodIgnoresWhatIsNoSample(t *testing.T) {
	p := perPod(t, 100)
	for range 1000 {
		p.Observe(math.NaN(), 3, true)
		p.Observe(math.Inf(1), 3, true)
		p.Observe(-1, 3, true)
		p.Observe(0, 3, true)
		p.Observe(10, 0, true)
	}
	if p.Load() != 100 || p.Samples() != 0 {
		t.Errorf("%v after %d samples", p.Load(), p.Samples())
	}
	if _, err := capacity.NewPerPod(math.NaN()); err == nil {
		t.Error("NaN was taken")
	}
}

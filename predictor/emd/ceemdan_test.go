package emd_test

import (
	"testing"

	"github.com/barrage-im/barrage/predictor/emd"
)

func ceemdan(t *testing.T, x []float64, o emd.Options, seed uint64) (modes [][]float64, residue []float64) {
	t.Helper()
	modes, residue, err := emd.CEEMDAN(x, o, seed)
	if err != nil {
		t.Fatal(err)
	}
	checkSum(t, x, modes, residue)
	return modes, residue
}

// Bursts on a tone end up with the tone in one mode of EMD. CEEMDAN separates them.
func TestNoiseSeparatesWhatComesAndGoes(t *testing.T) {
	s := intermittent()
	modes, residue := decompose(t, s.sum, emd.Options{})
	if c := compare(s.truth[0], modes, residue).corr; c > 0.5 {
		t.Errorf("EMD finds the bursts too (correlation %.3f): the signal does not test anything", c)
	}
	modes, residue = ceemdan(t, s.sum, emd.Options{Noise: 0.05}, 7)
	for i, want := range []float64{0.97, 0.999} {
		f := compare(s.truth[i], modes, residue)
		t.Logf("part %d: correlation %.4f, interior %.4f, last 5 %% %.4f", i+1, f.corr, f.interior, f.end)
		if f.corr < want {
			t.Errorf("part %d: correlation %.4f, want %.3f", i+1, f.corr, want)
		}
	}
}

func TestSeedsAndNoises(t *testing.T) {
	x := load(256, 4, 1).sum
	o := emd.Options{Trials: 10}
	a, ar := ceemdan(t, x, o, 1)
	b, _ := ceemdan(t, x, o, 2)
	if d := rms(a[0], b[0], 0, len(x)); d == 0 {
		t.Error("another seed gives the same mode")
	}

	// A noise may be shared, and one that does not fit is not used.
	var w, v emd.Workspace
	noise := emd.NewNoise(len(x), o, 1)
	for _, w := range []*emd.Workspace{&w, &v} {
		w.UseNoise(noise)
		m, r, err := w.CEEMDAN(x, o, 1)
		if err != nil {
			t.Fatal(err)
		}
		same(t, append(a, ar), append(m[:len(m):len(m)], r))
	}
	for _, other := range []*emd.Noise{emd.NewNoise(len(x), o, 3), emd.NewNoise(99, o, 1), emd.NewNoise(len(x), emd.Options{Trials: 4}, 1), nil} {
		w.UseNoise(other)
		m, r, err := w.CEEMDAN(x, o, 1)
		if err != nil {
			t.Fatal(err)
		}
		same(t, append(a, ar), append(m[:len(m):len(m)], r))
	}

	// The negative of each noise is there, so more trials are steadier.
	few, many := 0.0, 0.0
	for seed := range uint64(4) {
		fewer, _ := ceemdan(t, x, emd.Options{Trials: 4}, 10+2*seed)
		fewer2, _ := ceemdan(t, x, emd.Options{Trials: 4}, 11+2*seed)
		more, _ := ceemdan(t, x, emd.Options{Trials: 64}, 10+2*seed)
		more2, _ := ceemdan(t, x, emd.Options{Trials: 64}, 11+2*seed)
		few += rms(fewer[0], fewer2[0], 0, len(x))
		many += rms(more[0], more2[0], 0, len(x))
	}
	if many > few/2 {
		t.Errorf("seeds differ by %.3f with 4 trials and by %.3f with 64", few, many)
	}
}

func TestShortSignalsWithNoise(t *testing.T) {
	for n := range 40 {
		for seed := range uint64(3) {
			x := whiteNoise(n, seed)
			ceemdan(t, x, emd.Options{Trials: 4}, seed)
			decompose(t, x, emd.Options{})
		}
	}
}

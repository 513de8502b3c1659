package emd_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/barrage-im/barrage/predictor/emd"
)

// check holds a decomposition of finite input to what is always promised.
func check(t *testing.T, x []float64, modes [][]float64, residue []float64) {
	t.Helper()
	checkSum(t, x, modes, residue)
	if len(x) == 0 {
		return
	}
	// What is left may range further than x does, but not without bound.
	span := slices.Max(x) - slices.Min(x)
	bound := 0.8 * span
	for k, m := range modes {
		for i, v := range m {
			if !(math.Abs(v) <= bound*1.000001) {
				t.Fatalf("mode %d reaches %v at sample %d; the signal's range is %v", k+1, v, i, span)
			}
		}
		bound *= 2.6
	}
}

func checkSum(t *testing.T, x []float64, modes [][]float64, residue []float64) {
	t.Helper()
	if len(residue) != len(x) {
		t.Fatalf("a residue of %d samples for %d", len(residue), len(x))
	}
	scale := 0.0
	for _, v := range x {
		scale = max(scale, math.Abs(v))
	}
	for k, m := range modes {
		if len(m) != len(x) {
			t.Fatalf("mode %d has %d samples of %d", k+1, len(m), len(x))
		}
	}
	for i, v := range x {
		sum := residue[i]
		for k := len(modes) - 1; k >= 0; k-- {
			sum += modes[k][i]
		}
		if !(math.Abs(sum-v) <= 1e-12*scale+30*math.SmallestNonzeroFloat64) {
			t.Fatalf("sample %d: %v is %v put together again, of a scale of %v", i, v, sum, scale)
		}
	}
}

func decompose(t *testing.T, x []float64, o emd.Options) (modes [][]float64, residue []float64) {
	t.Helper()
	modes, residue, err := emd.Decompose(x, o)
	if err != nil {
		t.Fatal(err)
	}
	check(t, x, modes, residue)
	return modes, residue
}

func TestInputWithoutModes(t *testing.T) {
	line := make([]float64, 1024)
	flat := make([]float64, 1024)
	up := make([]float64, 300)
	for i := range line {
		line[i] = 1 + float64(i)/512
		flat[i] = 3
	}
	for i := range up {
		up[i] = math.Exp(float64(i)/20) - 7
	}
	for name, x := range map[string][]float64{
		"nothing": nil, "one": {7}, "two": {1, 2}, "four": {1, 3, 1, 3},
		"constant": flat, "linear": line, "monotone": up,
		"zero": make([]float64, 50), "one peak": {0, 1, 2, 3, 2, 1, 0, -1},
		"a peak and a trough": {0, 1, 2, 1, 0, 1, 2}, "a plateau": {0, 1, 1, 1, 1, 0, 0},
		"a step": {0, 0, 0, 0, 5, 5, 5, 5, 5}, "largest": {-1e300, 1e300, 1e300},
	} {
		t.Run(name, func(t *testing.T) {
			modes, residue := decompose(t, x, emd.Options{})
			if len(modes) != 0 || !slices.Equal(residue, x) {
				t.Errorf("%d modes, residue %v", len(modes), residue)
			}
			if modes, residue, err := emd.CEEMDAN(x, emd.Options{}, 1); err != nil || len(modes) != 0 || !slices.Equal(residue, x) {
				t.Errorf("CEEMDAN: %d modes, residue %v, error %v", len(modes), residue, err)
			}
		})
	}
}

func TestInputThatIsRefused(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1.001e300, -math.MaxFloat64} {
		x := whiteNoise(64, 1)
		x[40] = bad
		for name, of := range map[string]func() ([][]float64, []float64, error){
			"EMD":     func() ([][]float64, []float64, error) { return emd.Decompose(x, emd.Options{}) },
			"CEEMDAN": func() ([][]float64, []float64, error) { return emd.CEEMDAN(x, emd.Options{}, 1) },
		} {
			modes, residue, err := of()
			want := fmt.Sprintf("sample 40 is %v: not a finite number of at most 1e300", bad)
			if !errors.Is(err, emd.ErrInput) || err.Error() != want || modes != nil || residue != nil {
				t.Errorf("%s of %v: %v, %v, error %v", name, bad, modes, residue, err)
			}
		}
	}
}

func TestPlateausAreOneExtremum(t *testing.T) {
	// Three rectangles: 3 maxima, 2 minima; a mode whose extrema are at the middles.
	var x []float64
	for range 6 {
		x = append(x, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1)
	}
	modes, _ := decompose(t, x, emd.Options{Sifts: 1, MaxModes: 1})
	if len(modes) != 1 {
		t.Fatalf("%d modes", len(modes))
	}
	for i, v := range modes[0] {
		if want := x[i] - 0.5; i > 5 && i < 55 && math.Abs(v-want) > 0.02 {
			t.Errorf("sample %d is %.3f, want %.1f: the envelopes are 1 and 0", i, v, want)
		}
	}
}

func TestScaleAndSign(t *testing.T) {
	x := load(600, 5, 3).sum
	modes, residue := decompose(t, x, emd.Options{})
	if len(modes) < 4 {
		t.Fatalf("%d modes", len(modes))
	}
	for _, factor := range []float64{-1, 0x1p40, 0x1p-40, 0x1p900, -0x1p-900} {
		y := make([]float64, len(x))
		for i, v := range x {
			y[i] = v * factor
		}
		m, r := decompose(t, y, emd.Options{})
		if len(m) != len(modes) {
			t.Errorf("times %v: %d modes, were %d", factor, len(m), len(modes))
			continue
		}
		for k := range append(m, r) {
			a, b := append(m, r)[k], append(modes, residue)[k]
			for i := range a {
				if a[i] != b[i]*factor {
					t.Fatalf("times %v: mode %d, sample %d is %v, was %v", factor, k, i, a[i], b[i])
				}
			}
		}
	}
	// Down among the numbers that have lost digits there is no exactness left, but order.
	tiny := make([]float64, len(x))
	for i, v := range x {
		tiny[i] = v * 1e-322
	}
	decompose(t, tiny, emd.Options{})
}

// The same input gives the same bits: by a new workspace, by one that has seen other
// lengths, and whatever lies behind the end of the slice.
func TestSameInputSameBits(t *testing.T) {
	var w emd.Workspace
	for seed, n := range []int{1024, 77, 2000, 300, 5, 1024} {
		x := load(n, 6, uint64(seed)).sum
		modes, residue := decompose(t, x, emd.Options{})
		future := append(slices.Clone(x), whiteNoise(500, 9)...)
		for _, y := range [][]float64{x, future[:n]} {
			m, r, err := w.Decompose(y, emd.Options{})
			if err != nil {
				t.Fatal(err)
			}
			same(t, append(modes, residue), append(m[:len(m):len(m)], r))
		}

		o := emd.Options{Trials: 6}
		cm, cr, err := emd.CEEMDAN(x, o, 5)
		if err != nil {
			t.Fatal(err)
		}
		m, r, err := w.CEEMDAN(x, o, 5)
		if err != nil {
			t.Fatal(err)
		}
		same(t, append(cm, cr), append(m[:len(m):len(m)], r))
	}
}

func same(t *testing.T, a, b [][]float64) {
	t.Helper()
	if !slices.EqualFunc(a, b, slices.Equal) {
		t.Errorf("%d samples: %d and %d modes, or other bits", len(a[0]), len(a)-1, len(b)-1)
	}
}

func TestNothingIsAllocatedTheSecondTime(t *testing.T) {
	x := load(1500, 8, 2).sum
	o := emd.Options{Trials: 4}
	var w emd.Workspace
	var g emd.Groups
	run := func() {
		modes, residue, err := w.Decompose(x, o)
		if err != nil {
			t.Fatal(err)
		}
		g.BySeason(modes, residue, 180)
		g.ByRuns(modes, residue)
		if _, _, err := w.CEEMDAN(x, o, 1); err != nil {
			t.Fatal(err)
		}
	}
	run()
	if n := testing.AllocsPerRun(3, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Modes of white noise are a bank of filters, each an octave below the one before
// (Flandrin, Rilling and Gonçalves 2004).
func TestNoiseFallsIntoOctaves(t *testing.T) {
	modes, _ := decompose(t, whiteNoise(4096, 4), emd.Options{})
	if len(modes) < 8 {
		t.Fatalf("%d modes", len(modes))
	}
	for k := 1; k < 6; k++ {
		ratio := emd.Period(modes[k]) / emd.Period(modes[k-1])
		if ratio < 1.7 || ratio > 2.5 {
			t.Errorf("mode %d has %.2f times the period of the one before", k+1, ratio)
		}
	}
}

func TestLimits(t *testing.T) {
	x := whiteNoise(1000, 2)
	if modes, _ := decompose(t, x, emd.Options{MaxModes: 3}); len(modes) != 3 {
		t.Errorf("%d modes, at most 3 were asked for", len(modes))
	}
	one, _ := decompose(t, x, emd.Options{Sifts: 1, MaxModes: 1})
	ten, _ := decompose(t, x, emd.Options{Sifts: 10, MaxModes: 1})
	if a, b := emd.Crossings(one[0]), emd.Crossings(ten[0]); a >= b {
		t.Errorf("one sift leaves %d crossings, ten %d: sifting brings waves out", a, b)
	}
	loose, _ := decompose(t, x, emd.Options{MaxSifts: 50, Theta1: 1, Theta2: 1e9, Alpha: 1, MaxModes: 1})
	strict, _ := decompose(t, x, emd.Options{MaxSifts: 50, Theta1: 0.01, Theta2: 0.1, Alpha: 0.01, MaxModes: 1})
	if a, b := emd.Crossings(loose[0]), emd.Crossings(strict[0]); a >= b {
		t.Errorf("loose thresholds leave %d crossings, strict ones %d", a, b)
	}
}

// What a continuation is for: the same signal is taken apart nearly alike whether it
// ends here or goes on.
func TestTheEndIsAsGoodAsTheMiddle(t *testing.T) {
	end := func(o emd.Options) (sum float64) {
		for _, s := range analytic() {
			n := len(s.sum) * 3 / 4
			modes, residue := decompose(t, s.sum[:n], o)
			for _, truth := range s.truth {
				sum += compare(truth[:n], modes, residue).end
			}
		}
		return sum
	}
	with, without := end(emd.Options{}), end(emd.Options{NoExtension: true})
	t.Logf("sum of errors in the last 5 %%: %.3f with continuations, %.3f without", with, without)
	if with > 0.25*without {
		t.Errorf("the error at the end is %.3f, and %.3f without continuations", with, without)
	}
}

package emd_test

import (
	"fmt"
	"testing"

	"github.com/barrage-im/barrage/predictor/emd"
)

// BenchmarkDecompose: a week of minutes is 10,080 points.
func BenchmarkDecompose(b *testing.B) {
	for _, n := range []int{512, 1440, 10_080} {
		for name, x := range map[string][]float64{"load": load(n, 7, 1).sum, "noise": whiteNoise(n, 1)} {
			b.Run(fmt.Sprint(name, "/", n), func(b *testing.B) {
				var w emd.Workspace
				b.ReportAllocs()
				for b.Loop() {
					if _, _, err := w.Decompose(x, emd.Options{}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkCEEMDAN: 100 trials of 1,024 points, with the noise made before.
func BenchmarkCEEMDAN(b *testing.B) {
	x := load(1024, 8, 1).sum
	var w emd.Workspace
	w.UseNoise(emd.NewNoise(len(x), emd.Options{}, 1))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := w.CEEMDAN(x, emd.Options{}, 1); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewNoise(b *testing.B) {
	for b.Loop() {
		emd.NewNoise(1024, emd.Options{}, 1)
	}
}

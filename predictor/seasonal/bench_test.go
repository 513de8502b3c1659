package seasonal_test

import (
	"testing"

	"github.com/barrage-im/barrage/predictor/seasonal"
)

func BenchmarkForecast(b *testing.B) {
	for _, n := range []int{700, 960} {
		y := load(n, 1)
		b.Run(map[int]string{700: "700", 960: "960"}[n], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := seasonal.Forecast(y, hourly, 48, []float64{0.025, 0.5, 0.975}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

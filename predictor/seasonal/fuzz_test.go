package seasonal_test

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"github.com/barrage-im/barrage/predictor/seasonal"
)

// FuzzForecast: whatever the samples, there is a forecast or one of the errors;
// all of it is finite, and quantiles are in order.
func FuzzForecast(f *testing.F) {
	raw := func(y []float64) (b []byte) {
		for _, v := range y {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
		return b
	}
	f.Add([]byte(nil), 4, 2, 5)
	f.Add(raw(load(60, 1)), 4, 3, 10)
	f.Add(raw([]float64{1, 2, math.NaN(), 4, math.Inf(-1), 6, 7, 1e300}), 2, 0, 3)
	f.Add(raw([]float64{0, 0, 0, 5e-324, 0, 0, 0, 0, 1e100, 0, 0, 0}), 3, 0, 20)
	f.Add(raw(slices.Repeat([]float64{-1, 1e99, 0}, 30)), 3, 2, 7)
	f.Fuzz(func(t *testing.T, b []byte, day, times, h int) {
		y := make([]float64, min(len(b)/8, 400))
		for i := range y {
			y[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
		}
		periods := []int{day}
		if times > 0 && times < 100 && day < 1<<20 {
			periods = append(periods, day*times)
		}
		if h > 200 {
			h = 200
		}
		r, err := seasonal.Forecast(y, periods, h, []float64{0.01, 0.3, 0.5, 0.99})
		if err != nil {
			return
		}
		negative := slices.ContainsFunc(y, func(v float64) bool { return v < 0 && v >= -seasonal.MaxValue })
		for i, m := range r.Median {
			if math.IsNaN(m) || math.IsInf(m, 0) {
				t.Fatalf("lead %d: %v", i, m)
			}
			last := math.Inf(-1)
			for _, q := range r.Quantiles {
				if !(q[i] >= last) || math.IsInf(q[i], 0) || !negative && q[i] < 0 {
					t.Fatalf("lead %d: quantiles %v after %v", i, q[i], last)
				}
				last = q[i]
			}
		}
	})
}

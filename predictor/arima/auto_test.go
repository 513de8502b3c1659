package arima_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/barrage-im/barrage/predictor/arima"
)

func TestUnitRootsAgainstR(t *testing.T) {
	dir := sharedDir(t)
	var r struct {
		Meta map[string]struct{ Frequency float64 }
		Root []struct {
			Series   string
			Diff     int
			KPSS     float64 `json:"kpss_mu"`
			Ndiffs   *int    `json:"ndiffs_kpss"`
			Seasonal *int    `json:"nsdiffs_seas"`
		} `json:"unit_root"`
	}
	readJSON(t, filepath.Join(dir, "reference_R.json"), &r)
	seen := 0
	for _, ref := range r.Root {
		y := readValues(t, filepath.Join(dir, "classic", ref.Series+".csv"))
		if ref.Series == "presidents" {
			continue // R takes its longest stretch without a gap there
		}
		seen++
		x := append([]float64(nil), y...)
		if ref.Diff == 1 {
			for i := range x[1:] {
				x[i] = y[i+1] - y[i]
			}
			x = x[:len(x)-1]
		}
		if got := arima.KPSS(x); math.Abs(got-ref.KPSS) > 1e-8 {
			t.Errorf("%s, differenced %d times: KPSS %.10f, R %.10f", ref.Series, ref.Diff, got, ref.KPSS)
		}
		if ref.Ndiffs != nil && arima.Differences(y) != *ref.Ndiffs {
			t.Errorf("%s: %d differences, R %d", ref.Series, arima.Differences(y), *ref.Ndiffs)
		}
		if ref.Seasonal != nil {
			m := int(r.Meta[ref.Series].Frequency)
			strength := arima.SeasonalStrength(y, m)
			if (strength > 0.64) != (*ref.Seasonal == 1) {
				t.Errorf("%s: seasonal strength %.3f, R differences %d times", ref.Series, strength, *ref.Seasonal)
			}
		}
	}
	if seen < 30 {
		t.Errorf("only %d comparisons", seen)
	}
}

// A series with two seasons in it and noise that remembers is found again.
func TestFourierTermsCarryALongSeason(t *testing.T) {
	const day = 1440
	rng := rand.New(rand.NewPCG(3, 4))
	n := 3 * day
	y := make([]float64, n)
	z := 0.0
	truth := func(s int) float64 {
		a := 2 * math.Pi * float64(s) / day
		return 100 + 20*math.Sin(a) + 5*math.Cos(2*a)
	}
	for i := range y {
		z = 0.8*z + rng.NormFloat64()
		y[i] = truth(i) + z
	}
	x, err := arima.Fourier(0, n, arima.Term{Period: day, K: 3})
	if err != nil {
		t.Fatal(err)
	}
	m, err := arima.Fit(y, arima.Order{P: 1}, arima.Options{Constant: true, XReg: x})
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(m.AR[0]-0.8) > 0.05 || math.Abs(m.Sigma2-1) > 0.1 {
		t.Errorf("phi %f, sigma2 %f", m.AR[0], m.Sigma2)
	}
	h := day / 2
	ahead, err := arima.Fourier(n, h, arima.Term{Period: day, K: 3})
	if err != nil {
		t.Fatal(err)
	}
	mean, _ := m.Forecast(h, ahead)
	if want := truth(n + h - 1); math.Abs(mean[h-1]-want) > 2 {
		t.Errorf("half a day ahead %f, truth %f", mean[h-1], want)
	}
	row := arima.AppendFourier(nil, n+7, arima.Term{Period: day, K: 3})
	for i, v := range ahead[7] {
		if row[i] != v {
			t.Errorf("a row of its own: %v, in the table %v", row, ahead[7])
		}
	}
}

func TestFourierTermsThatCannotBe(t *testing.T) {
	for name, terms := range map[string][]arima.Term{
		"period":     {{Period: 1.5, K: 1}},
		"harmonics":  {{Period: 24, K: 13}},
		"none":       {{Period: 24, K: 0}},
		"twice":      {{Period: 24, K: 2}, {Period: 12, K: 1}},
		"many":       {{Period: 10_080, K: 500}},
		"not number": {{Period: nan, K: 1}},
	} {
		if _, err := arima.Fourier(0, 10, terms...); !errors.Is(err, arima.ErrRegressors) {
			t.Errorf("%s: %v", name, err)
		}
	}
	x, err := arima.Fourier(0, 4, arima.Term{Period: 4, K: 2})
	if err != nil || len(x[0]) != 3 {
		t.Errorf("two steps a turn: %v, %v", x, err)
	}
}

// Longer series: what Auto finds forecasts as well as the order they were made with.
func TestAutoFindsWhatMadeTheSeries(t *testing.T) {
	y := simulated(4000, 9)
	m, err := arima.Auto(y, arima.Options{})
	if err != nil {
		t.Fatal(err)
	}
	made, err := arima.Fit(y, arima.Order{P: 2, D: 1, Q: 2}, arima.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Order.D != 1 || m.AICc > made.AICc+1e-3 {
		t.Errorf("%v, AICc %f; the series is %v, %f", m.Order, m.AICc, made.Order, made.AICc)
	}
	y = daily(720, 9)
	m, err = arima.Auto(y, arima.Options{Season: 24})
	if err != nil {
		t.Fatal(err)
	}
	made, err = arima.Fit(y, arima.Order{P: 1, Q: 1, SD: 1, SQ: 1, Season: 24}, arima.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Order.SD != 1 || m.AICc > made.AICc+1e-3 {
		t.Errorf("%v, AICc %f; the series is %v, %f", m.Order, m.AICc, made.Order, made.AICc)
	}
}

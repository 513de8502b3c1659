package arima_test

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/barrage-im/barrage/predictor/arima"
)

func repeat(v float64, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = v
	}
	return out
}

func line(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = 3 + 0.7*float64(i)
	}
	return out
}

func TestBadInputIsRefused(t *testing.T) {
	inf := math.Inf(1)
	y := simulated(40, 3)
	for _, c := range []struct {
		name  string
		y     []float64
		order arima.Order
		o     arima.Options
		want  error
	}{
		{"nothing", nil, arima.Order{}, arima.Options{}, arima.ErrEmpty},
		{"all missing", repeat(nan, 50), arima.Order{P: 1}, arima.Options{}, arima.ErrEmpty},
		{"infinite", append([]float64{1, 2, inf}, y...), arima.Order{P: 1}, arima.Options{}, arima.ErrInfinite},
		{"overflowing", []float64{1, -math.MaxFloat64, math.MaxFloat64, nan, 4, 5, 6, 7}, arima.Order{D: 1}, arima.Options{}, arima.ErrInfinite},
		{"too few", y[:3], arima.Order{P: 2, D: 1, Q: 2}, arima.Options{}, arima.ErrShort},
		{"differenced away", y[:10], arima.Order{SD: 1, Season: 12}, arima.Options{}, arima.ErrShort},
		{"negative order", y, arima.Order{P: -1}, arima.Options{}, arima.ErrOrder},
		{"huge order", y, arima.Order{Q: 1 << 40}, arima.Options{}, arima.ErrOrder},
		{"season of one", y, arima.Order{SP: 1, Season: 1}, arima.Options{}, arima.ErrOrder},
		{"a day of minutes", y, arima.Order{SP: 1, Season: 1440}, arima.Options{}, arima.ErrSeason},
		{"long lags", y, arima.Order{SP: 2, Season: 300}, arima.Options{}, arima.ErrSeason},
		{"rows that lack", y, arima.Order{}, arima.Options{XReg: make([][]float64, 39)}, arima.ErrRegressors},
		{"ragged rows", y, arima.Order{}, arima.Options{XReg: append([][]float64{{1}}, make([][]float64, 39)...)}, arima.ErrRegressors},
		{"regressors of nought", y, arima.Order{}, arima.Options{XReg: rows(40, 0)}, arima.ErrRegressors},
		{"a second constant", y, arima.Order{}, arima.Options{Constant: true, XReg: rows(40, 5)}, arima.ErrRegressors},
		{"missing regressor", y, arima.Order{}, arima.Options{XReg: rows(40, nan)}, arima.ErrInfinite},
	} {
		if m, err := arima.Fit(c.y, c.order, c.o); !errors.Is(err, c.want) || m != nil {
			t.Errorf("%s: %v, %v", c.name, m, err)
		}
	}
	for name, y := range map[string][]float64{"nothing": nil, "all missing": repeat(nan, 50)} {
		if _, err := arima.Auto(y, arima.Options{}); !errors.Is(err, arima.ErrEmpty) {
			t.Errorf("Auto of %s: %v", name, err)
		}
	}
	if _, err := arima.Auto(append(y, inf), arima.Options{}); !errors.Is(err, arima.ErrInfinite) {
		t.Errorf("Auto of an infinite sample: %v", err)
	}
	if _, err := arima.Auto(y, arima.Options{Season: 1440}); !errors.Is(err, arima.ErrSeason) {
		t.Errorf("Auto of a long season: %v", err)
	}
}

func rows(n int, v float64) [][]float64 {
	out := make([][]float64, n)
	for i := range out {
		out[i] = []float64{v}
	}
	return out
}

func TestSeriesWithoutNoiseAreContinuedExactly(t *testing.T) {
	gappy := line(60)
	gappy[0], gappy[1], gappy[30], gappy[59] = nan, nan, nan, nan
	season := make([]float64, 96)
	for i := range season {
		season[i] = float64(i % 12)
	}
	for _, c := range []struct {
		name string
		y    []float64
		o    arima.Options
		next float64
	}{
		{"constant", repeat(5, 40), arima.Options{}, 5},
		{"nought", repeat(0, 40), arima.Options{}, 0},
		{"linear", line(40), arima.Options{}, 3 + 0.7*40},
		{"linear with gaps", gappy, arima.Options{}, 3 + 0.7*60},
		{"one sample", []float64{7}, arima.Options{}, 7},
		{"one sample among missing", []float64{nan, 7, nan}, arima.Options{}, 7},
		{"a season and nothing else", season, arima.Options{Season: 12}, 0},
	} {
		m, err := arima.Auto(c.y, c.o)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		mean, sd := m.Forecast(1, nil)
		if m.Sigma2 != 0 || !math.IsInf(m.LogLik, 1) || !close2(mean[0], c.next, 1e-9) || sd[0] != 0 {
			t.Errorf("%s: %v, sigma2 %g, loglik %g, %g ± %g", c.name, m.Order, m.Sigma2, m.LogLik, mean[0], sd[0])
		}
	}
	m, err := arima.Fit(repeat(5, 40), arima.Order{P: 1, Q: 1}, arima.Options{Constant: true})
	if err != nil || m.AR[0] != 0 || !close2(m.Constant, 5, 1e-12) || m.Sigma2 != 0 {
		t.Errorf("a constant by a fixed order: %+v, %v", m, err)
	}
}

func TestFewSamples(t *testing.T) {
	y := []float64{3, 1, 4, 1, 5, 9, 2, 6}
	for n := 1; n <= len(y); n++ {
		m, err := arima.Auto(y[:n], arima.Options{Season: 4})
		if err != nil {
			if !errors.Is(err, arima.ErrShort) {
				t.Errorf("%d samples: %v", n, err)
			}
			continue
		}
		mean, sd := m.Forecast(5, nil)
		for k := range mean {
			if math.IsNaN(mean[k]) || math.IsNaN(sd[k]) || math.Abs(mean[k]) > 1000 {
				t.Errorf("%d samples, %v: %v ± %v", n, m.Order, mean, sd)
				break
			}
		}
	}
}

func TestScaleDoesNotMatter(t *testing.T) {
	y := simulated(200, 5)
	plain, err := arima.Auto(y, arima.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []float64{0x1p-300, 0x1p300} {
		z := make([]float64, len(y))
		for i, v := range y {
			z[i] = v * f
		}
		m, err := arima.Auto(z, arima.Options{})
		if err != nil || m.Order != plain.Order || !close2(m.Coef()[0], plain.Coef()[0], 1e-9) {
			t.Errorf("times %g: %+v, %v; plain %v %v", f, m, err, plain.Order, plain.Coef())
			continue
		}
		a, _ := m.Forecast(3, nil)
		b, _ := plain.Forecast(3, nil)
		if !close2(a[2]/f, b[2], 1e-9) {
			t.Errorf("times %g: forecast %g, plain %g", f, a[2]/f, b[2])
		}
	}
}

func TestForecastWithoutItsRegressors(t *testing.T) {
	c := oracleCases[3]
	y, xreg := c.sample(4)
	m, err := arima.Fit(y, c.order, arima.Options{Constant: true, XReg: xreg})
	if err != nil {
		t.Fatal(err)
	}
	mean, sd := m.Forecast(3, [][]float64{{1, 2}, {nan, 1}})
	if math.IsNaN(mean[0]) || !math.IsNaN(mean[1]) || !math.IsNaN(mean[2]) || !math.IsNaN(sd[2]) {
		t.Errorf("%v ± %v", mean, sd)
	}
	if mean, _ := m.Forecast(-1, nil); len(mean) != 0 {
		t.Errorf("%d steps for h = -1", len(mean))
	}
	if v, sd := m.Update(4, []float64{1}); !math.IsNaN(v) || !(sd > 0) {
		t.Errorf("a sample without its regressors: %f ± %f", v, sd)
	}
	if v, _ := m.Update(math.Inf(1), []float64{1, 2}); !math.IsNaN(v) {
		t.Errorf("an infinite sample: %f", v)
	}
}

// Whatever the numbers, there is an error or a model that can be used.
func FuzzFit(f *testing.F) {
	add := func(y []float64, p, d, q, sp, sd, sq, m uint8) {
		var b []byte
		for _, v := range y {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
		f.Add(b, p, d, q, sp, sd, sq, m, true)
	}
	add(simulated(40, 1), 2, 1, 2, 0, 0, 0, 0)
	add(daily(60, 1), 1, 0, 1, 0, 1, 1, 24)
	add(line(20), 1, 1, 0, 0, 0, 0, 0)
	add([]float64{1, nan, 3, 1e300, -1e300, 5, 5, 5, 5}, 1, 0, 1, 0, 0, 0, 0)
	add(repeat(nan, 9), 1, 0, 0, 1, 0, 0, 4)
	f.Fuzz(func(t *testing.T, data []byte, p, d, q, sp, sd, sq, season uint8, constant bool) {
		const longest = 30 // large states are slow under the fuzzer
		var y []float64
		for len(data) >= 8 && len(y) < longest {
			y = append(y, math.Float64frombits(binary.LittleEndian.Uint64(data)))
			data = data[8:]
		}
		o := arima.Order{P: int(p % 4), D: int(d % 3), Q: int(q % 4), SP: int(sp % 2), SD: int(sd % 2), SQ: int(sq % 2), Season: int(season % 7)}
		m, err := arima.Fit(y, o, arima.Options{Constant: constant})
		use(t, m, err)
		m, err = arima.Auto(y, arima.Options{Season: int(season % 7), MaxP: 1, MaxQ: 1, MaxSP: 1, MaxSQ: 1})
		use(t, m, err)
	})
}

func use(t *testing.T, m *arima.Model, err error) {
	if (m == nil) == (err == nil) {
		t.Fatalf("model %v, error %v", m, err)
	}
	if err != nil {
		return
	}
	for _, c := range m.Coef() {
		if math.IsNaN(c) {
			t.Fatalf("%v: coefficients %v", m.Order, m.Coef())
		}
	}
	m.Update(nan, nil)
	m.Update(1, nil)
	mean, sd := m.Forecast(4, nil)
	for k := range mean {
		if math.IsNaN(mean[k]) || math.IsNaN(sd[k]) {
			t.Fatalf("%v %v: %v ± %v", m.Order, m.Coef(), mean, sd)
		}
	}
}

package arima_test

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/barrage-im/barrage/predictor/arima"
)

var nan = math.NaN()

type forecastRef struct {
	Mean, Lo80, Hi80, Lo95, Hi95 []float64
}

type fixedRef struct {
	Series   string
	Log      bool
	Order    [3]int
	Seasonal [4]float64
	Mean     bool
	Coef, SE map[string]float64
	Sigma2   float64 `json:"sigma2_ml"`
	Unbiased float64 `json:"sigma2_unbiased"`
	LogLik   float64
	AICc     float64
	Forecast forecastRef
}

type modelsRef struct {
	Series   string
	Log      bool
	Order    [3]int
	Seasonal [4]float64
	LogLik   float64            `json:"llf_simple_differencing"`
	Coef     map[string]float64 `json:"params_simple_differencing"`
}

func (r fixedRef) key() string { return fmt.Sprint(r.Series, r.Log, r.Order, r.Seasonal) }

func (r modelsRef) key() string { return fmt.Sprint(r.Series, r.Log, r.Order, r.Seasonal) }

func orderOf(o [3]int, s [4]float64) arima.Order {
	out := arima.Order{P: o[0], D: o[1], Q: o[2]}
	if s[3] > 1 {
		out.SP, out.SD, out.SQ, out.Season = int(s[0]), int(s[1]), int(s[2]), int(s[3])
	}
	return out
}

// named are the coefficients under R's names.
func named(m *arima.Model) map[string]float64 {
	out := map[string]float64{}
	for _, g := range []struct {
		name string
		c    []float64
	}{{"ar", m.AR}, {"ma", m.MA}, {"sar", m.SAR}, {"sma", m.SMA}} {
		for i, v := range g.c {
			out[fmt.Sprint(g.name, i+1)] = v
		}
	}
	if m.HasConstant {
		name := "intercept"
		if m.Order.D+m.Order.SD > 0 {
			name = "drift"
		}
		out[name] = m.Constant
	}
	return out
}

func classic(t testing.TB, dir, name string, logged bool) []float64 {
	y := readValues(t, filepath.Join(dir, "classic", name+".csv"))
	if name == "treering" {
		y = y[len(y)-4000:]
	}
	if logged {
		for i := range y {
			y[i] = math.Log(y[i])
		}
	}
	return y
}

func TestFixedOrdersAgainstRAndStatsmodels(t *testing.T) {
	dir := sharedDir(t)
	var r struct{ Fixed []json.RawMessage }
	readJSON(t, filepath.Join(dir, "reference_R.json"), &r)
	var sm struct{ Fits []modelsRef }
	readJSON(t, filepath.Join(dir, "reference_statsmodels.json"), &sm)
	other := map[string]modelsRef{}
	for _, f := range sm.Fits {
		other[f.key()] = f
	}
	for _, raw := range r.Fixed {
		var ref fixedRef
		if err := json.Unmarshal(raw, &ref); err != nil {
			// R writes an empty list for no coefficients
			raw = []byte(strings.ReplaceAll(string(raw), "[]", "{}"))
			if err := json.Unmarshal(raw, &ref); err != nil {
				t.Fatal(err)
			}
		}
		y := classic(t, dir, ref.Series, ref.Log)
		order := orderOf(ref.Order, ref.Seasonal)
		m, err := arima.Fit(y, order, arima.Options{Constant: ref.Mean})
		if err != nil {
			t.Errorf("%s %v: %v", ref.Series, order, err)
			continue
		}
		worst := 0.0
		for name, v := range named(m) {
			worst = max(worst, math.Abs(v-ref.Coef[name])/ref.SE[name])
		}
		mean, sd := m.Forecast(24, nil)
		fm, fs := 0.0, 0.0
		for h := range mean {
			rsd := (ref.Forecast.Hi95[h] - ref.Forecast.Lo95[h]) / 2 / 1.959963985
			fm = max(fm, math.Abs(mean[h]-ref.Forecast.Mean[h])/rsd)
			fs = max(fs, math.Abs(sd[h]/rsd-1))
		}
		o := other[ref.key()]
		if m.LogLik < ref.LogLik-5e-3 || o.LogLik != 0 && m.LogLik < o.LogLik-1e-4 {
			t.Errorf("%s %v: %f, R %f, statsmodels %f", ref.Series, order, m.LogLik, ref.LogLik, o.LogLik)
		}
		t.Logf("%-14s %-16v ours %14.6f  R %+.1e  sm %+.1e  coef/se %.1e  mean/sd %.1e  sd %.1e", ref.Series, order, m.LogLik, m.LogLik-ref.LogLik, m.LogLik-o.LogLik, worst, fm, fs)
	}
}

type autoRef struct {
	Series, Variant string
	Order           [3]int
	Seasonal        [4]float64
	LogLik, AICc    float64
}

func TestAutoAgainstR(t *testing.T) {
	dir := sharedDir(t)
	var r struct{ Auto []autoRef }
	readJSON(t, filepath.Join(dir, "reference_R.json"), &r)
	for _, ref := range r.Auto {
		y := classic(t, dir, ref.Series, ref.Variant == "log")
		m, err := arima.Auto(y, arima.Options{Season: int(ref.Seasonal[3])})
		if err != nil {
			t.Errorf("%s: %v", ref.Series, err)
			continue
		}
		_, _ = arima.Auto(y, arima.Options{Season: int(ref.Seasonal[3])})
		if m.AICc > ref.AICc+0.02 && ref.Series != "AirPassengers" {
			t.Errorf("%s: AICc %f, R %f", ref.Series, m.AICc, ref.AICc)
		}
		t.Logf("%-14s %-28s R %-16v %12.4f  ours %-16v const %-5v %12.4f  %+.4f", ref.Series, ref.Variant, orderOf(ref.Order, ref.Seasonal), ref.AICc, m.Order, m.HasConstant, m.AICc, m.AICc-ref.AICc)
	}
}

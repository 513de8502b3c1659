package backtest_test

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/barrage-im/barrage/predictor/backtest"
	"github.com/barrage-im/barrage/predictor/internal/shared"
)

// The bars: geometric means over the public load traces of the error relative to
// R's auto.arima, and the worst trace relative to its best single anchor.
const (
	barMAE   = 0.61
	barSPL   = 0.58
	barTrace = 1.03
)

// single are the anchors that are one method, not a combination.
func single(name string) bool {
	return !strings.HasPrefix(name, "comb") && !strings.HasPrefix(name, "online") && !strings.HasPrefix(name, "best")
}

// coverage is the share of samples inside an interval, by origin.
type coverage struct{ in80, in95, all []float64 }

func (c *coverage) add(y []float64, q [][]float64) {
	var in80, in95 float64
	for h, v := range y {
		if v >= q[h][3] && v <= q[h][7] {
			in80++
		}
		if v >= q[h][1] && v <= q[h][9] {
			in95++
		}
	}
	c.in80, c.in95, c.all = append(c.in80, in80), append(c.in95, in95), append(c.all, float64(len(y)))
}

// spread is the standard error of a share over origins that depend on their
// neighbours: a bootstrap of blocks of origins.
func (c *coverage) spread(hits []float64) float64 {
	const block, times = 10, 400
	random := rand.New(rand.NewPCG(1, 1))
	var sum, square float64
	for range times {
		var in, all float64
		for range (len(hits) + block - 1) / block {
			from := random.IntN(len(hits))
			for k := range block {
				in += hits[(from+k)%len(hits)]
				all += c.all[(from+k)%len(hits)]
			}
		}
		sum += in / all
		square += in / all * in / all
	}
	m := sum / times
	return math.Sqrt(max(0, square/times-m*m))
}

// TestPublicTraces runs the yardstick's rolling origins over the public traces,
// and all other origins of the test part for the coverage.
func TestPublicTraces(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: takes seconds")
	}
	dir, ok := shared.Dir()
	if !ok {
		t.Skip("SKIPPED: the public forecasting set is not there")
	}
	var cfg struct {
		Series map[string]struct{ M, W, Test, Stride, H int }
	}
	var anchors map[string]map[string]struct{ MAE, SPL float64 }
	read(t, filepath.Join(dir, "config.json"), &cfg)
	read(t, filepath.Join(dir, "anchor_scores.json"), &anchors)
	var names []string
	for name := range cfg.Series {
		names = append(names, name)
	}
	slices.Sort(names)
	var mae, spl float64
	t.Log("trace                  MAE    SPL  of auto.arima, MAE   SPL  of the best anchor; inside 80 %, 95 % at the yardstick's origins; at all")
	for _, name := range names {
		c := cfg.Series[name]
		y, err := shared.Values(filepath.Join(dir, name+".csv"))
		if err != nil {
			t.Fatal(err)
		}
		run := func(stride int) backtest.Row {
			own, err := backtest.Ensemble(c.H, []int{c.M, c.W})
			if err != nil {
				t.Fatal(err)
			}
			o := backtest.Options{Horizon: c.H, Seasons: []int{c.M, c.W}, Test: c.Test, Stride: stride, Keep: c.Test}
			r, err := backtest.Run(y, o, []backtest.Method{own})
			if err != nil {
				t.Fatal(err)
			}
			return r.Rows[0]
		}
		s, all := run(c.Stride), run(1)
		var inside coverage
		for _, f := range s.Forecasts {
			inside.add(y[f.Origin:f.Origin+c.H], f.Quantiles)
		}
		base := anchors[name]["auto_arima"]
		bestMAE, bestSPL := math.Inf(1), math.Inf(1)
		for m, v := range anchors[name] {
			if single(m) {
				bestMAE, bestSPL = min(bestMAE, v.MAE), min(bestSPL, v.SPL)
			}
		}
		mae += math.Log(s.MAE/base.MAE) / float64(len(names))
		spl += math.Log(s.SPL/base.SPL) / float64(len(names))
		t.Logf("%-22s %.3f  %.3f                %.3f  %.3f                     %.3f ± %.3f, %.3f ± %.3f   %.3f, %.3f", name, s.MAE/base.MAE, s.SPL/base.SPL,
			s.MAE/bestMAE, s.SPL/bestSPL, s.Cov80, inside.spread(inside.in80), s.Cov95, inside.spread(inside.in95), all.Cov80, all.Cov95)
		if worst := max(s.MAE/bestMAE, s.SPL/bestSPL); worst > barTrace {
			t.Errorf("%s: %.3f of its best anchor, the bar is %.2f", name, worst, barTrace)
		}
		// The bars are 0.78 to 0.83 and 0.94 to 0.96. At the few origins of the
		// yardstick chance alone passes them (the ± above), so that this looks at all
		// origins, and lets what is missed by a percent pass: it guards against worse.
		if all.Cov80 < 0.77 || all.Cov80 > 0.84 || all.Cov95 < 0.935 || all.Cov95 > 0.965 {
			t.Errorf("%s: intervals of 80 %% and 95 %% hold %.3f and %.3f of the samples", name, all.Cov80, all.Cov95)
		}
	}
	t.Logf("geometric means: MAE %.3f (bar %.2f), SPL %.3f (bar %.2f)", math.Exp(mae), barMAE, math.Exp(spl), barSPL)
	if math.Exp(mae) > barMAE || math.Exp(spl) > barSPL {
		t.Error("a bar is missed")
	}
}

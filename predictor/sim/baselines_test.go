package sim_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/barrage-im/barrage/predictor/internal/shared"
	"github.com/barrage-im/barrage/predictor/sim"
)

// baseline is what the yardstick's own program found for one trace.
type baseline struct {
	Capacity float64          `json:"capacity_per_pod"`
	Ticks    int              `json:"ticks"`
	Oracle   sim.OracleResult `json:"oracle"`
	Headroom sim.OracleResult `json:"oracle_headroom_0.8"`
	Policies map[string][]struct {
		sim.Result
		Target float64 `json:"target"`
	} `json:"policies"`
	Summary map[string]map[string]*float64 `json:"summary"`
}

// Oracle, HPA and frontier of the public traces are those of the yardstick.
func TestBaselines(t *testing.T) {
	dir, ok := shared.Dir()
	if !ok {
		t.Skip("SKIPPED: no shared/data/forecast above this folder (or BARRAGE_SHARED): the yardstick's figures are not compared")
	}
	var want struct {
		Traces map[string]baseline `json:"traces"`
	}
	read(t, filepath.Join(dir, "autoscale_baselines.json"), &want)
	config, err := shared.ReadConfig(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(want.Traces) != len(config.Traces)*len(config.Settings.Startup) {
		t.Fatalf("%d baselines of %d traces", len(want.Traces), len(config.Traces))
	}
	for name, c := range config.Traces {
		trace, err := shared.Trace(dir, name, c)
		if err != nil {
			t.Fatal(err)
		}
		for _, startup := range config.Settings.Startup {
			key := fmt.Sprintf("%s@%ds", name, startup)
			s := sim.Settings{StartupSeconds: startup, DrainSeconds: config.Settings.Drain, Min: config.Settings.Min}
			t.Run(key, func(t *testing.T) { compare(t, trace, s, want.Traces[key]) })
		}
	}
}

func compare(t *testing.T, trace *sim.Trace, s sim.Settings, want baseline) {
	c := trace.Capacity()
	if math.Abs(c-want.Capacity) > 1e-6 || trace.Ticks() != want.Ticks {
		t.Errorf("capacity %v and %d ticks, want %v and %d", c, trace.Ticks(), want.Capacity, want.Ticks)
	}
	if got := sim.Oracle(trace, c, s, 1); got != want.Oracle {
		t.Errorf("oracle %+v, want %+v", got, want.Oracle)
	}
	if got := sim.Oracle(trace, c, s, 0.8); got != want.Headroom {
		t.Errorf("oracle with headroom %+v, want %+v", got, want.Headroom)
	}
	var targets []float64
	for _, r := range want.Policies["hpa_reactive"] {
		targets = append(targets, r.Target)
		got := sim.Run(trace, c, s, sim.Reactive(sim.NewHPA(r.Target*c, s.Min)))
		got.CostVsOracle = r.CostVsOracle // of Sweep, below
		if got != r.Result {
			t.Errorf("HPA at %v:\n got %+v\nwant %+v", r.Target, got, r.Result)
		}
	}
	frontier := sim.Sweep(trace, c, s, targets, func(target float64) sim.Policy {
		return sim.Reactive(sim.NewHPA(target*c, s.Min))
	})
	for _, pct := range []float64{1, 0.5, 0.1, 0.05} {
		cost, ok := frontier.CostAt(pct)
		wanted, known := want.Summary["hpa_reactive"][levelKey(pct)]
		if !known || ok != (wanted != nil) || ok && math.Abs(cost-*wanted) > 1e-9 {
			t.Errorf("cost at %v %%: %v (%v)", pct, cost, ok)
		}
	}
}

func levelKey(pct float64) string {
	if pct == 1 {
		return "cost_at_1.0%"
	}
	return fmt.Sprintf("cost_at_%v%%", pct)
}

func read(t *testing.T, path string, into any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

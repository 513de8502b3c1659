package capacity_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/barrage-im/barrage/predictor/capacity"
	"github.com/barrage-im/barrage/predictor/internal/shared"
	"github.com/barrage-im/barrage/predictor/sim"
)

func config() capacity.Config {
	c := capacity.Default()
	c.PerPod, c.Seasons = 10, []int{240}
	return c
}

// day is n ticks of a load that comes and goes, 240 steps of 4 ticks a day.
func day(n int, seed uint64) []float64 {
	random := rand.New(rand.NewPCG(seed, 7))
	y := make([]float64, n)
	for i := range y {
		y[i] = max(0, 300+250*math.Sin(2*math.Pi*float64(i)/960)) * math.Exp(0.03*random.NormFloat64())
	}
	return y
}

func newPolicy(t *testing.T, c capacity.Config) *capacity.Policy {
	t.Helper()
	p, err := capacity.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// drive decides over a load with a fleet that obeys at once.
func drive(p *capacity.Policy, load []float64) []capacity.Decision {
	out := make([]capacity.Decision, len(load))
	n := 10
	for i, v := range load {
		out[i] = p.Decide(capacity.Tick{Load: v, Replicas: n, Ready: n})
		n = out[i].Replicas
	}
	return out
}

func TestNeverBelowTheReactiveNeed(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: takes seconds")
	}
	for seed := range uint64(4) {
		load := day(4000, seed)
		for i := range load {
			if i%700 > 650 {
				load[i] *= 3 // bursts that nobody expects
			}
		}
		for i, d := range drive(newPolicy(t, config()), load) {
			recent := 0.0
			for k := max(0, i-3); k <= i; k++ {
				recent += load[k] / float64(i-max(0, i-3)+1)
			}
			if need := int(math.Ceil(recent/10 - 1e-9)); d.Replicas < need || d.Replicas < 2 {
				t.Fatalf("tick %d: %d replicas for a load of %.0f, which needs %d", i, d.Replicas, recent, need)
			}
		}
	}
}

func TestPodsGoSlowly(t *testing.T) {
	c := config()
	load := slices.Concat(day(3000, 1), make([]float64, 400)) // and then the crowd is gone
	n, least := 0, math.Inf(1)
	var minute []int
	for i, d := range drive(newPolicy(t, c), load) {
		minute = append(minute, d.Replicas)
		if i >= 4 {
			from := minute[i-4]
			// a quarter of those there were a minute before, or one a tick
			if gone := from - d.Replicas; gone > max(4, int(c.Shrink*float64(from))+1) {
				t.Fatalf("tick %d: %d of %d pods go in a minute", i, gone, from)
			}
		}
		n = d.Replicas
		least = min(least, float64(n))
	}
	if n != c.Least {
		t.Errorf("%d pods stay without load, want %d", n, c.Least)
	}
}

// A load that is not known leaves the fleet as it is, however long.
func TestMissingLoadNeverShrinksTheFleet(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, 1e300} {
		p := newPolicy(t, config())
		drive(p, day(2000, 2))
		before := p.Decide(capacity.Tick{Load: 400, Replicas: 50, Ready: 50}).Replicas
		for i := range 1000 {
			d := p.Decide(capacity.Tick{Load: bad, Replicas: before, Ready: before})
			if d.Replicas != before || d.Fresh {
				t.Fatalf("tick %d without a load: %d replicas, fresh %v; want the %d of before", i, d.Replicas, d.Fresh, before)
			}
		}
		if d := p.Decide(capacity.Tick{Load: 400, Replicas: before, Ready: before}); d.Replicas < 40 || d.Replicas > 100 {
			t.Errorf("%d replicas when the load of 400 is known again", d.Replicas)
		}
	}
}

// What comes after a tick changes no decision before it, and the same ticks give
// the same decisions.
func TestDecisionsRestOnThePast(t *testing.T) {
	load := day(3000, 3)
	other := slices.Clone(load)
	random := rand.New(rand.NewPCG(9, 9))
	for i := 2500; i < len(other); i++ {
		other[i] = 1e4 * random.Float64()
	}
	a, b := drive(newPolicy(t, config()), load), drive(newPolicy(t, config()), other)
	if !slices.Equal(a[:2500], b[:2500]) {
		t.Error("decisions changed with what came after them")
	}
	if slices.Equal(a[2500:], b[2500:]) {
		t.Error("decisions do not depend on the load")
	}
}

// A shortage that costs more asks for no fewer pods.
func TestADearerShortageTakesMorePods(t *testing.T) {
	load := day(4000, 4)
	last := 0
	for _, price := range []float64{1, 10, 100, 1000, 10_000} {
		c := config()
		c.Price = price
		sum := 0
		for _, d := range drive(newPolicy(t, c), load)[1000:] {
			sum += d.Replicas
		}
		if sum < last {
			t.Errorf("price %v takes %d pod ticks, less than the %d of a lower price", price, sum, last)
		}
		last = sum
	}
}

func TestAZoneMayBeLost(t *testing.T) {
	c := config()
	c.Zones = 3
	load := day(2000, 5)
	for i, d := range drive(newPolicy(t, c), load) {
		if i < 4 {
			continue
		}
		recent := (load[i] + load[i-1] + load[i-2] + load[i-3]) / 4
		if left := d.Replicas - (d.Replicas+2)/3; float64(left)*10 < recent-10 {
			t.Fatalf("tick %d: %d replicas are left of %d without the largest zone, for a load of %.0f", i, left, d.Replicas, recent)
		}
	}
}

// Whatever comes, the policy answers with a number of pods.
func TestOddLoads(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: takes seconds")
	}
	for name, f := range map[string]func(i int) float64{
		"zero":     func(int) float64 { return 0 },
		"constant": func(int) float64 { return 55 },
		"linear":   func(i int) float64 { return float64(i) },
		"shift":    func(i int) float64 { return map[bool]float64{true: 5, false: 5000}[i < 1500] },
		"spikes":   func(i int) float64 { return map[bool]float64{true: 1e6, false: 1}[i%100 == 0] },
		"huge":     func(int) float64 { return 1e15 },
	} {
		load := make([]float64, 3000)
		for i := range load {
			load[i] = f(i)
		}
		for i, d := range drive(newPolicy(t, config()), load) {
			if d.Replicas < 2 || d.Replicas > 1_000_000 || math.IsNaN(d.Peak+d.High) || d.Peak < 0 {
				t.Fatalf("%s, tick %d: %+v", name, i, d)
			}
		}
		last := drive(newPolicy(t, config()), load)[2999]
		if want := int(math.Ceil(load[2999] / 10)); name == "constant" && (last.Replicas < want || last.Replicas > want+2) {
			t.Errorf("%d pods for a constant load that needs %d", last.Replicas, want)
		}
	}
}

func TestHistoryOfAnyKind(t *testing.T) {
	for name, y := range map[string][]float64{
		"none": nil, "one": {5}, "eight": {1, 2, 3, 4, 5, 6, 7, 8},
		"missing": slices.Repeat([]float64{math.NaN()}, 500),
		"mixed":   slices.Repeat([]float64{math.NaN(), -1, math.Inf(1), 7}, 200),
	} {
		p := newPolicy(t, config())
		p.Fit(y)
		var d capacity.Decision
		for range 4 { // a minute of it
			d = p.Decide(capacity.Tick{Load: 95, Replicas: 5, Ready: 5})
		}
		if d.Replicas < 10 {
			t.Errorf("%s: %d replicas for a load that needs 10", name, d.Replicas)
		}
	}
}

// With a budget, the share of short minutes comes out near it.
func TestTheBudgetIsKept(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: takes seconds")
	}
	const startup = 6
	c := config()
	c.Short = 0.02
	p := newPolicy(t, c)
	load := day(60_000, 6)
	wanted := slices.Repeat([]int{20}, startup)
	short, minutes, bad := 0, 0, false
	for i, v := range load {
		ready := min(wanted[i], wanted[i+startup-1])
		d := p.Decide(capacity.Tick{Load: v, Replicas: wanted[len(wanted)-1], Ready: ready})
		wanted = append(wanted, d.Replicas)
		if i < 20_000 {
			continue // it has to learn
		}
		bad = bad || v > float64(ready)*10
		if i%4 == 3 {
			minutes++
			if bad {
				short++
			}
			bad = false
		}
	}
	if share := float64(short) / float64(minutes); share < 0.01 || share > 0.04 {
		t.Errorf("%.4f of the minutes had too few pods, the budget is 0.02", share)
	}
}

func TestConfigurationsThatMakeNoSense(t *testing.T) {
	for name, f := range map[string]func(c *capacity.Config){
		"no load a pod":  func(c *capacity.Config) { c.PerPod = 0 },
		"NaN a pod":      func(c *capacity.Config) { c.PerPod = math.NaN() },
		"tick":           func(c *capacity.Config) { c.Tick = time.Millisecond },
		"step":           func(c *capacity.Config) { c.Step = 20 * time.Second },
		"startup":        func(c *capacity.Config) { c.Startup = 0 },
		"long startup":   func(c *capacity.Config) { c.Startup = 3 * time.Hour },
		"no replicas":    func(c *capacity.Config) { c.Least = 0 },
		"zones":          func(c *capacity.Config) { c.Zones = -1 },
		"short":          func(c *capacity.Config) { c.Short = 0 },
		"price":          func(c *capacity.Config) { c.Price = -5 },
		"shrink":         func(c *capacity.Config) { c.Shrink = 0 },
		"noise":          func(c *capacity.Config) { c.Noise = math.NaN() },
		"seasons":        func(c *capacity.Config) { c.Seasons = []int{7, 7} },
		"three seasons":  func(c *capacity.Config) { c.Seasons = []int{7, 8, 9} },
		"season of zero": func(c *capacity.Config) { c.Seasons = []int{0} },
	} {
		c := config()
		f(&c)
		if _, err := capacity.New(c); !errors.Is(err, capacity.ErrConfig) {
			t.Errorf("%s: %v, want ErrConfig", name, err)
		}
	}
}

// The bars: overhead over the oracle's cost, relative to the reactive HPA's, at
// equal shares of short minutes; 0.5 % where the HPA gets there, else 1 %.
var bars = map[int]float64{90: 0.45, 300: 0.50}

func TestPublicTraces(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: takes seconds")
	}
	dir, ok := shared.Dir()
	if !ok {
		t.Skip("SKIPPED: the public forecasting set is not there")
	}
	cfg, err := shared.ReadConfig(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, startup := range cfg.Settings.Startup {
		product, n := 1.0, 0
		for name, c := range cfg.Traces {
			trace, err := shared.Trace(dir, name, c)
			if err != nil {
				t.Fatal(err)
			}
			s := sim.Settings{StartupSeconds: startup, DrainSeconds: cfg.Settings.Drain, Min: cfg.Settings.Min}
			hpa, own := frontiers(t, trace, s)
			level := 0.5
			if _, ok := hpa.CostAt(level); !ok {
				level = 1
			}
			theirs, ok1 := hpa.CostAt(level)
			ours, ok2 := own.CostAt(level)
			if !ok1 || !ok2 {
				t.Fatalf("%s at %d s: nobody gets to %v %%", name, startup, level)
			}
			ratio := (ours - 1) / (theirs - 1)
			t.Logf("%s, pods start in %d s: at %v %% short minutes %.4f of the oracle's cost, the HPA %.4f: %.3f of its overhead", name, startup, level, ours, theirs, ratio)
			if ratio > 1 {
				t.Errorf("%s at %d s: dearer than the HPA", name, startup)
			}
			product *= ratio
			n++
		}
		mean := math.Pow(product, 1/float64(n))
		t.Logf("pods start in %d s: %.3f of the HPA's overhead (bar %.2f)", startup, mean, bars[startup])
		if mean > bars[startup] {
			t.Errorf("%d s: the bar of %.2f is missed: %.3f", startup, bars[startup], mean)
		}
	}
}

// frontiers are those of the HPA and of the policy on a trace; the policy sees
// each tick's load here, not a mean of four.
func frontiers(t *testing.T, trace *sim.Trace, s sim.Settings) (hpa, own sim.Frontier) {
	t.Helper()
	perPod := trace.Capacity()
	hpa = sim.Sweep(trace, perPod, s, []float64{.4, .5, .6, .65, .7, .75, .8, .85, .9, .95}, func(target float64) sim.Policy {
		return sim.Reactive(sim.NewHPA(target*perPod, s.Min))
	})
	c := capacity.Default()
	c.Step, c.Seasons = time.Duration(trace.StepSeconds)*time.Second, trace.Seasons
	c.Startup, c.Drain = time.Duration(s.StartupSeconds)*time.Second, time.Duration(s.DrainSeconds)*time.Second
	c.PerPod, c.Least = perPod, s.Min
	var prices []float64
	for e := 0.5; e <= 4.5; e += 0.25 {
		prices = append(prices, math.Pow(10, e))
	}
	c.Price = prices[0]
	bank, err := capacity.NewBank(c, prices[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	bank.Fit(trace.History)
	var policies []sim.Policy
	var load float64
	for i := range prices {
		policies = append(policies, func(v sim.View) (int, bool) {
			if i == 0 {
				load = trace.Load[trace.First+v.Tick-1]
				if v.Tick > 0 {
					bank.Observe(load)
				}
			}
			return bank.Decide(i, capacity.Tick{Load: load, Replicas: v.Replicas, Ready: v.Ready}).Replicas, true
		})
	}
	return hpa, sim.NewFrontier(trace, perPod, s, sim.ReplayAll(trace, perPod, s, policies...))
}

func FuzzDecide(f *testing.F) {
	f.Add([]byte{1, 2, 3, 255, 0, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		p := newPolicy(t, config())
		p.Fit(day(200, 1))
		n := 5
		for i, v := range b {
			load := float64(v)
			switch v {
			case 255:
				load = math.NaN()
			case 254:
				load = 1e12
			}
			d := p.Decide(capacity.Tick{Load: load, Replicas: n, Ready: n})
			if d.Replicas < 2 || d.Replicas > 1_000_000 || math.IsNaN(d.Peak) {
				t.Fatalf("tick %d: %+v", i, d)
			}
			if v == 255 && d.Replicas < n {
				t.Fatalf("tick %d: %d of %d replicas stay without a load", i, d.Replicas, n)
			}
			n = d.Replicas
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	c := capacity.Default()
	c.PerPod = 10
	p, err := capacity.New(c)
	if err != nil {
		b.Fatal(err)
	}
	load := day(1<<16, 1)
	p.Fit(load[:20_000])
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		p.Decide(capacity.Tick{Load: load[i&(1<<16-1)], Replicas: 40, Ready: 40})
		i++
	}
}

package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/barrage-im/barrage/predictor/plot"
	"github.com/barrage-im/barrage/predictor/series"
	"github.com/barrage-im/barrage/predictor/sim"
	"github.com/barrage-im/barrage/protocol/ops"
)

type simulateOptions struct {
	Source   sourceOptions `yaml:",inline"`
	Test     int           `yaml:"test" help:"replay the last so many samples; 0: a quarter of them"`
	Startup  []string      `yaml:"startup" help:"from the decision until a pod serves; one or several"`
	Drain    time.Duration `yaml:"drain" help:"how long a pod that was removed still costs"`
	Min      int           `yaml:"min" help:"pods at least"`
	Capacity float64       `yaml:"capacity" help:"load that one pod carries; 0: so that the busiest hundredth of the test takes 50"`
	Target   float64       `yaml:"target" help:"utilisation that the plotted autoscalers aim at"`
	Violated []string      `yaml:"violated" help:"costs are compared where so many percent of the minutes have too few pods"`
	Plot     string        `yaml:"plot" help:"write a picture there: replicas against load, and what every risk costs (.svg or .png)"`
	JSON     bool          `yaml:"json" help:"print JSON"`

	levels   []float64
	startups []time.Duration
}

// Validate refuses what cannot be run whatever the series.
func (o *simulateOptions) Validate() error {
	const tick = sim.TickSeconds * time.Second
	switch {
	case o.Test < 0:
		return fmt.Errorf("test %d: use 0 or more", o.Test)
	case o.Drain < 0 || o.Drain > time.Hour || o.Drain%tick != 0:
		return fmt.Errorf("drain %v: use a multiple of %v, an hour at most", o.Drain, tick)
	case o.Min < 1 || o.Min > maxPods:
		return fmt.Errorf("min %d: use 1 to %d", o.Min, maxPods)
	case !(o.Capacity >= 0) || math.IsInf(o.Capacity, 0):
		return fmt.Errorf("capacity %v: use a load a pod, or 0", o.Capacity)
	case !(o.Target > 0 && o.Target <= 1):
		return fmt.Errorf("target %v: use more than 0, 1 at most", o.Target)
	case len(o.Violated) == 0:
		return errors.New("violated: give one level or more, in percent")
	}
	o.levels, o.startups = nil, nil
	for _, text := range o.Startup {
		d, err := time.ParseDuration(text)
		if err != nil || d < tick || d > time.Hour || d%tick != 0 {
			return fmt.Errorf("startup %.40q: use a multiple of %v, such as 90s; an hour at most", text, tick)
		}
		o.startups = append(o.startups, d)
	}
	for _, text := range o.Violated {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || !(v > 0 && v < 100) {
			return fmt.Errorf("violated %.40q: use percent, more than 0", text)
		}
		o.levels = append(o.levels, v)
	}
	return errors.Join(o.Source.Validate(), plot.CheckName(o.Plot))
}

const maxPods = 100_000

// Utilisations that the frontier of an autoscaler is made of.
func hpaTargets() []float64 { return []float64{.4, .5, .6, .65, .7, .75, .8, .85, .9, .95} }

func simulateTool(ctx context.Context, s streams, args []string) error {
	o := simulateOptions{
		Source: defaultSource(), Startup: []string{"90s", "300s"}, Drain: 120 * time.Second, Min: 2, Target: 0.7,
		Violated: []string{"1", "0.5", "0.1"},
	}
	files, err := ops.Flags("predictor simulate [flags] FILE.csv…", &o, args)
	if err != nil {
		return err
	}
	names, err := o.Source.names(files)
	if err != nil {
		return err
	}
	if len(names)*len(o.startups) > 1 && o.Plot != "" {
		return ops.Usagef("plot: give one file and one --startup")
	}
	var all []*simulation
	for _, name := range names {
		list, err := o.simulate(ctx, s, name)
		if err != nil {
			return err
		}
		all = append(all, list...)
	}
	if o.JSON {
		return printJSON(s.out, all)
	}
	return printOverheads(s.out, all)
}

// simulate replays one series with each of the start-up times.
func (o *simulateOptions) simulate(ctx context.Context, s streams, name string) (list []*simulation, err error) {
	y, err := o.Source.read(ctx, s, name)
	if err != nil {
		return nil, err
	}
	test := o.Test
	if test == 0 {
		test = len(y.Values) / testShare
	}
	seasons, err := o.Source.seasons(y.Step, len(y.Values)-test)
	if err != nil {
		return nil, err
	}
	if n := fill(y.Values); n > 0 {
		_, _ = fmt.Fprintf(s.err, "%s: %d missing samples take a line between their neighbours\n", name, n)
	}
	trace, err := sim.NewTrace(traceName(name), y.Values, int(y.Step/time.Second), test, seasons)
	if err != nil {
		return nil, err
	}
	for _, startup := range o.startups {
		r, err := o.replay(trace, startup)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		r.Series = name
		list = append(list, r)
		if o.Plot != "" {
			if err := plotSimulation(o.Plot, y, trace, r); err != nil {
				return nil, err
			}
		}
		if !o.JSON {
			if err := r.print(s.out); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// traceName seeds the noise of the ticks as the file of a public set does.
func traceName(file string) string {
	return strings.TrimSuffix(base(file), ".csv")
}

// fill puts lines between neighbours where samples are missing, and returns how
// many were.
func fill(y []float64) (n int) {
	last := -1
	for i, v := range y {
		if math.IsNaN(v) {
			n++
			continue
		}
		for k := last + 1; k < i; k++ {
			if y[k] = v; last >= 0 {
				y[k] = y[last] + (v-y[last])*float64(k-last)/float64(i-last)
			}
		}
		last = i
	}
	for k := last + 1; k < len(y) && last >= 0; k++ {
		y[k] = y[last]
	}
	return n
}

// simulation is what --json prints.
type simulation struct {
	Series   string           `json:"series"`
	Capacity float64          `json:"capacity_per_pod"`
	Startup  float64          `json:"startup_s"`
	Oracle   sim.OracleResult `json:"oracle"`
	Policies []policyResult   `json:"policies"`
	Levels   []levelResult    `json:"cost_over_oracle_at_violated_minutes"`
	settings sim.Settings
}

type policyResult struct {
	Name     string       `json:"name"`
	Frontier sim.Frontier `json:"frontier"`
	Plotted  sim.Result   `json:"plotted"`
	ready    []int
}

type levelResult struct {
	Violated float64    `json:"violated_percent"`
	Costs    []*float64 `json:"costs"` // by policy; null where no setting gets there
	// Overhead is the predictor's cost above the oracle's over the HPA's.
	Overhead *float64 `json:"overhead_to_hpa,omitempty"`
}

func (o *simulateOptions) replay(t *sim.Trace, startup time.Duration) (*simulation, error) {
	c := o.Capacity
	if c == 0 {
		c = t.Capacity()
	}
	if !(c > 0) {
		return nil, errors.New("the test has no load: give --capacity")
	}
	s := sim.Settings{StartupSeconds: int(startup / time.Second), DrainSeconds: int(o.Drain / time.Second), Min: o.Min}
	r := &simulation{Capacity: c, Startup: startup.Seconds(), Oracle: sim.Oracle(t, c, s, 1), settings: s}
	hpa := func(target float64) sim.Policy { return sim.Reactive(sim.NewHPA(target*c, o.Min)) }
	plotted := sim.ReplayAll(t, c, s, hpa(o.Target))[0]
	reactive := policyResult{Name: "hpa", Frontier: sim.Sweep(t, c, s, hpaTargets(), hpa), Plotted: plotted.Score(t, c), ready: plotted.Ready}
	own, err := o.own(t, c, s)
	if err != nil {
		return nil, err
	}
	r.Policies = []policyResult{reactive, own}
	for _, pct := range o.levels {
		level := levelResult{Violated: pct}
		for _, p := range r.Policies {
			var cost *float64
			if v, ok := p.Frontier.CostAt(pct); ok {
				cost = &v
			}
			level.Costs = append(level.Costs, cost)
		}
		if a, b := level.Costs[0], level.Costs[1]; a != nil && b != nil && *a > 1 {
			over := (*b - 1) / (*a - 1)
			level.Overhead = &over
		}
		r.Levels = append(r.Levels, level)
	}
	return r, nil
}

func (r *simulation) print(w io.Writer) error {
	_, _ = fmt.Fprintf(w, "%s: a pod carries %.4g, starts in %.0f s; the cheapest plan without a violation, in hindsight, takes %.1f pod hours\n\n", r.Series, r.Capacity, r.Startup, r.Oracle.BilledPodHours)
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprint(out, "minutes with too few pods\t")
	for _, p := range r.Policies {
		_, _ = fmt.Fprintf(out, "%s\t", p.Name)
	}
	_, _ = fmt.Fprintln(out, "overhead to hpa's\t")
	for _, l := range r.Levels {
		_, _ = fmt.Fprintf(out, "%g %%\t", l.Violated)
		for _, c := range l.Costs {
			_, _ = fmt.Fprintf(out, "%s\t", optional(c))
		}
		_, _ = fmt.Fprintf(out, "%s\t\n", optional(l.Overhead))
	}
	if err := out.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

// printOverheads sums several replays up, for each start-up time.
func printOverheads(w io.Writer, all []*simulation) error {
	_, err := fmt.Fprintln(w, "Costs are pod hours over those of the cheapest plan; – is where no setting of the policy gets there.")
	sums, n := map[float64]float64{}, map[float64]float64{}
	var order []float64
	for _, r := range all {
		over := r.headline()
		if over == nil || *over <= 0 {
			continue
		}
		if n[r.Startup] == 0 {
			order = append(order, r.Startup)
		}
		sums[r.Startup] += math.Log(*over)
		n[r.Startup]++
	}
	for _, s := range order {
		if n[s] > 1 {
			_, _ = fmt.Fprintf(w, "pods start in %.0f s: overhead to hpa's, geometric mean over %.0f series: %.3f\n", s, n[s], math.Exp(sums[s]/n[s]))
		}
	}
	return err
}

// headline is the overhead at the smallest share of minutes from 0.5 % on that
// the HPA gets to.
func (r *simulation) headline() *float64 {
	var best *float64
	least := math.Inf(1)
	for _, l := range r.Levels {
		if l.Overhead != nil && l.Violated >= 0.5 && l.Violated < least {
			best, least = l.Overhead, l.Violated
		}
	}
	return best
}

func optional(v *float64) string {
	if v == nil {
		return "–"
	}
	return fmt.Sprintf("%.3f", *v)
}

func plotSimulation(file string, y series.Series, t *sim.Trace, r *simulation) error {
	const tick = sim.TickSeconds * time.Second
	d := plot.ReplicaData{
		Title: fmt.Sprintf("%s: pods that start in %.0f s", base(r.Series), r.Startup),
		Start: y.At(len(t.History)), Step: tick,
	}
	for _, v := range t.Load[t.First:] {
		d.Need = append(d.Need, v/r.Capacity)
	}
	for _, p := range r.Policies {
		d.Names = append(d.Names, p.Name)
		ready := make([]float64, len(p.ready))
		for i, n := range p.ready {
			ready[i] = float64(n)
		}
		d.Ready = append(d.Ready, ready)
		var f []plot.Point
		for _, q := range p.Frontier {
			f = append(f, plot.Point{Cost: q.CostVsOracle, Violated: q.ViolationPct})
		}
		d.Frontiers = append(d.Frontiers, f)
	}
	return plot.Replicas(file, d)
}

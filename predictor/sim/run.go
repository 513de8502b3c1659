package sim

import (
	"math"
	"strconv"
)

// Settings are the fleet's: seconds, and pods.
type Settings struct {
	StartupSeconds int
	DrainSeconds   int
	Min            int
}

// A View is what a policy sees at a tick. Nothing in it is newer than the tick.
type View struct {
	Tick     int     // since the test began
	Metric   float64 // mean load of the four ticks before
	Step     float64 // mean of the step that is complete now
	StepDone bool    // there is one
	Replicas int
	Ready    int
}

// A Policy says how many replicas it wants; ok false leaves them as they are.
type Policy func(v View) (replicas int, ok bool)

// Reactive is the HPA alone.
func Reactive(h *HPA) Policy {
	return func(v View) (int, bool) { return h.Step(v.Metric, v.Replicas), true }
}

// Predictive is the HPA with two metrics, the current load and the load that a
// predictor wants capacity for: the greater one counts. A predictor without an
// answer (ok false) leaves the HPA exactly with its reactive metric.
func Predictive(h *HPA, load func(v View) (x float64, ok bool)) Policy {
	return func(v View) (int, bool) {
		usage := v.Metric
		if x, ok := load(v); ok && x > usage {
			usage = x
		}
		return h.Step(usage, v.Replicas), true
	}
}

// A Result scores a replay. The figures are rounded as the yardstick's are.
type Result struct {
	ViolationMinutes int     `json:"slo_violation_minutes"` // in which a tick's load exceeded the ready pods' capacity
	ViolationPct     float64 `json:"violation_pct"`
	UnderPodSeconds  float64 `json:"under_pod_s"`
	Overload         float64 `json:"overload_fraction"` // load above capacity, of all load
	BilledPodHours   float64 `json:"billed_pod_h"`
	OverPodSeconds   float64 `json:"over_pod_s"`
	MeanUtil         float64 `json:"mean_util"`
	ScaleEvents      int     `json:"scale_events"`
	PodsStarted      int     `json:"pods_started"`
	CostVsOracle     float64 `json:"cost_vs_oracle,omitempty"`
}

// Run replays the trace's test against a policy.
func Run(t *Trace, capacity float64, s Settings, policy Policy) Result {
	return ReplayAll(t, capacity, s, policy)[0].Score(t, capacity)
}

// A Replayed is what a policy's fleet was at each tick.
type Replayed struct {
	Ready, Billed []int // pods
	Fleet         *Fleet
}

// ReplayAll replays the trace's test against policies side by side, tick by tick:
// they may share what they work out of the load.
func ReplayAll(t *Trace, capacity float64, s Settings, policies ...Policy) []Replayed {
	begin := max(s.Min, int(math.Ceil(t.Load[t.First]/capacity/0.7)))
	all := make([]Replayed, len(policies))
	for k := range all {
		all[k] = Replayed{make([]int, t.Ticks()), make([]int, t.Ticks()), NewFleet(begin, s.StartupSeconds/TickSeconds, s.DrainSeconds/TickSeconds)}
	}
	for i := range t.Ticks() {
		j := t.First + i
		for k, policy := range policies {
			r := &all[k]
			f := r.Fleet
			f.Tick(j)
			v := View{Tick: i, Metric: t.Metric(j), Replicas: f.Replicas(), Ready: f.Ready()}
			v.Step, v.StepDone = t.Completed(j)
			if want, ok := policy(v); ok {
				f.Scale(j, max(s.Min, want))
			}
			r.Ready[i], r.Billed[i] = f.Ready(), f.Billed()
		}
	}
	return all
}

// Score is what the replay cost, and what it failed to carry.
func (r Replayed) Score(t *Trace, capacity float64) Result {
	return score(t.Load[t.First:], r.Ready, r.Billed, r.Fleet, capacity)
}

func score(load []float64, ready, billed []int, f *Fleet, capacity float64) Result {
	var under, over, lost, needs, paid, all float64
	minutes, violated, bad := 0, 0, false
	for i, x := range load {
		need := x / capacity
		bad = bad || need > float64(ready[i])
		if i%metricTicks == metricTicks-1 {
			minutes++
			if bad {
				violated++
			}
			bad = false
		}
		under += max(0, need-float64(ready[i]))
		lost += max(0, x-float64(ready[i])*capacity)
		over += max(0, float64(billed[i])-math.Ceil(need))
		needs += need
		paid += float64(billed[i])
		all += x
	}
	overload, _ := strconv.ParseFloat(strconv.FormatFloat(lost/all, 'g', 4, 64), 64)
	return Result{
		ViolationMinutes: violated, ViolationPct: round(100*float64(violated)/float64(minutes), 4),
		UnderPodSeconds: round(under*TickSeconds, 1), Overload: overload,
		BilledPodHours: round(podHours(paid), 2), OverPodSeconds: round(over*TickSeconds, 0),
		MeanUtil: round(needs/paid, 4), ScaleEvents: f.events, PodsStarted: f.started,
	}
}

// round is to the nearest decimal with that many places, ties to even.
func round(x float64, places int) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(x, 'f', places, 64), 64)
	if err != nil {
		return x
	}
	return r
}

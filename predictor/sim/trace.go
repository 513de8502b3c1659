package sim

import (
	"fmt"
	"hash/crc32"
	"math"
	"slices"
)

// A Trace is a load of equal steps, and the same in ticks.
type Trace struct {
	Name        string
	StepSeconds int
	Seasons     []int     // steps a day and a week
	History     []float64 // steps before the test: what a policy may know at its start
	Load        []float64 // every tick of history and test
	First       int       // the test's first tick
	PerStep     int       // ticks a step
}

// NewTrace makes a trace of steps, the last test of which are replayed. Ticks
// carry 2 % of noise, seeded by the name.
func NewTrace(name string, steps []float64, stepSeconds, test int, seasons []int) (*Trace, error) {
	per := stepSeconds / TickSeconds
	switch {
	case stepSeconds%TickSeconds != 0 || per < 1:
		return nil, fmt.Errorf("trace %s: a step of %d s is not a number of ticks", name, stepSeconds)
	case test < 1 || test >= len(steps):
		return nil, fmt.Errorf("trace %s: %d steps to test of %d", name, test, len(steps))
	case (len(steps)-test)*per < metricTicks:
		return nil, fmt.Errorf("trace %s: no metric before the test", name)
	}
	for i, v := range steps {
		if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
			return nil, fmt.Errorf("trace %s: step %d is %v", name, i, v)
		}
	}
	t := &Trace{
		Name: name, StepSeconds: stepSeconds, Seasons: seasons,
		History: slices.Clone(steps[:len(steps)-test]),
		Load:    make([]float64, len(steps)*per),
		First:   (len(steps) - test) * per, PerStep: per,
	}
	random := newNoise(crc32.ChecksumIEEE([]byte(name)))
	for j := range t.Load {
		t.Load[j] = max(0, between(steps, float64(stepSeconds), float64(j*TickSeconds))*math.Exp(0.02*random.normal()))
	}
	return t, nil
}

// between is the line through the middles of the steps at second s.
func between(steps []float64, step, s float64) float64 {
	i := int(math.Floor(s/step - 0.5))
	switch {
	case i < 0:
		return steps[0]
	case i >= len(steps)-1:
		return steps[len(steps)-1]
	}
	from := (float64(i) + 0.5) * step
	slope := (steps[i+1] - steps[i]) / step
	return slope*(s-from) + steps[i]
}

// metricTicks is how many ticks the metric is the mean of.
const metricTicks = 4

// Metric is what an autoscaler sees at tick j: the mean of the four ticks before.
func (t *Trace) Metric(j int) float64 {
	return (t.Load[j-1] + t.Load[j-2] + t.Load[j-3] + t.Load[j-4]) / 4
}

// Completed is the mean of the step that ended at tick j; ok says whether one
// did, after the first tick of the test.
func (t *Trace) Completed(j int) (mean float64, ok bool) {
	if j%t.PerStep != 0 || j <= t.First {
		return 0, false
	}
	sum := 0.0
	for _, v := range t.Load[j-t.PerStep : j] {
		sum += v
	}
	return sum / float64(t.PerStep), true
}

// Ticks is how many ticks are replayed.
func (t *Trace) Ticks() int { return len(t.Load) - t.First }

// Capacity is the load of one pod with which the test's 99th percentile takes
// 50 pods.
func (t *Trace) Capacity() float64 {
	sorted := slices.Sorted(slices.Values(t.Load[t.First:]))
	at := 0.99 * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[i] / 50
	}
	return (sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])) / 50
}

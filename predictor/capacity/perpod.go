package capacity

import (
	"fmt"
	"math"
)

// PerPod learns what one pod carries, from how loaded ready pods were and
// whether they were overloaded then.
//
// A pod that is not overloaded at load u carries at least u, one that is
// carries less. Both kinds are counted in bins of equal ratio, the old ones
// less, and the estimate is where the weighted number of samples on the wrong
// side is least: fine above it, overloaded below it. Overloaded ones weigh more,
// because believing too much of a pod hurts users and too little costs pods.
// What is configured counts as samples at its both sides, so that little
// evidence moves the estimate little, and it stays within maxFactor of it. Where
// nobody was ever overloaded nothing says how much more a pod could carry: the
// estimate then grows only to what was seen.
type PerPod struct {
	configured float64
	fine, over [podBins]float64
	unit       float64
	samples    int
}

const (
	podBins    = 231 // maxFactor down, the configured one, maxFactor up
	podRatio   = 1.02
	maxFactor  = 9.7    // podRatio^115
	overWeight = 5.0    // samples that are fine, for one that is overloaded
	priorPods  = 20.0   // samples that the configured load counts for, to each side
	keepPods   = 0.9999 // half of a sample's weight after 29 hours of ticks
)

// NewPerPod starts from the load that is configured, which must be positive.
func NewPerPod(configured float64) (*PerPod, error) {
	if !(configured > 0 && configured <= maxLoad) {
		return nil, fmt.Errorf("capacity: per pod %v: use the load that one pod carries, above 0 and at most %v", configured, maxLoad)
	}
	p := &PerPod{configured: configured, unit: 1}
	mid := podBins / 2
	p.fine[mid], p.over[mid+1] = priorPods, priorPods/overWeight
	return p, nil
}

// Observe takes one tick: the load that all ready pods carried, and whether any
// of them was overloaded (it shed load, or its latency was beyond its limit).
// What is no sample is ignored: no pod, no load, no number.
func (p *PerPod) Observe(load float64, ready int, overloaded bool) {
	if ready < 1 || !usable(load) || load == 0 {
		return
	}
	at := float64(podBins/2) + math.Log(load/float64(ready)/p.configured)/math.Log(podRatio)
	i := int(math.Min(math.Max(math.Round(at), 0), podBins-1))
	p.samples++
	p.unit /= keepPods
	if overloaded {
		p.over[i] += p.unit
	} else {
		p.fine[i] += p.unit
	}
	if p.unit > 1e100 {
		for i := range p.fine {
			p.fine[i] /= p.unit
			p.over[i] /= p.unit
		}
		p.unit = 1
	}
}

// Load is what one pod carries.
func (p *PerPod) Load() float64 {
	// A pod carries bins up to i: wrong are the fine ones above, the overloaded ones in or below.
	wrong := 0.0
	for _, w := range p.fine {
		wrong += w
	}
	least, at := math.Inf(1), podBins/2
	for i := range podBins {
		wrong += overWeight*p.over[i] - p.fine[i]
		// Among equals, the nearest to what is configured.
		if wrong < least || wrong == least && i <= podBins/2 {
			least, at = wrong, i
		}
	}
	return p.configured * math.Pow(podRatio, float64(at-podBins/2))
}

// Samples is how many were taken.
func (p *PerPod) Samples() int { return p.samples }

package seasonal

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// How experts are tried: from origins in the last trialDays days of the series
// (but not in its first three fifths), about trialOrigins of them, with models fitted anew
// trialFits times to what was known then.
const (
	trialDays    = 10
	trialOrigins = 40
	trialFits    = 2
)

// A trial holds the errors experts made on origins inside the series, each with
// a model fitted to the past of that origin or of an earlier one. Nothing after
// an origin is known to the forecasts from it.
type trial struct {
	season
	origins   []int // ascending
	samples   int   // length of the series
	z         []float64
	observed  []bool
	forecasts [][][]float64 // by expert, origin and lead, up to the end of the series
	loss      []float64     // by expert
}

// try forecasts with every expert of the panel from every origin.
func try(p panel, z []float64, observed []bool, s season, h int, scale powerScale) *trial {
	n := len(z)
	t := &trial{season: s, samples: n, z: z, observed: observed, forecasts: make([][][]float64, len(p)), loss: make([]float64, len(p))}
	span := min(max(trialDays*s.day, 2*h), 2*n/5)
	step := max(1, span/trialOrigins)
	for o := n - span; o < n; o += step {
		t.origins = append(t.origins, o)
	}
	real := make([]float64, n)
	for k, v := range z {
		real[k] = scale.from(v)
	}
	refit := (len(t.origins) + trialFits - 1) / trialFits
	for i, e := range p {
		var m model
		var losses []float64
		for k, o := range t.origins {
			var f []float64
			if e.needs <= t.origins[k/max(refit, 1)*refit] {
				if k%refit == 0 {
					m = e.fit(z[:o])
				}
				f = make([]float64, min(h, n-o))
				m.forecast(z[:o], f)
				guard(f, z[:o])
			}
			t.forecasts[i] = append(t.forecasts[i], f)
			var sum, count float64
			for lead, v := range f {
				if observed[o+lead] {
					sum += math.Abs(scale.from(v) - real[o+lead])
					count++
				}
			}
			if count > 0 {
				losses = append(losses, sum/count)
			}
		}
		t.loss[i] = math.NaN()
		if len(losses) > 0 {
			t.loss[i] = median(losses)
		}
	}
	return t
}

// weights are inverse to the fourth power of the loss: sharp enough to be rid of
// experts that do not fit the series, flat among those that do. The median over
// origins keeps one strange week from deciding.
func (t *trial) weights() []float64 {
	best := math.Inf(1)
	for _, l := range t.loss {
		if l < best {
			best = l
		}
	}
	w := make([]float64, len(t.loss))
	if math.IsInf(best, 1) { // nobody could be tried
		w[0] = 1
		return w
	}
	sum := 0.0
	for i, l := range t.loss {
		switch {
		case math.IsNaN(l):
		case l == best:
			w[i] = 1
		default:
			r := best / l
			w[i] = r * r * r * r
		}
		sum += w[i]
	}
	for i := range w {
		w[i] /= sum
	}
	return w
}

// combine is the weighted average of forecasts by expert; those that are missing
// are left out.
func combine(forecasts [][]float64, weights []float64, h int) []float64 {
	out := make([]float64, h)
	sum := 0.0
	for i, f := range forecasts {
		if f == nil || weights[i] == 0 {
			continue
		}
		sum += weights[i]
		for lead, v := range f {
			out[lead] += weights[i] * v
		}
	}
	if sum == 0 {
		return nil
	}
	for lead := range out {
		out[lead] /= sum
	}
	return out
}

// forecast fits everybody to all of z.
func (p panel) forecast(z []float64, h int) [][]float64 {
	out := make([][]float64, len(p))
	for i, e := range p {
		out[i] = make([]float64, h)
		e.fit(z).forecast(z, out[i])
		guard(out[i], z)
	}
	return out
}

// guard keeps a forecast within the range of the past, widened by its width on
// both sides, so that an unstable model cannot run away.
func guard(f, past []float64) {
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range past {
		low, high = min(low, v), max(high, v)
	}
	width := high - low
	for i, v := range f {
		if math.IsNaN(v) {
			v = past[len(past)-1]
		}
		f[i] = min(max(v, low-width), high+width)
	}
}

// Leads within smoothLeads of each other share their spread; the share slotShare
// of a slot's own spread is believed.
const (
	smoothLeads = 4
	slotShare   = 0.25
)

// spread is the mean absolute error of the combination by lead: how it grows with
// the lead, times how it varies with the slot of the day.
func (t *trial) spread(weights []float64, h int) []float64 {
	errs := make([][]float64, len(t.origins)) // NaN where not observed
	forecasts := make([][]float64, len(weights))
	sums, counts := make([]float64, h), make([]float64, h)
	for k, o := range t.origins {
		for i := range forecasts {
			forecasts[i] = t.forecasts[i][k]
		}
		errs[k] = combine(forecasts, weights, min(h, t.samples-o))
		for lead, f := range errs[k] {
			if !t.observed[o+lead] {
				errs[k][lead] = math.NaN()
				continue
			}
			errs[k][lead] = math.Abs(t.z[o+lead] - f)
			sums[lead] += errs[k][lead]
			counts[lead]++
		}
	}
	out := make([]float64, h)
	known := 0 // leads up to here were tried
	for lead := range out {
		var sum, count float64
		for l := max(0, lead-smoothLeads); l < min(h, lead+smoothLeads+1); l++ {
			sum += sums[l]
			count += counts[l]
		}
		switch {
		case count > 0:
			out[lead] = sum / count
			known = lead + 1
		case known > 0: // as a random walk would
			out[lead] = out[known-1] * math.Sqrt(float64(lead+1)/float64(known))
		default:
			out[lead] = t.untried() * math.Sqrt(float64(lead+1))
		}
	}
	slots := t.slots(errs, out)
	for lead := range out {
		out[lead] *= slots[(t.samples+lead)%t.day]
	}
	return out
}

// slots is how much larger errors are in a slot of the day than on the whole.
func (t *trial) slots(errs [][]float64, spread []float64) []float64 {
	sums, counts := make([]float64, t.day), make([]float64, t.day)
	var sum, count float64
	for k, o := range t.origins {
		for lead, e := range errs[k] {
			if math.IsNaN(e) || spread[lead] == 0 {
				continue
			}
			slot := (o + lead) % t.day
			sums[slot] += e / spread[lead]
			counts[slot]++
			sum += e / spread[lead]
			count++
		}
	}
	out := make([]float64, t.day)
	for slot := range out {
		out[slot] = 1
		if counts[slot] > 0 && sum > 0 {
			out[slot] = 1 - slotShare + slotShare*sums[slot]/counts[slot]/(sum/count)
		}
	}
	return out
}

// untried is the spread of one step of a series too short to try anything on.
func (t *trial) untried() float64 {
	sum := 0.0
	for k := 1; k < len(t.z); k++ {
		sum += math.Abs(t.z[k] - t.z[k-1])
	}
	return sum / float64(max(1, len(t.z)-1))
}

// Errors have heavier tails than a Gaussian, and their spread is itself only
// estimated: Student's t with 6 degrees of freedom.
var errorShape = distuv.StudentsT{Mu: 0, Sigma: 1, Nu: 6}

// errorShapeMean is the mean absolute value of errorShape: 2 sqrt(6)/(5 B(1/2, 3)).
const errorShapeMean = 0.91855865354369

// standardQuantile is the quantile p of errors with mean absolute value 1.
func standardQuantile(p float64) float64 { return errorShape.Quantile(p) / errorShapeMean }

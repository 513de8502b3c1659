package capacity

import "math"

// Errors in units of their expected size are counted in bins that are even in
// asinh: fine in the middle, and as many in the tail.
const (
	bins    = 192
	lowest  = -6.0
	highest = 60.0
	perUnit = 4
)

var (
	binFrom  = math.Asinh(lowest * perUnit)
	binWidth = (math.Asinh(highest*perUnit) - binFrom) / bins
	edges    = func() (e [bins + 1]float64) {
		for i := range e {
			e[i] = math.Sinh(binFrom+float64(i)*binWidth) / perUnit
		}
		return e
	}()
)

// bin is where z lies, with a fraction; below 0 and from bins on it is outside.
func bin(z float64) float64 { return (math.Asinh(z*perUnit) - binFrom) / binWidth }

// counts of errors, older ones less.
type counts struct {
	count [bins]float64
	total float64
	unit  float64 // what a new one weighs
}

func (c *counts) add(z float64) {
	if c.unit == 0 {
		c.unit = 1
	}
	b := min(max(int(bin(z)), 0), bins-1)
	c.count[b] += c.unit
	c.total += c.unit
	c.unit /= keepErrors
	if c.unit > 1e100 {
		for i := range c.count {
			c.count[i] /= c.unit
		}
		c.total /= c.unit
		c.unit = 1
	}
}

// A tail is the distribution of the maximum load in a window.
type tail struct {
	mean, scale float64
	above       [bins + 1]float64 // probability of more than mean + edge × scale
}

// poolShare is how many errors of all phases stand beside those of the phase.
const poolShare = 20

// fill takes the errors of the phase, and a few of all.
func (t *tail) fill(phase, pool *counts) {
	var a, b float64 // weights of a count
	if phase.total > 0 {
		a = 1 / phase.unit
	}
	if pool.total > 0 {
		b = poolShare / pool.total
	}
	total := a*phase.total + b*pool.total
	sum := 0.0
	t.above[bins] = 0
	for i := bins - 1; i >= 0; i-- {
		sum += a*phase.count[i] + b*pool.count[i]
		t.above[i] = sum / total
	}
}

// exceeds is the probability of more than load x.
func (t *tail) exceeds(x float64) float64 {
	z := (x - t.mean) / t.scale
	at := bin(z)
	if at < 0 {
		return 1
	}
	i := int(at)
	if i >= bins {
		return 0
	}
	f := (z - edges[i]) / (edges[i+1] - edges[i])
	return t.above[i] + (t.above[i+1]-t.above[i])*f
}

// quantile is the load that is exceeded with probability 1-p.
func (t *tail) quantile(p float64) float64 {
	for i := range bins {
		if hi, lo := t.above[i], t.above[i+1]; lo <= 1-p {
			f := 0.0
			if hi > lo {
				f = (hi - (1 - p)) / (hi - lo)
			}
			return max(0, t.mean+t.scale*(edges[i]+f*(edges[i+1]-edges[i])))
		}
	}
	return t.mean + t.scale*highest
}

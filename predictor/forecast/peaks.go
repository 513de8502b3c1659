package forecast

// peaks calibrates quantiles of the maximum over the next 1, 2, … steps, on the maxima that came.
type peaks struct {
	horizon int
	track   *tracker
	ring    int
	ok      []bool    // origin
	run     []float64 // origin: maximum since
	center  []float64 // origin × steps-1: maximum of the step forecasts
	size    []float64 // origin × steps-1: largest expected error
	quant   []float64 // steps-1 × level
}

func newPeaks(horizon int, levels []float64) *peaks {
	p := &peaks{horizon: horizon, track: newTracker(horizon, levels), ring: horizon + 1}
	p.ok, p.run = make([]bool, p.ring), make([]float64, p.ring)
	p.center, p.size = make([]float64, p.ring*horizon), make([]float64, p.ring*horizon)
	p.quant = make([]float64, horizon*len(levels))
	return p
}

// learn takes sample t.
func (p *peaks) learn(t int, y float64) {
	for h := range p.horizon {
		o := t - 1 - h
		if o < 0 {
			return
		}
		s := o % p.ring
		if !p.ok[s] {
			continue
		}
		p.run[s] = max(p.run[s], y)
		if at := s*p.horizon + h; p.size[at] > 0 {
			p.track.learn(h, (p.run[s]-p.center[at])/p.size[at])
		}
	}
}

// skip says that origin t makes no forecast to learn from.
func (p *peaks) skip(t int) { p.ok[t%p.ring] = false }

// lose says that a sample is missing: no maximum under way is known any more.
func (p *peaks) lose() { clear(p.ok) }

// predict takes origin t's step forecasts and expected errors.
func (p *peaks) predict(t int, center, size []float64) {
	s := t % p.ring
	p.ok[s] = true
	p.run[s] = 0
	c, e := 0.0, 0.0
	n := len(p.track.levels)
	for h := range p.horizon {
		c, e = max(c, center[h]), max(e, size[h])
		p.center[s*p.horizon+h], p.size[s*p.horizon+h] = c, e
		q := p.quant[h*n:][:n]
		for j, u := range p.track.row(h) {
			q[j] = min(max(0, c+e*u), MaxLoad)
			if h > 0 {
				q[j] = max(q[j], p.quant[(h-1)*n+j])
			}
		}
		ascending(q)
	}
}

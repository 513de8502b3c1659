package forecast

import "math"

// learn judges the forecasts of the sample that has come.
func (f *Forecaster) learn(y float64) {
	t := f.n
	f.mix.learn(y, f.past)
	changed := false
	for h := range f.cfg.Horizon {
		_, center, ok := f.past(h)
		if !ok {
			continue
		}
		o := t - 1 - h
		e := y - center
		if s := f.spread.s[(o%f.ring)*f.cfg.Horizon+h]; s > 0 {
			f.track.learn(h, e/s)
			if h == 0 {
				changed = f.guard.learn(e / s)
			}
		}
		f.spread.learn(t, o, h, math.Abs(e))
	}
	f.spread.renew()
	f.peaks.learn(t, y)
	if changed {
		f.mix.forget()
		for _, v := range f.views {
			v.sinceN = 0
		}
	}
}

// learnExperts lets the regressions learn from the newest sample. Two of them solve equations in a turn, all while they are young.
func (f *Forecaster) learnExperts(light bool) {
	n := len(f.regs)
	t := f.n
	for i, r := range f.regs {
		r.learn()
		turn := i == t%n || i == (t+n/2)%n || t < 400
		if light && t >= 400 {
			turn = t%(2*n) == 2*i
		}
		r.renew(turn)
	}
}

// expected stands in for a missing sample: the forecast from the last sample that was there, beyond the horizon the same slot
// of a season ago, without seasons the usual level.
func (f *Forecaster) expected() float64 {
	last := f.n - f.gap
	if f.gap <= f.cfg.Horizon && f.made[last%f.ring] {
		return f.center[(last%f.ring)*f.cfg.Horizon+f.gap-1]
	}
	v := f.views[1]
	for i := len(f.cfg.Seasons) - 1; i >= 0; i-- {
		if m := f.cfg.Seasons[i]; v.n >= m {
			return v.scale.from(v.at(v.n - m))
		}
	}
	return v.scale.from(v.levels[3])
}

// predict makes the forecast from the newest sample.
func (f *Forecaster) predict() {
	t := f.n - 1
	s := t % f.ring
	k := len(f.experts)
	horizon := f.cfg.Horizon
	pred := f.pred[s*horizon*k:][:horizon*k]
	for i := range f.experts {
		e := &f.experts[i]
		ready := false
		if e.reg != nil {
			ready = e.reg.predict(f.ahead)
		} else {
			ready = e.point(f.ahead)
		}
		if !ready {
			fill(f.ahead, e.view.at(t))
		} else if !f.mix.active[i] {
			f.mix.enter(i)
		}
		sc := e.view.scale
		for h, z := range f.ahead {
			pred[h*k+i] = min(sc.from(z), MaxLoad)
		}
	}
	f.made[s] = f.gap == 0
	level := f.views[0].levels[4]
	center := f.center[s*horizon:][:horizon]
	size := f.ahead // the experts are done with it
	b := 0
	for h := range horizon {
		if h >= f.mix.blocks[b][1] {
			b++
		}
		w := f.mix.w[b*k:][:k]
		p := pred[h*k:][:k]
		c := 0.0
		for i, v := range p {
			c += w[i] * v
		}
		apart := 0.0
		for i, v := range p {
			apart += w[i] * math.Abs(v-c)
		}
		center[h] = c
		// After a gap of g samples step h is h+g steps from the last sample.
		far := min(h+f.gap, horizon-1)
		size[h] = f.spread.expect(t, far, c, level, apart)
		if f.gap > 0 {
			size[h] *= math.Sqrt(float64(h+f.gap+1) / float64(far+1))
		}
		n := len(f.track.levels)
		q := f.quant[h*n:][:n]
		for j, u := range f.track.row(far) {
			q[j] = min(max(0, c+size[h]*u), MaxLoad)
		}
		ascending(q[:n-1])
	}
	f.peaks.predict(t, center, size)
	if f.gap > 0 {
		f.peaks.lose()
	}
}

// Forecast copies the forecast from the newest sample into dst, which it gives its size; with that it allocates nothing.
func (f *Forecaster) Forecast(dst *Forecast) error {
	horizon, n := f.cfg.Horizon, len(f.cfg.Quantiles)
	if len(dst.Point) != horizon {
		*dst = Forecast{Point: make([]float64, horizon), Quantiles: rows(horizon, n), Maximum: rows(horizon, n)}
	}
	if f.n == f.gap {
		return ErrNoData
	}
	for h := range horizon {
		q := f.quant[h*(n+1):][:n+1]
		copy(dst.Quantiles[h], q[:n])
		dst.Point[h] = q[n]
		copy(dst.Maximum[h], f.peaks.quant[h*n:][:n])
	}
	return nil
}

func rows(n, m int) [][]float64 {
	r := make([][]float64, n)
	v := make([]float64, n*m)
	for i := range r {
		r[i] = v[i*m:][:m:m]
	}
	return r
}

// Weights are the experts' shares of the forecast. What cannot forecast yet has none.
func (f *Forecaster) Weights() []Weight {
	w := make([]Weight, len(f.experts))
	for i, e := range f.experts {
		w[i].Expert = e.name
		for b := range f.mix.blocks {
			w[i].Share = append(w[i].Share, f.mix.w[b*len(w)+i])
		}
	}
	return w
}

// Experts copies the forecasts of each expert from the newest sample, in the order of Weights: expert × step.
func (f *Forecaster) Experts() [][]float64 {
	k := len(f.experts)
	out := rows(k, f.cfg.Horizon)
	if f.n > 0 {
		pred := f.pred[((f.n-1)%f.ring)*f.cfg.Horizon*k:]
		for i := range out {
			for h := range out[i] {
				out[i][h] = pred[h*k+i]
			}
		}
	}
	return out
}

// Stats returns the counts so far.
func (f *Forecaster) Stats() Stats {
	return Stats{Samples: f.n, Missing: f.missing, Changes: f.guard.changes}
}

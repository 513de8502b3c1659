package forecast

// An expert forecasts in the scale of its view.
type expert struct {
	name string
	view *view
	reg  *regression // nil: point does it
	// point writes forecasts from the newest sample; false: it cannot yet.
	point func(dst []float64) bool
}

// build makes the views and experts for a configuration.
func (f *Forecaster) build() {
	seasons := f.cfg.Seasons
	h := f.cfg.Horizon
	plain, count, factor := newView(raw, seasons, h), newView(root, seasons, h), newView(logs, seasons, h)
	f.views = []*view{plain, count, factor}
	count.addSmoothers(h)
	reg := func(name string, v *view, o regressionOptions) {
		r := newRegression(v, f.known, h, o)
		f.experts = append(f.experts, expert{name: name, view: v, reg: r})
		f.regs = append(f.regs, r)
	}
	point := func(name string, v *view, p func(dst []float64) bool) {
		f.experts = append(f.experts, expert{name: name, view: v, point: p})
	}
	levels := []int{1, 2, 3}
	if n := len(seasons); n > 0 {
		factor.addSmoothers(h)
		day, week := seasons[0], 0
		thin := min(4, max(1, day/96))
		start := day + 10
		prof := []int{0, 1}
		if n == 2 {
			week = seasons[1]
			start += week
			prof = []int{0, 1, 2, 3}
		}
		reg("season", count, regressionOptions{lags: 3, levels: levels, days: n, both: n == 2, prof: prof, smooth: true, memory: 4000, ridge: 0.3, start: start, thin: thin})
		reg("season-log", factor, regressionOptions{lags: 3, levels: levels, days: n, both: n == 2, prof: prof[n-1 : n+1], smooth: true, memory: 1500, ridge: 0.3, start: start, thin: thin})
		parts := max(1, min(day/8, 6))
		reg("parts", count, regressionOptions{lags: 3, days: n, both: n == 2, prof: prof, smooth: true, memory: 6000, ridge: 0.3, start: start, thin: thin, parts: parts})
		reg("parts-raw", plain, regressionOptions{lags: 3, days: n, both: n == 2, prof: prof, memory: 6000, ridge: 0.3, start: start, thin: thin, parts: parts})
		if n == 2 {
			reg("day-log", factor, regressionOptions{lags: 3, levels: levels, days: 1, smooth: true, memory: 3000, ridge: 0.3, start: day + 10, thin: thin})
		}
		for i, name := range []string{"naive-day", "naive-week"}[:n] {
			m := seasons[i]
			point(name, count, func(dst []float64) bool {
				if count.n < m {
					return false
				}
				for j := range dst {
					dst[j] = count.at(count.earlier(count.n+j, m))
				}
				return true
			})
		}
		for i, name := range []string{"smooth-slow", "smooth-quick", "smooth-season"} {
			point(name, count, func(dst []float64) bool {
				copy(dst, count.ahead[i])
				return count.n >= day
			})
		}
	}
	reg("recent", count, regressionOptions{lags: 5, levels: []int{1, 2, 3, 4}, memory: 1500, ridge: 1})
	if f.known.k > 0 {
		reg("known", count, regressionOptions{lags: 3, levels: levels, inputs: true, memory: 6000, ridge: 1})
		reg("known-raw", plain, regressionOptions{lags: 3, levels: levels, inputs: true, memory: 6000, ridge: 1})
	}
	point("naive", count, func(dst []float64) bool { fill(dst, count.at(count.n-1)); return true })
	for i, name := range []string{"level-2", "level-4", "level-10"} {
		point(name, count, func(dst []float64) bool { fill(dst, count.levels[i]); return count.n >= 3 })
	}
	point("regime", count, func(dst []float64) bool { fill(dst, count.since); return count.sinceN >= 5 })
}

func fill(dst []float64, v float64) {
	for i := range dst {
		dst[i] = v
	}
}

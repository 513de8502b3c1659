package capacity

import "math"

// A model forecasts the maximum in one window.
type model struct {
	window window
	slow   []rls // by phase
	quick  []rls
	size   []rls
	errors []counts
	usual  []float64 // size of the errors
	pool   counts    // of all phases
	loss   [2]float64
	fast   float64 // running error over the usual one
	steady float64
	made   []made // by tick
	now    made
}

// made is a forecast whose window is not over yet.
type made struct {
	x           [terms]float64
	xs          [sizeTerms]float64
	level       float64
	mean        float64 // of the maximum, relative to the level less 1
	slow, quick float64
	size        float64
	phase       int
	valid       bool
}

func newModel(w window, phases int) *model {
	m := &model{window: w, made: make([]made, w.to+2), fast: 0.1, steady: 0.1}
	for range phases {
		m.slow, m.quick, m.size = append(m.slow, newRLS(terms)), append(m.quick, newRLS(terms)), append(m.size, newRLS(sizeTerms))
		m.errors, m.usual = append(m.errors, counts{}), append(m.usual, 0.1)
	}
	return m
}

// learn takes the forecast whose window ended with the newest tick.
func (m *model) learn(f *forecaster) {
	q := &m.made[(f.n-1-m.window.to+len(m.made)*ringTicks)%len(m.made)]
	if !q.valid {
		return
	}
	q.valid = false
	most := 0.0
	for d := m.window.from; d <= m.window.to; d++ {
		most = max(most, f.at(m.window.to-d+1))
	}
	y := most/q.level - 1
	e := y - q.mean
	z := e / q.size
	m.errors[q.phase].add(z)
	m.pool.add(z)
	weight := min(1e-2/(q.size*q.size), 1e3)
	if a := math.Abs(z); a > huber {
		weight *= huber / a
	}
	m.slow[q.phase].update(q.x[:], y, weight, keepSlow)
	m.quick[q.phase].update(q.x[:], y, weight, keepQuick)
	for i, v := range [2]float64{q.slow, q.quick} {
		m.loss[i] = keepLoss*m.loss[i] + min(math.Abs(y-v)/q.size, 5)
	}
	m.size[q.phase].update(q.xs[:], math.Log(math.Abs(e)+1e-3), 1, keepSize)
	usual := &m.usual[q.phase]
	*usual += 0.003 * (math.Abs(e) - *usual)
	relative := math.Abs(e) / (*usual + 1e-4)
	m.fast += 0.05 * (relative - m.fast)
	m.steady += 0.005 * (relative - m.steady)
}

// forecast makes one from now.
func (m *model) forecast(f *forecaster) {
	q := &m.made[f.n%len(m.made)]
	q.x = f.base
	m.compare(f, q)
	q.phase = f.n % f.perStep * f.phases / f.perStep
	q.level = f.level
	q.slow = max(-1, m.slow[q.phase].predict(q.x[:]))
	q.quick = max(-1, m.quick[q.phase].predict(q.x[:]))
	share := 1 / (1 + math.Exp(mixRate*(m.loss[1]-m.loss[0])))
	q.mean = share*q.quick + (1-share)*q.slow

	xs := &q.xs
	xs[0] = 1
	xs[1] = math.Log(q.level+1e-9) * 0.1
	xs[2] = math.Log(m.fast + 0.05)
	xs[3] = math.Log(m.steady + 0.05)
	xs[4] = math.Log(math.Abs(q.x[1]-q.x[9]) + 0.01)
	moves := 0.0
	for i := 1; i <= 24; i++ {
		moves += math.Abs(f.at(i)-f.at(i+4)) / f.level
	}
	xs[5] = math.Log(moves/24 + 0.005)
	xs[6], xs[7] = f.jumps[0], f.jumps[1]
	q.size = min(max(math.Exp(m.size[q.phase].predict(xs[:]))*1.5, 0.01), 3)
	q.valid = true
	m.now = *q
}

// compare sees how the load went from now to the window's middle in seasons
// before: the last day and week, and the mean of seven days and three weeks.
func (m *model) compare(f *forecaster, q *made) {
	day, week := 0, 0
	if len(f.seasons) > 0 {
		day = f.seasons[0]
	}
	if len(f.seasons) > 1 {
		week = f.seasons[1]
	}
	middle := f.n + (m.window.from+m.window.to)/2
	for i, c := range [4]struct{ season, times int }{{day, 1}, {week, 1}, {day, 7}, {week, 3}} {
		var now, then, n float64
		for k := 1; k <= c.times && c.season > 0; k++ {
			a, ok1 := f.before(f.n-smoothOver, k*c.season)
			b, ok2 := f.before(middle, k*c.season)
			if ok1 && ok2 {
				now += a
				then += b
				n++
			}
		}
		x := q.x[1+len(lags)+2*i:][:2]
		x[0], x[1] = 0, 0
		if n > 0 {
			x[0] = min(5, then/n/f.level) - 1
			x[1] = min(5, now/n/f.level) - 1
		}
	}
}

// tail is the distribution of the maximum in the window; false while too little
// is known.
func (m *model) tail(t *tail) bool {
	q := &m.now
	if m.pool.total == 0 || q.level == 0 {
		return false
	}
	t.mean, t.scale = (1+q.mean)*q.level, q.size*q.level
	t.fill(&m.errors[q.phase], &m.pool)
	return true
}

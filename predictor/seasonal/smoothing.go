package seasonal

import "math"

// A smoothing follows level, damped slope, slots of the day and slots of the week
// by exponential smoothing, with an autoregression of order 1 on its errors
// (Taylor 2010, doi:10.1016/j.ejor.2009.10.003). Each gain begins at that of a
// plain average and falls to its own, so that nothing is to be known beforehand.
type smoothing struct {
	season
	level, slope float64 // gains
	damping      float64 // of the slope, per step
	day, week    float64 // gains
	memory       float64 // of the error, per step
}

// smoothingEvals bounds how often parameters are tried.
const smoothingEvals = 250

// fitSmoothing looks for the parameters with the least absolute error over
// several leads at once, in one pass over z each.
func fitSmoothing(z []float64, s season, h int) *smoothing {
	p := &smoothing{season: s}
	set := func(x []float64) {
		p.level = 0.5 * sigmoid(x[0])
		p.slope = 0.3 * sigmoid(x[1])
		p.damping = 0.9 + 0.1*sigmoid(x[2])
		p.day = 0.7 * sigmoid(x[3])
		p.week = 0.7 * sigmoid(x[4])
		p.memory = 0.99 * sigmoid(x[5])
	}
	leads := []int{1}
	for _, eighths := range []int{1, 2, 4, 8, 12, 16} {
		if l := s.day * eighths / 8; l > leads[len(leads)-1] && l <= h {
			leads = append(leads, l)
		}
	}
	slopes, errs := make([]float64, len(leads)), make([]float64, len(leads))
	from := max(len(z)/3, 2*s.day)
	st := newSmoothingState(s)
	loss := func(x []float64) float64 {
		set(x)
		for i, l := range leads {
			slopes[i], errs[i] = p.ahead(l)
		}
		sum := 0.0
		st.start(z, s)
		for t := s.day; t < len(z); t++ {
			p.update(st, z[t], t)
			if t < from {
				continue
			}
			for i, l := range leads {
				if t+l < len(z) {
					sum += math.Abs(z[t+l] - st.at(t+l, slopes[i], errs[i]))
				}
			}
		}
		// Keeps the simplex where the sigmoids still move.
		const edge = 8
		for _, v := range x {
			sum *= 1 + 0.01*max(0, math.Abs(v)-edge)
		}
		return sum
	}
	set(minimise(loss, []float64{-3, -2, 0, -1, -2, 0}, 1, smoothingEvals))
	return p
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

type smoothingState struct {
	level, slope, err float64
	day, week         []float64 // by slot
	days, weeks       []float64 // how often a slot was seen
}

func newSmoothingState(s season) *smoothingState {
	week := max(s.week, 1)
	return &smoothingState{
		day: make([]float64, s.day), days: make([]float64, s.day),
		week: make([]float64, week), weeks: make([]float64, week),
	}
}

// start takes the first day as it is.
func (st *smoothingState) start(z []float64, s season) {
	clear(st.week)
	clear(st.weeks)
	st.level, st.slope, st.err = 0, 0, 0
	for _, v := range z[:s.day] {
		st.level += v / float64(s.day)
	}
	for i, v := range z[:s.day] {
		st.day[i] = v - st.level
		st.days[i] = 1
	}
}

// update takes z, sample t.
func (p *smoothing) update(st *smoothingState, z float64, t int) {
	day, week := t%len(st.day), t%len(st.week)
	trend := p.damping * st.slope
	err := z - (st.level + trend + st.day[day] + st.week[week])
	surprise := err - p.memory*st.err
	gain := max(p.level, 0.1*float64(p.season.day)/float64(t+1))
	st.level += trend + gain*surprise
	st.slope = trend + p.slope*gain*surprise
	if p.season.day > 1 {
		st.days[day]++
		st.day[day] += max(p.day, 1/st.days[day]) * surprise
	}
	if p.season.week > 0 {
		st.weeks[week]++
		st.week[week] += max(p.week, 0.7/(st.weeks[week]+1)) * surprise
	}
	st.err = err
}

// ahead is what the slope and the last error count for at a lead.
func (p *smoothing) ahead(lead int) (slope, err float64) {
	slope = float64(lead)
	if p.damping < 1 {
		slope = p.damping * (1 - math.Pow(p.damping, float64(lead))) / (1 - p.damping)
	}
	return slope, math.Pow(p.memory, float64(lead))
}

// at is the forecast of sample t.
func (st *smoothingState) at(t int, slope, err float64) float64 {
	return st.level + slope*st.slope + st.day[t%len(st.day)] + st.week[t%len(st.week)] + err*st.err
}

func (p *smoothing) forecast(past, dst []float64) {
	st := newSmoothingState(p.season)
	st.start(past, p.season)
	for t := p.season.day; t < len(past); t++ {
		p.update(st, past[t], t)
	}
	for i := range dst {
		slope, err := p.ahead(i + 1)
		dst[i] = st.at(len(past)+i, slope, err)
	}
}

package forecast

import "math"

const (
	spreadTerms  = 5
	spreadMemory = 3000 // samples
	spreadRidge  = 5    // samples' worth of evidence for the start values
	spreadLimit  = 4    // the logarithm of spread over slow spread stays within this
	spreadFast   = 0.15
	spreadSlow   = 0.01
	spreadDay    = 0.15
	spreadYoung  = 200 // samples until the errors alone say what the spread is
)

// spreadStart: with nothing learnt, half of how much the newest errors differ from the usual is believed.
var spreadStart = [spreadTerms]float64{0, 0.5, 0, 0, 0}

// A spread expects the absolute error of each horizon: a log-linear model of errors of now, of long, of the time of day, of the
// load expected and of the experts' disagreement, fitted by scoring of the Laplace likelihood with exponential forgetting.
type spread struct {
	horizon    int
	fast, slow []float64 // horizon: running absolute errors
	day        []float64 // slot of the first season: running absolute error at dayAt
	daySeen    []int32
	a          []float64 // horizon × packed triangle
	b, w       []float64 // horizon × term
	n          []float64 // horizon
	x          []float64 // origin × horizon × term
	s          []float64 // origin × horizon: what was expected
	ring, next int
	l          [spreadTerms * (spreadTerms + 1) / 2]float64
	start      [spreadTerms]float64
}

func newSpread(horizon, season int) *spread {
	s := &spread{horizon: horizon, ring: horizon + 1}
	s.fast, s.slow, s.n = make([]float64, horizon), make([]float64, horizon), make([]float64, horizon)
	s.day, s.daySeen = make([]float64, season), make([]int32, season)
	s.a = make([]float64, horizon*len(s.l))
	s.b, s.w = make([]float64, horizon*spreadTerms), make([]float64, horizon*spreadTerms)
	s.x, s.s = make([]float64, s.ring*horizon*spreadTerms), make([]float64, s.ring*horizon)
	for h := range horizon {
		copy(s.w[h*spreadTerms:], spreadStart[:])
	}
	return s
}

// dayAt is the horizon index whose errors make the profile of the day.
func (s *spread) dayAt() int { return min(2, s.horizon-1) }

// learn takes the absolute error of sample t, forecast from origin o at horizon index h.
func (s *spread) learn(t, o, h int, e float64) {
	if h == s.dayAt() {
		i := t % len(s.day)
		s.daySeen[i] = min(s.daySeen[i]+1, 1<<20)
		s.day[i] += max(spreadDay, 1/float64(s.daySeen[i])) * (e - s.day[i])
	}
	young := 1 / (s.n[h] + 1)
	s.n[h] = min(s.n[h]+1, spreadMemory)
	s.fast[h] += max(spreadFast, young) * (e - s.fast[h])
	s.slow[h] += max(spreadSlow, young) * (e - s.slow[h])
	at := (o%s.ring)*s.horizon + h
	was := s.s[at]
	if was <= 0 {
		return
	}
	const keep = 1 - 1.0/spreadMemory
	x := s.x[at*spreadTerms:][:spreadTerms]
	w, b := s.w[h*spreadTerms:][:spreadTerms], s.b[h*spreadTerms:][:spreadTerms]
	v := min(e/was, 5) - 1
	for j, xj := range x {
		v += w[j] * xj
	}
	a := s.a[h*len(s.l):][:len(s.l)]
	k := 0
	for j, xj := range x {
		for _, xm := range x[:j+1] {
			a[k] = keep*a[k] + xj*xm
			k++
		}
		b[j] = keep*b[j] + v*xj
	}
}

// renew fits one horizon, in turn.
func (s *spread) renew() {
	h := s.next
	s.next = (s.next + 1) % s.horizon
	if s.n[h] < 20 {
		return
	}
	var a [spreadTerms * (spreadTerms + 1) / 2]float64
	var b, w [spreadTerms]float64
	copy(a[:], s.a[h*len(s.l):])
	for j := range spreadTerms {
		a[j*(j+1)/2+j] += spreadRidge
		b[j] = s.b[h*spreadTerms+j] + spreadRidge*spreadStart[j]
	}
	ridgeSolve(a[:], b[:], 0, 1e-12, s.l[:], s.start[:], w[:])
	copy(s.w[h*spreadTerms:][:spreadTerms], w[:])
}

// expect returns the absolute error to expect at horizon index h from origin t: center is the forecast, level the usual load,
// apart the experts' mean distance from center.
func (s *spread) expect(t, h int, center, level, apart float64) float64 {
	slow := s.slow[h]
	if s.n[h] == 0 {
		slow = 0.1 * math.Abs(center) // nothing known: some
		for i := h - 1; i >= 0; i-- {
			if s.n[i] > 0 {
				slow = s.slow[i]
				break
			}
		}
	}
	if young := 1 - s.n[h]/spreadYoung; young > 0 {
		slow = max(slow, young*0.8*math.Sqrt(math.Abs(center))) // of a count, at least
	}
	at := (t%s.ring)*s.horizon + h
	s.s[at] = 0
	if slow <= 0 {
		return 0
	}
	eps := 0.05 * slow
	day := slow
	if i := (t + 1 + h) % len(s.day); s.daySeen[i] > 0 {
		day = s.day[i]
	}
	level = math.Abs(level) + eps
	x := s.x[at*spreadTerms:][:spreadTerms]
	x[0] = 1
	x[1] = math.Log((s.fast[h] + eps) / slow)
	x[2] = math.Log((math.Abs(center) + level*0.05) / level)
	x[3] = math.Log((apart + eps) / slow)
	x[4] = math.Log((day + eps) / slow)
	v := 0.0
	for j, w := range s.w[h*spreadTerms:][:spreadTerms] {
		v += w * x[j]
	}
	e := slow * math.Exp(max(-spreadLimit, min(spreadLimit, v)))
	s.s[at] = e
	return e
}

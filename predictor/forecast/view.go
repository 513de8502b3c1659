package forecast

import "math"

// levelRates are the smoothing constants of the exponential levels that every view keeps.
var levelRates = [...]float64{0.5, 0.25, 0.1, 0.03, 0.01}

// A view is the series in one scale, and what the experts of that scale share of it.
type view struct {
	scale    scale
	seasons  []int // ascending
	z        []float64
	mask     int
	n        int // samples so far: the newest has index n-1
	levels   [len(levelRates)]float64
	since    float64 // mean since the last change of regime, of at most sinceMax samples
	sinceN   float64
	step     float64 // running size of z[t]-z[t-1]: what 1 means for the intercept of a regression
	profiles []profile
	smooth   []*smoother
	ahead    [][]float64 // forecasts of smooth from the newest sample
}

const sinceMax = 2000

// A profile is an exponential average per slot of a season.
type profile struct {
	rate float64
	v    []float64
}

// profileRates are the rates of the profiles: of the first season, of the last.
var profileRates = [2][2]float64{{0.1, 0.3}, {0.1, 0.45}}

func (p *profile) at(t int) float64 { return p.v[t%len(p.v)] }

func newView(s scale, seasons []int, horizon int) *view {
	keep := 64
	for _, m := range seasons {
		keep += m
	}
	v := &view{scale: s, seasons: seasons}
	size := 1
	for size < keep+2*horizon {
		size <<= 1
	}
	v.z = make([]float64, size)
	v.mask = size - 1
	for i, m := range seasons {
		for _, rate := range profileRates[i] {
			v.profiles = append(v.profiles, profile{rate: rate, v: make([]float64, m)})
		}
	}
	return v
}

// addSmoothers gives the view its bank of seasonal smoothers.
func (v *view) addSmoothers(horizon int) {
	for _, o := range smootherBank {
		v.smooth = append(v.smooth, newSmoother(o, v.seasons))
		v.ahead = append(v.ahead, make([]float64, horizon))
	}
}

// at returns sample i in this scale; the caller knows that it is kept.
func (v *view) at(i int) float64 { return v.z[i&v.mask] }

// earlier returns the last kept index that is a whole number of seasons before i and not after the newest sample, -1 if none.
func (v *view) earlier(i, season int) int {
	for i >= v.n {
		i -= season
	}
	return i
}

func (v *view) push(y float64) {
	z := v.scale.to(y)
	t := v.n
	young := 1 / float64(t+1)
	for i, a := range levelRates {
		v.levels[i] += max(a, young) * (z - v.levels[i])
	}
	v.sinceN = min(v.sinceN+1, sinceMax)
	v.since += (z - v.since) / v.sinceN
	if t > 0 {
		v.step += max(0.01, young) * (math.Abs(z-v.at(t-1)) - v.step)
	}
	for i := range v.profiles {
		p := &v.profiles[i]
		s := t % len(p.v)
		n := float64(t/len(p.v) + 1) // samples of the slot, this one included
		p.v[s] += max(p.rate, 1/n) * (z - p.v[s])
	}
	v.z[t&v.mask] = z
	v.n++
	for i, s := range v.smooth {
		s.push(z)
		s.predict(v.ahead[i])
	}
}

package capacity

import (
	"math"
	"math/rand/v2"
)

// lags are ranges of ticks, counted back from now, whose means a forecast sees.
var lags = [...][2]int{{1, 1}, {2, 2}, {3, 3}, {4, 4}, {5, 6}, {7, 8}, {9, 12}, {13, 16}, {17, 24}, {25, 40}, {41, 80}, {81, 240}}

// What a forecast sees: a constant, the lags, four comparisons with seasons
// before (now and then), and moves far beyond the usual.
const (
	seasonTerms = 8
	hingeTerms  = 4
	terms       = 1 + len(lags) + seasonTerms + hingeTerms
	sizeTerms   = 8 // of the expected error
)

const (
	ringTicks = 512 // ticks that are kept; a power of two above all lags and windows
	levelOver = 40  // ticks: the level that everything is relative to
	longOver  = 240

	// How fast things are forgotten, a tick: after 10,000 ticks (a day of 15 s is
	// 5,760) the slow models count a sample 0.37, the quick ones after 1,000.
	keepSlow   = 0.9999
	keepQuick  = 0.999
	keepSize   = 0.9998
	keepErrors = 0.9998
	keepLoss   = 0.998

	hingeAt    = 3   // usual moves, beyond which a move counts for itself
	huber      = 6   // an error beyond so many expected ones counts no more than these
	mixRate    = 0.1 // how strongly the better of slow and quick is preferred
	smoothOver = 20  // ticks each way that smooth the season before
	maxPhases  = 20
)

// A forecaster learns the distribution of the maximum load in windows of ticks
// ahead. Each window has its own models: a slow and a quick regression of the
// maximum relative to the present level, one of the size of their error, and the
// errors that there were in units of it. All are relative, so that nothing
// depends on the unit of load; each place of a tick within a step has models of
// its own.
type forecaster struct {
	perStep int
	seasons []int // steps
	phases  int

	ring   [ringTicks]float64
	n      int       // ticks seen
	steps  []float64 // prefix sums of complete steps
	sum    float64   // of the step that is not complete
	half   int       // steps each way that smooth a season before
	level  float64
	move   float64 // typical size of a move
	base   [terms]float64
	jumps  [2]float64 // of the error's size
	models []*model
}

// A window is ticks from now on, both ends included; 0 is the tick that begins.
type window struct{ from, to int }

func newForecaster(perStep int, seasons []int, windows ...window) *forecaster {
	f := &forecaster{perStep: perStep, seasons: seasons, phases: min(perStep, maxPhases), half: max(1, smoothOver/perStep), steps: []float64{0}}
	for _, w := range windows {
		f.models = append(f.models, newModel(w, f.phases))
	}
	return f
}

// seed learns from steps as if their ticks had been seen: on the lines between
// their middles, with noise.
func (f *forecaster) seed(steps []float64, noise float64) {
	random := rand.New(rand.NewPCG(1, 2))
	for i := range steps {
		for k := range f.perStep {
			at := float64(i) + float64(k)/float64(f.perStep) - 0.5
			from := int(math.Floor(at))
			lo, hi := steps[max(from, 0)], steps[min(from+1, len(steps)-1)]
			f.observe(max(0, (lo+(hi-lo)*(at-float64(from)))*(1+noise*random.NormFloat64())))
		}
	}
}

// at is the load so many ticks ago; 1 is the newest.
func (f *forecaster) at(ago int) float64 { return f.ring[(f.n-ago)&(ringTicks-1)] }

func (f *forecaster) ready() bool { return f.n >= ringTicks }

// observe takes one tick's load.
func (f *forecaster) observe(v float64) {
	f.push(v)
	if !f.ready() {
		return
	}
	for _, m := range f.models {
		m.learn(f)
	}
	f.look()
	for _, m := range f.models {
		m.forecast(f)
	}
}

// miss takes a tick whose load is not known: it goes on with the last, learns
// nothing, and forgets the forecasts under way.
func (f *forecaster) miss() {
	v := 0.0
	if f.n > 0 {
		v = f.at(1)
	}
	f.push(v)
	if !f.ready() {
		return
	}
	f.look()
	for _, m := range f.models {
		for i := range m.made {
			m.made[i].valid = false
		}
		m.forecast(f)
		m.made[f.n%len(m.made)].valid = false
	}
}

func (f *forecaster) push(v float64) {
	f.ring[f.n&(ringTicks-1)] = v
	f.n++
	f.sum += v
	if f.n%f.perStep == 0 {
		f.steps = append(f.steps, f.steps[len(f.steps)-1]+f.sum/float64(f.perStep))
		f.sum = 0
	}
}

// before is the smoothed load at a tick, so many steps earlier.
func (f *forecaster) before(tick, steps int) (v float64, ok bool) {
	at := float64(tick)/float64(f.perStep) - 0.5 - float64(steps)
	i := int(math.Floor(at))
	if i-f.half < 0 || i+1+f.half >= len(f.steps)-1 {
		return 0, false
	}
	mean := func(i int) float64 {
		return (f.steps[i+f.half+1] - f.steps[i-f.half]) / float64(2*f.half+1)
	}
	lo, hi := mean(i), mean(i+1)
	return lo + (hi-lo)*(at-float64(i)), true
}

func (f *forecaster) mean(r [2]int) float64 {
	sum := 0.0
	for i := r[0]; i <= r[1]; i++ {
		sum += f.at(i)
	}
	return sum / float64(r[1]-r[0]+1)
}

// recent is the mean of so many ticks, or of those that there were.
func (f *forecaster) recent(ticks int) float64 { return f.mean([2]int{1, max(1, min(ticks, f.n))}) }

// look makes what all windows see.
func (f *forecaster) look() {
	f.level = max(f.mean([2]int{1, levelOver}), 0.1*f.mean([2]int{1, longOver})) + 1e-9
	x := &f.base
	x[0] = 1
	for i, r := range lags {
		x[1+i] = f.mean(r)/f.level - 1
	}
	// The newest two ticks against those 9 to 16 ago, the newest four against
	// those 25 to 40 ago.
	short := (x[1]+x[2])/2 - (x[7]+x[8])/2
	long := (x[1]+x[2]+x[3]+x[4])/4 - x[10]
	hinges := x[terms-hingeTerms:]
	clear(hinges)
	f.jumps = [2]float64{}
	if f.move > 0 {
		limit := hingeAt * f.move
		for i, d := range [2]float64{short, long} {
			over := min(math.Abs(d)-limit, 5)
			if over > 0 && d > 0 {
				hinges[2*i] = over
			} else if over > 0 {
				hinges[2*i+1] = over
			}
		}
		f.jumps = [2]float64{math.Log(1 + hinges[0]/f.move), math.Log(1 + hinges[1]/f.move)}
	}
	f.move += 0.0005 * (min(math.Abs(short), 5*f.move+1e-3) - f.move)
}

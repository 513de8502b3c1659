package forecast

import "math"

const (
	mixHalf   = 200  // samples after which a loss counts half
	mixEta    = 10   // how strongly an expert's average relative regret counts against it
	mixShare  = 0.01 // weight shared out equally, so that an expert can come back
	mixWorst  = 5    // a relative regret beyond this counts as this
	mixForget = 0.3  // what is left of past regrets after a change of regime
	lossRate  = 0.005
)

// A mixer weighs experts per block of horizons: exponential weights on the discounted regret of finished forecasts, relative to
// the loss of the mixture, with fixed share (Herbster and Warmuth 1998). The loss is the pinball loss of the median, up to a
// factor of 2.
type mixer struct {
	k      int
	blocks [][2]int
	regret []float64 // block × expert
	w      []float64 // block × expert, over those that are active
	loss   []float64 // block: of the mixture
	tmp    []float64
	active []bool // expert has ever been ready
}

func newMixer(k, horizon int) *mixer {
	m := &mixer{k: k, blocks: blocks(horizon)}
	m.regret, m.w = make([]float64, len(m.blocks)*k), make([]float64, len(m.blocks)*k)
	m.loss, m.tmp = make([]float64, len(m.blocks)), make([]float64, k)
	m.active = make([]bool, k)
	return m
}

// learn takes sample t; past gives the experts' forecasts and the mixture of it made h+1 steps before.
func (m *mixer) learn(y float64, past func(h int) (experts []float64, center float64, ok bool)) {
	keep := math.Exp2(-1.0 / mixHalf)
	for b, r := range m.blocks {
		l := m.tmp
		clear(l)
		mine, n := 0.0, 0.0
		for h := r[0]; h < r[1]; h++ {
			experts, center, ok := past(h)
			if !ok {
				continue
			}
			for i, v := range experts {
				l[i] += math.Abs(y - v)
			}
			mine += math.Abs(y - center)
			n++
		}
		if n == 0 {
			continue
		}
		mine /= n
		if m.loss[b] == 0 {
			m.loss[b] = mine
		}
		m.loss[b] += lossRate * (mine - m.loss[b])
		if m.loss[b] <= 0 {
			continue
		}
		regret := m.regret[b*m.k:][:m.k]
		for i := range regret {
			regret[i] = keep*regret[i] + min((l[i]/n-mine)/m.loss[b], mixWorst)
		}
	}
	m.weigh()
}

// weigh turns regrets into weights of the active experts.
func (m *mixer) weigh() {
	rate := mixEta * (1 - math.Exp2(-1.0/mixHalf))
	n := 0.0
	for _, a := range m.active {
		if a {
			n++
		}
	}
	for b := range m.blocks {
		regret, w := m.regret[b*m.k:][:m.k], m.w[b*m.k:][:m.k]
		best := math.Inf(1)
		for i, v := range regret {
			if m.active[i] {
				best = min(best, v)
			}
		}
		sum := 0.0
		for i, v := range regret {
			w[i] = 0
			if m.active[i] {
				w[i] = math.Exp(rate * (best - v))
				sum += w[i]
			}
		}
		for i := range w {
			if m.active[i] {
				w[i] = (1-mixShare)*w[i]/sum + mixShare/n
			}
		}
	}
}

// enter makes an expert active, with the mixture's own record.
func (m *mixer) enter(i int) {
	m.active[i] = true
	for b := range m.blocks {
		m.regret[b*m.k+i] = 0
	}
	m.weigh()
}

// forget shrinks what was learnt of the experts: the regime has changed.
func (m *mixer) forget() {
	for i := range m.regret {
		m.regret[i] *= mixForget
	}
	m.weigh()
}

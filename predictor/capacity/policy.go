// Package capacity decides how many pods a load will need when pods that are
// started now begin to serve.
//
// It forecasts the distribution of the maximum load in three windows: the tick
// in which a pod started now would begin to serve, all ticks before that, and
// those until a pod removed now would be gone and another one back. From these it
// takes the number of pods of least expected cost, where a tick with too few has
// a price (the newsvendor's rule), never fewer than the load of now needs. The
// package is pure: no clock, no I/O, the same calls give the same bits.
package capacity

// A Tick is what is known at a decision.
type Tick struct {
	Load     float64 // of the tick that just ended; NaN: not known
	Replicas int     // wanted at present, those that start included
	Ready    int     // that serve
}

// A Decision is what to do.
type Decision struct {
	Replicas int
	// Peak is the median of the maximum load from now until pods started now serve
	// and after, and High the load that Replicas carry.
	Peak, High float64
	Fresh      bool // the load was known and there was enough of it to forecast
}

// A Policy decides tick by tick. One goroutine at a time may use it.
type Policy struct {
	bank Bank
}

// New returns a policy that has seen nothing: until it has, it follows the load.
func New(cfg Config) (*Policy, error) {
	b, err := NewBank(cfg)
	if err != nil {
		return nil, err
	}
	return &Policy{*b}, nil
}

// Fit learns from the steps that ended where the first Decide's tick begins; NaN
// is missing.
func (p *Policy) Fit(history []float64) { p.bank.Fit(history) }

// Decide takes one tick. A load that is not known, negative or not finite never
// makes a fleet smaller.
func (p *Policy) Decide(t Tick) Decision {
	p.bank.Observe(t.Load)
	return p.bank.Decide(0, t)
}

// SetPerPod tells how much load one pod carries, from now on. Values that are no
// load are not taken.
func (p *Policy) SetPerPod(load float64) {
	if usable(load) && load > 0 {
		p.bank.choosers[0].perPod = load
	}
}

// Price is what a minute with too few pods costs at present, in pods.
func (p *Policy) Price() float64 { return p.bank.choosers[0].price }

// A Bank is policies that share one forecast: what a study of many prices needs.
type Bank struct {
	f               *forecaster
	up, hold, again tail
	fresh           bool // the tails are those of now
	choosers        []*chooser
}

// NewBank returns policies of the first configuration, at its price and at
// those of the others, whose fleet must be the same.
func NewBank(cfg Config, prices ...float64) (*Bank, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	lead := int((cfg.Startup + cfg.Tick - 1) / cfg.Tick)
	back := lead + int((cfg.Drain+cfg.Tick-1)/cfg.Tick)
	b := &Bank{f: newForecaster(int(cfg.Step/cfg.Tick), cfg.Seasons, window{lead, lead}, window{0, lead - 1}, window{0, back})}
	b.choosers = append(b.choosers, newChooser(cfg))
	for _, price := range prices {
		cfg.Price = price
		if err := cfg.Validate(); err != nil {
			return nil, err
		}
		b.choosers = append(b.choosers, newChooser(cfg))
	}
	return b, nil
}

// Fit is Policy's.
func (b *Bank) Fit(history []float64) {
	b.f.seed(repaired(history), b.choosers[0].cfg.Noise)
	b.see()
}

// Observe takes the load of the tick that just ended, before the Decides of it.
func (b *Bank) Observe(load float64) {
	if b.fresh = usable(load); !b.fresh {
		b.f.miss()
		return
	}
	b.f.observe(load)
	b.see()
}

func (b *Bank) see() {
	b.fresh = b.f.models[0].tail(&b.up) && b.f.models[1].tail(&b.hold) && b.f.models[2].tail(&b.again)
}

// Decide decides for policy i; t.Load is what was observed.
func (b *Bank) Decide(i int, t Tick) Decision { return b.choosers[i].decide(b, t) }

// repaired fills what is missing with the last before it; what is missing at the
// beginning is left away.
func repaired(y []float64) []float64 {
	out := make([]float64, 0, len(y))
	for _, v := range y {
		if !usable(v) {
			if len(out) == 0 {
				continue
			}
			v = out[len(out)-1]
		}
		out = append(out, v)
	}
	return out
}

// maxLoad bounds a load: its square must not lose the rest.
const maxLoad = 1e15

func usable(v float64) bool { return v >= 0 && v <= maxLoad }

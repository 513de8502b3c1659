package forecast

// smootherBank are the constants of the seasonal smoothers: slow level with lasting deviations, quick level and week, and slow
// level with quick seasons.
var smootherBank = []smootherRates{
	{level: 0.01, carry: 0.9, season: [2]float64{0.1, 0.2}},
	{level: 0.1, carry: 0.6, season: [2]float64{0.03, 0.3}},
	{level: 0.03, carry: 0.5, season: [2]float64{0.2, 0.3}},
}

type smootherRates struct {
	level  float64
	carry  float64 // autocorrelation of what level and seasons leave
	season [2]float64
}

// A smoother is exponential smoothing with up to two seasons and autocorrelated errors (Taylor, Short-term electricity demand
// forecasting using double seasonal exponential smoothing, 2003).
type smoother struct {
	rates smootherRates
	level float64
	left  float64 // what level and seasons did not explain of the newest sample
	s     [][]float64
	t     int
}

func newSmoother(o smootherRates, seasons []int) *smoother {
	m := &smoother{rates: o}
	for _, p := range seasons {
		m.s = append(m.s, make([]float64, p))
	}
	return m
}

func (m *smoother) season(t int) float64 {
	v := 0.0
	for _, s := range m.s {
		v += s[t%len(s)]
	}
	return v
}

func (m *smoother) push(z float64) {
	t := m.t
	if t == 0 {
		m.level = z
	}
	off := z - m.level - m.season(t)
	e := off - m.rates.carry*m.left
	a := max(m.rates.level, min(0.1, 1/float64(t+1)))
	m.level += a * e
	m.left = off - a*e
	for i, s := range m.s {
		k := t % len(s)
		n := float64(t/len(s) + 1) // samples of the slot, this one included
		g := max(m.rates.season[i], 0.5/n)
		if n == 1 {
			// A slot seen once is half season, half chance; and what a first week leaves is the day's.
			if i > 0 {
				continue
			}
			g = 0.5
		}
		s[k] += g * (e + (off-e)/n)
	}
	m.t++
}

// predict writes forecasts of the steps after the newest sample.
func (m *smoother) predict(dst []float64) {
	left := m.left
	for h := range dst {
		left *= m.rates.carry
		dst[h] = m.level + m.season(m.t+h) + left
	}
}

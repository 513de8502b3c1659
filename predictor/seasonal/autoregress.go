package seasonal

import "math"

// An autoregression is x_t = c[slot of t] + Σ phi_l x_{t-l}, where x is the series
// or its difference at one lag. Intercepts are shrunk in two steps: a slot of the
// week towards its slot of the day, that towards 0. So a day of the week gets a
// pattern of its own as far as the samples ask for one.
type autoregression struct {
	arSpec
	phi        []float64 // by lag
	intercepts []float64 // by slot of the longest season
}

type arSpec struct {
	difference int   // lag, 0 = none
	lags       []int // ascending, not empty
	// Strength of the shrinkage, in samples that say nothing.
	day  float64 // everything: one intercept for all slots
	week float64 // everything: the day's
}

const everything = -1

// Samples that err by more than huberAt robust deviations lose weight; the fit is
// repeated huberRounds times with the weights of the last (Huber's M-estimate).
const (
	huberAt     = 2
	huberRounds = 2
)

// first is the first sample that can be regressed, counted in the series.
func (a arSpec) first() int { return a.difference + a.reach() }

// fitAutoregression estimates by penalised least squares. Intercepts are
// projected out of the columns slot by slot, so that only a system of the size of
// the lags is left to solve.
func fitAutoregression(z []float64, s season, spec arSpec) *autoregression {
	p := &autoregression{arSpec: spec}
	x := differenced(nil, z, spec.difference)
	slots, lags := s.longest(), len(spec.lags)
	first, n := spec.reach(), len(x)
	slotOf := func(t int) int { return (t + spec.difference) % slots }

	columns := lags + 1 // the last is the target
	gram := make([]float64, columns*columns)
	sums := make([]float64, columns*slots) // of a column by slot
	fits := make([]float64, columns*slots) // its intercepts
	count := make([]float64, slots)
	row := make([]float64, columns)
	a := make([]float64, lags*lags)
	p.phi = make([]float64, lags)
	p.intercepts = make([]float64, slots)
	errs, sorted, w := make([]float64, n), make([]float64, n), make([]float64, n)
	for t := range w {
		w[t] = 1
	}
	for round := 0; ; round++ {
		clear(gram)
		clear(sums)
		clear(count)
		for t := first; t < n; t++ {
			for i, l := range spec.lags {
				row[i] = x[t-l]
			}
			row[lags] = x[t]
			slot := slotOf(t)
			count[slot] += w[t]
			for i, v := range row {
				v *= w[t]
				sums[i*slots+slot] += v
				g := gram[i*columns : i*columns+i+1]
				for j := range g {
					g[j] += v * row[j]
				}
			}
		}
		for i := range columns {
			spec.shrink(fits[i*slots:(i+1)*slots], sums[i*slots:(i+1)*slots], count, s)
		}
		projected := func(i, j int) float64 {
			return gram[i*columns+j] - dot(sums[i*slots:(i+1)*slots], fits[j*slots:(j+1)*slots])
		}
		for i := range lags {
			for j := range i + 1 {
				a[i*lags+j] = projected(i, j)
			}
			a[i*lags+i] += 1e-12 * gram[i*columns+i] // lags that say the same
			p.phi[i] = projected(lags, i)
		}
		if !solve(a, p.phi) {
			clear(p.phi)
		}
		copy(p.intercepts, fits[lags*slots:])
		for i, phi := range p.phi {
			for slot := range slots {
				p.intercepts[slot] -= phi * fits[i*slots+slot]
			}
		}
		if round == huberRounds {
			return p
		}
		for t := first; t < n; t++ {
			errs[t] = math.Abs(x[t] - p.next(x, t, slotOf(t)))
		}
		limit := huberAt * 1.4826 * median(append(sorted[:0], errs[first:]...))
		for t := first; t < n; t++ {
			w[t] = 1
			if errs[t] > limit {
				w[t] = limit / errs[t]
			}
		}
	}
}

func (a arSpec) reach() int { return a.lags[len(a.lags)-1] }

// shrink fits a column's intercepts, given its sums and weights by slot.
func (a arSpec) shrink(fit, sums, count []float64, s season) {
	step := s.day
	if a.day == everything {
		step = 1
	}
	for d := range step {
		var num, den float64
		for slot := d; slot < len(sums); slot += step {
			own := a.own(count[slot])
			num += sums[slot] * (1 - own)
			den += count[slot] * (1 - own)
		}
		day := 0.0
		if a.day != everything {
			den += a.day
		}
		if den > 0 {
			day = num / den
		}
		for slot := d; slot < len(sums); slot += step {
			fit[slot] = day
			if own := a.own(count[slot]); own > 0 {
				fit[slot] += own * (sums[slot]/count[slot] - day)
			}
		}
	}
}

// own is the share that a slot of the week has in its own intercept.
func (a arSpec) own(count float64) float64 {
	if a.week == everything || count == 0 {
		return 0
	}
	return count / (count + a.week)
}

func (p *autoregression) next(x []float64, t, slot int) float64 {
	f := p.intercepts[slot]
	for i, l := range p.lags {
		f += p.phi[i] * x[t-l]
	}
	return f
}

func (p *autoregression) forecast(past, dst []float64) {
	// Only the last lags of the difference are needed.
	reach := p.reach()
	skip := len(past) - p.first()
	x := differenced(make([]float64, 0, reach+len(dst)), past[skip:], p.difference)
	x = x[:reach+len(dst)]
	for i := range dst {
		t := reach + i
		x[t] = p.next(x, t, (len(past)+i)%len(p.intercepts))
		dst[i] = x[t]
		switch d := p.difference; {
		case d == 0:
		case i < d:
			dst[i] += past[len(past)+i-d]
		default:
			dst[i] += dst[i-d]
		}
	}
}

// differenced appends z_t - z_{t-lag} to dst; z itself for lag 0.
func differenced(dst, z []float64, lag int) []float64 {
	if lag == 0 {
		return append(dst, z...)
	}
	for t := lag; t < len(z); t++ {
		dst = append(dst, z[t]-z[t-lag])
	}
	return dst
}

func dot(a, b []float64) (sum float64) {
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

package backtest

import "math"

// Scores are means over all origins and steps whose sample is there. Negative
// forecasts count as 0: a load is not negative.
type Scores struct {
	N     int     `json:"n"`     // forecasts scored
	MAE   float64 `json:"mae"`   // absolute error, in units of the series
	MASE  float64 `json:"mase"`  // the same, in units of Scale (Hyndman and Koehler 2006)
	RMSSE float64 `json:"rmsse"` // root of squared error, over that of the last value as forecast before the test
	SMAPE float64 `json:"smape"` // 200 |error| / (|sample| + |forecast|), in percent
	SPL   float64 `json:"spl"`   // pinball loss, mean over Levels, in units of Scale
	SPL95 float64 `json:"spl95"` // of the 0.95 quantile alone: what capacity follows
	Cov80 float64 `json:"cov80"` // share of samples between the 0.1 and the 0.9 quantile
	Cov95 float64 `json:"cov95"` // between 0.025 and 0.975
	Below float64 `json:"below95"`
	Scale float64 `json:"scale"` // mean absolute difference of samples one season apart before the test
}

// Places in Levels.
const (
	at025, at10, at90, at95, at975 = 1, 3, 7, 8, 9
)

// board adds up what forecasts of y scored.
type board struct {
	y             []float64
	scale, square float64

	n                         int
	abs, sq, ape, pin, pin95  float64
	inside80, inside95, below int
	levels                    []float64
}

// newBoard takes its units from the samples before the first origin.
func newBoard(y []float64, first int, seasons []int) *board {
	lag := 1
	if len(seasons) > 0 && seasons[0] < first {
		lag = seasons[0]
	}
	b := &board{y: y, levels: Levels()}
	b.scale = mean(y[:first], lag, math.Abs)
	b.square = mean(y[:first], 1, func(d float64) float64 { return d * d })
	return b
}

// mean is that of f of the differences at the lag; 1 when there are none, or
// when they are 0: the scores are in the series' units then.
func mean(y []float64, lag int, f func(float64) float64) float64 {
	sum, n := 0.0, 0
	for t := lag; t < len(y); t++ {
		if d := y[t] - y[t-lag]; !math.IsNaN(d) {
			sum += f(d)
			n++
		}
	}
	if n == 0 || sum == 0 {
		return 1
	}
	return sum / float64(n)
}

func (b *board) add(f *Forecast) {
	for h, point := range f.Point {
		y := b.y[f.Origin+h]
		if math.IsNaN(y) {
			continue
		}
		b.n++
		point = max(0, point)
		e := math.Abs(y - point)
		b.abs += e
		b.sq += e * e
		if d := math.Abs(y) + point; d > 0 {
			b.ape += 200 * e / d
		}
		q := f.Quantiles[h]
		for i, p := range b.levels {
			loss := pinball(p, y, max(0, q[i]))
			b.pin += loss / float64(len(b.levels))
			if i == at95 {
				b.pin95 += loss
			}
		}
		within := func(lo, hi int) int {
			if y >= max(0, q[lo]) && y <= max(0, q[hi]) {
				return 1
			}
			return 0
		}
		b.inside80 += within(at10, at90)
		b.inside95 += within(at025, at975)
		if y <= max(0, q[at95]) {
			b.below++
		}
	}
}

// pinball is the loss of which the quantile p is the least.
func pinball(p, y, q float64) float64 { return max(p*(y-q), (p-1)*(y-q)) }

func (b *board) scores() Scores {
	n := float64(b.n)
	return Scores{
		N: b.n, MAE: b.abs / n, MASE: b.abs / n / b.scale, RMSSE: math.Sqrt(b.sq / n / b.square), SMAPE: b.ape / n,
		SPL: b.pin / n / b.scale, SPL95: b.pin95 / n / b.scale,
		Cov80: float64(b.inside80) / n, Cov95: float64(b.inside95) / n, Below: float64(b.below) / n, Scale: b.scale,
	}
}

package backtest

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/barrage-im/barrage/predictor/arima"
)

const (
	// window is how many samples the methods without seasons look back: more than
	// a day of minutes, five days of five-minute samples.
	window = 1500
	// reorder is after how many origins the order of an ARIMA model is chosen
	// anew; in between its coefficients stay and its state follows the samples.
	reorder = 8
)

// normal fills quantiles of normal distributions.
func normal(f *Forecast, h int, point, sd float64) {
	f.Point[h] = point
	for i, p := range Levels() {
		f.Quantiles[h][i] = point + sd*distuv.UnitNormal.Quantile(p)
	}
}

// past is the samples that a method was told, missing ones filled with the last
// before them.
type past struct{ y []float64 }

func (p *past) Observe(y []float64) {
	for _, v := range y {
		if math.IsNaN(v) {
			if len(p.y) == 0 {
				continue // the series begins with its first sample
			}
			v = p.y[len(p.y)-1]
		}
		p.y = append(p.y, v)
	}
}

func (p *past) tail(n int) []float64 { return p.y[max(0, len(p.y)-n):] }

// spread is the root of the mean square of differences at the lag.
func spread(y []float64, lag int) float64 {
	sum, n := 0.0, 0
	for t := lag; t < len(y); t++ {
		sum += (y[t] - y[t-lag]) * (y[t] - y[t-lag])
		n++
	}
	return math.Sqrt(sum / float64(max(1, n)))
}

// Naive forecasts the last sample, as of a random walk.
func Naive() Method { return &naive{} }

type naive struct{ past }

func (*naive) Name() string { return "naive" }

func (m *naive) Forecast(f *Forecast) error {
	y := m.tail(window)
	sd := spread(y, 1)
	for h := range f.Point {
		normal(f, h, y[len(y)-1], sd*math.Sqrt(float64(h+1)))
	}
	return nil
}

// SeasonalNaive forecasts the sample one season before, as R's snaive does.
func SeasonalNaive(name string, season int) Method { return &seasonalNaive{name: name, season: season} }

type seasonalNaive struct {
	past

	name   string
	season int
}

func (m *seasonalNaive) Name() string { return m.name }

func (m *seasonalNaive) Forecast(f *Forecast) error {
	y := m.tail(max(4*m.season, window))
	if len(y) <= m.season {
		return fmt.Errorf("%d samples are less than the season of %d", len(y), m.season)
	}
	sd := spread(y, m.season)
	for h := range f.Point {
		ago := m.season * (h/m.season + 1)
		normal(f, h, y[len(y)+h-ago], sd*math.Sqrt(float64(h/m.season+1)))
	}
	return nil
}

// Theta is the theta method of Assimakopoulos and Nikolopoulos (2000), in the
// form of Hyndman and Billah (2003): exponential smoothing with half the drift
// of the trend line. Its intervals are those of the smoothing.
func Theta() Method { return &theta{} }

type theta struct{ past }

func (*theta) Name() string { return "theta" }

func (m *theta) Forecast(f *Forecast) error {
	y := m.tail(window)
	alpha, level, sd := smooth(y)
	drift := slope(y) / 2
	for h := range f.Point {
		// What the line has gained when the smoothing lags behind it.
		lag := (1 - math.Pow(1-alpha, float64(len(y)))) / alpha
		normal(f, h, level+drift*(float64(h)+lag), sd*math.Sqrt(1+float64(h)*alpha*alpha))
	}
	return nil
}

// smooth is simple exponential smoothing with the weight of least squared error.
func smooth(y []float64) (alpha, level, sd float64) {
	best := math.Inf(1)
	for a := 0.02; a <= 1; a += 0.02 {
		l, sum := y[0], 0.0
		for _, v := range y[1:] {
			e := v - l
			sum += e * e
			l += a * e
		}
		if sum < best {
			best, alpha, level = sum, a, l
		}
	}
	return alpha, level, math.Sqrt(best / float64(max(1, len(y)-1)))
}

// slope is that of the line of least squares, a sample.
func slope(y []float64) float64 {
	n := float64(len(y))
	if n < 2 {
		return 0
	}
	var sum, moment float64
	for i, v := range y {
		sum += v
		moment += float64(i) * v
	}
	middle := (n - 1) / 2
	return (moment - middle*sum) / (n * (n*n - 1) / 12)
}

// ARIMA is a model without season whose order is chosen by AICc, as R's
// auto.arima does, on the last samples.
func ARIMA() Method { return &autoARIMA{} }

type autoARIMA struct {
	past

	model    *arima.Model
	age      int // origins since the order was chosen
	mean, sd []float64
}

func (*autoARIMA) Name() string { return "auto.arima" }

func (m *autoARIMA) Observe(y []float64) {
	m.past.Observe(y)
	for _, v := range y {
		if m.model != nil {
			m.model.Update(v, nil)
		}
	}
}

func (m *autoARIMA) Forecast(f *Forecast) error {
	if m.model == nil || m.age == reorder {
		model, err := arima.Auto(m.tail(window), arima.Options{})
		if err != nil {
			return err
		}
		m.model, m.age = model, 0
	}
	m.age++
	m.mean, m.sd = resize(m.mean, len(f.Point)), resize(m.sd, len(f.Point))
	m.model.ForecastInto(m.mean, m.sd, nil)
	for h := range f.Point {
		normal(f, h, m.mean[h], m.sd[h])
	}
	return nil
}

func resize(x []float64, n int) []float64 {
	if len(x) != n {
		return make([]float64, n)
	}
	return x
}

package backtest

import (
	"slices"

	"github.com/barrage-im/barrage/predictor/arima"
)

const (
	profileCycles = 4  // seasons whose samples of a slot are compared
	profileWidth  = 15 // slots beside it that smooth the profile, where the season is long
)

// SeasonallyAdjusted takes the usual course of a season off, forecasts the rest
// by ARIMA and puts the course back: the kind of method that is the best single
// one on most load traces (R's stlm). Its course is the median of the slot over
// the last seasons, smoothed.
func SeasonallyAdjusted(name string, season int) Method {
	return &adjusted{name: name, season: season}
}

type adjusted struct {
	past

	name string

	season int
	age    int
	course []float64 // by slot, from the origin where it was made
	from   int       // the slot 0 of course is sample from
	model  *arima.Model
	told   int // samples that the model knows
	sd     []float64
	mean   []float64
}

func (m *adjusted) Name() string { return m.name }

func (m *adjusted) Forecast(f *Forecast) error {
	if m.model == nil || m.age == reorder {
		if err := m.fit(); err != nil {
			return err
		}
		m.age = 0
	}
	for ; m.told < len(m.y); m.told++ {
		m.model.Update(m.y[m.told]-m.usual(m.told), nil)
	}
	m.age++
	m.mean, m.sd = resize(m.mean, len(f.Point)), resize(m.sd, len(f.Point))
	m.model.ForecastInto(m.mean, m.sd, nil)
	for h := range f.Point {
		normal(f, h, m.mean[h]+m.usual(len(m.y)+h), m.sd[h])
	}
	return nil
}

func (m *adjusted) usual(t int) float64 { return m.course[(t-m.from)%m.season] }

// fit makes the course and the model from the samples known now.
func (m *adjusted) fit() error {
	n, cycles := len(m.y), min(profileCycles, len(m.y)/m.season)
	m.from = n - cycles*m.season
	if cycles == 0 { // not a season yet
		m.course, m.from = make([]float64, m.season), 0
	} else {
		m.course = course(m.y[m.from:], m.season)
	}
	begin := max(m.from, n-window)
	rest := make([]float64, 0, n-begin)
	for t := begin; t < n; t++ {
		rest = append(rest, m.y[t]-m.usual(t))
	}
	model, err := arima.Auto(rest, arima.Options{})
	m.model, m.told = model, n
	return err
}

// course is the median of each slot of whole seasons, smoothed over its
// neighbours in the round.
func course(y []float64, season int) []float64 {
	raw := make([]float64, season)
	slot := make([]float64, 0, len(y)/season)
	for i := range raw {
		slot = slot[:0]
		for t := i; t < len(y); t += season {
			slot = append(slot, y[t])
		}
		slices.Sort(slot)
		raw[i] = (slot[len(slot)/2] + slot[(len(slot)-1)/2]) / 2
	}
	half := min(profileWidth, season/48)
	out := make([]float64, season)
	for i := range out {
		for d := -half; d <= half; d++ {
			out[i] += raw[(i+d+season)%season] / float64(2*half+1)
		}
	}
	return out
}

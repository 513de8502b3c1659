package backtest

import "github.com/barrage-im/barrage/predictor/forecast"

type ensemble struct {
	f       *forecast.Forecaster
	started bool
	result  forecast.Forecast
}

// Ensemble is Barrage's own forecaster (package forecast), for a series with
// these seasons.
func Ensemble(horizon int, seasons []int) (Method, error) {
	f, err := forecast.New(forecast.Config{Horizon: horizon, Quantiles: Levels(), Seasons: seasons})
	if err != nil {
		return nil, err
	}
	return &ensemble{f: f}, nil
}

func (*ensemble) Name() string { return "barrage" }

func (m *ensemble) Observe(y []float64) {
	if !m.started {
		m.started = true
		m.f.Fit(y, nil)
		return
	}
	for _, v := range y {
		m.f.Update(v, nil)
	}
}

func (m *ensemble) Forecast(f *Forecast) error {
	if err := m.f.Forecast(&m.result); err != nil {
		return err
	}
	copy(f.Point, m.result.Point)
	for h := range f.Quantiles {
		copy(f.Quantiles[h], m.result.Quantiles[h])
	}
	return nil
}

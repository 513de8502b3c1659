package backtest

import "github.com/barrage-im/barrage/predictor/emdarima"

// EMDARIMA is the combination of empirical mode decomposition and ARIMA, fed
// with the past only (package emdarima).
func EMDARIMA(horizon int, seasons []int) (Method, error) {
	season := 0
	if len(seasons) > 0 {
		season = seasons[0]
	}
	f, err := emdarima.New(horizon, season, Levels())
	if err != nil {
		return nil, err
	}
	return emdARIMA{f}, nil
}

type emdARIMA struct{ f *emdarima.Forecaster }

func (emdARIMA) Name() string { return "emd-arima" }

func (m emdARIMA) Observe(y []float64) { m.f.Observe(y) }

func (m emdARIMA) Forecast(f *Forecast) error { return m.f.Forecast(f.Point, f.Quantiles) }

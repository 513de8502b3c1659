package cmd

import (
	"context"
	"time"

	"github.com/barrage-im/barrage/predictor/demand"
	"github.com/barrage-im/barrage/predictor/series"
)

// ask reads a range that ends now from a Prometheus.
func ask(ctx context.Context, o *sourceOptions) (series.Series, series.Repairs, error) {
	cfg := demand.Default()
	cfg.Prometheus, cfg.Query = o.Prometheus, o.Query
	source, err := demand.Open(cfg)
	if err != nil {
		return series.Series{}, series.Repairs{}, err
	}
	defer source.Close()
	end := time.Now().Truncate(o.Step)
	start := end.Add(-o.Range)
	points, err := source.History(ctx, start, end, o.Step)
	if err != nil {
		return series.Series{}, series.Repairs{}, err
	}
	first := points[0].At // what is before it was not kept
	for _, p := range points {
		if p.At.Before(first) {
			first = p.At
		}
	}
	values, repairs := series.Grid(points, first, o.Step, int(end.Sub(first)/o.Step)+1)
	return series.Series{Start: first, Step: o.Step, Values: values}, repairs, nil
}

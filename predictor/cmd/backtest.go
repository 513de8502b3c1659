package cmd

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/barrage-im/barrage/predictor/backtest"
	"github.com/barrage-im/barrage/predictor/plot"
	"github.com/barrage-im/barrage/predictor/series"
	"github.com/barrage-im/barrage/protocol/ops"
)

const (
	shownFans  = 6   // forecasts in a plot
	sparse     = 200 // origins, unless a stride is given
	testShare  = 4   // a quarter of the series is the test, unless given
	decomposed = 512 // samples before the last origin whose modes are in a plot
)

type backtestOptions struct {
	Source  sourceOptions `yaml:",inline"`
	Horizon int           `yaml:"horizon" help:"steps ahead"`
	Test    int           `yaml:"test" help:"score the last so many samples; 0: a quarter of them"`
	Stride  int           `yaml:"stride" help:"samples from one origin to the next; 0: about 200 origins"`
	Methods []string      `yaml:"methods" help:"some of the table's; none: all"`
	Plot    string        `yaml:"plot" help:"write a picture there: series, forecasts with quantiles, decomposition (.svg or .png)"`
	JSON    bool          `yaml:"json" help:"print JSON"`
}

// Validate refuses what cannot be run whatever the series.
func (o *backtestOptions) Validate() error {
	if o.Test < 0 || o.Stride < 0 {
		return fmt.Errorf("test %d, stride %d: use 0 or more", o.Test, o.Stride)
	}
	if o.Horizon < 1 || o.Horizon > backtest.MaxHorizon {
		return fmt.Errorf("horizon %d: use 1 to %d", o.Horizon, backtest.MaxHorizon)
	}
	return errors.Join(o.Source.Validate(), plot.CheckName(o.Plot))
}

func backtestTool(ctx context.Context, s streams, args []string) error {
	o := backtestOptions{Source: defaultSource(), Horizon: 15}
	files, err := ops.Flags("predictor backtest [flags] FILE.csv…", &o, args)
	if err != nil {
		return err
	}
	names, err := o.Source.names(files)
	if err != nil {
		return err
	}
	if len(names) > 1 && o.Plot != "" {
		return ops.Usagef("plot: give one file")
	}
	var reports []backtestReport
	for _, name := range names {
		r, err := o.judge(ctx, s, name)
		if err != nil {
			return err
		}
		reports = append(reports, r)
		if !o.JSON {
			if err := r.print(s.out); err != nil {
				return err
			}
		}
	}
	switch {
	case !o.JSON:
		return printMeans(s.out, reports)
	case len(reports) == 1:
		return printJSON(s.out, reports[0])
	}
	return printJSON(s.out, reports)
}

func (o *backtestOptions) judge(ctx context.Context, s streams, name string) (report backtestReport, err error) {
	y, err := o.Source.read(ctx, s, name)
	if err != nil {
		return report, err
	}
	t := backtest.Options{Horizon: o.Horizon, Test: o.Test, Stride: o.Stride, Clock: processorTime}
	if t.Test == 0 {
		t.Test = len(y.Values) / testShare
	}
	if t.Stride == 0 {
		t.Stride = max(1, t.Test/sparse)
	}
	t.Keep = shownFans * (1 + t.Horizon/t.Stride)
	if t.Seasons, err = o.Source.seasons(y.Step, len(y.Values)-t.Test); err != nil {
		return report, err
	}
	methods, err := o.methods(t)
	if err != nil {
		return report, err
	}
	r, err := backtest.Run(y.Values, t, methods)
	if err != nil {
		return report, fmt.Errorf("%s: %w", name, err)
	}
	if o.Plot != "" {
		if err := plotBacktest(o.Plot, name, y, r); err != nil {
			return report, err
		}
	}
	return newBacktestReport(name, y, r), nil
}

// methods are those asked for that the series is long enough for, in the table's
// order: ours, then from the simplest on.
func (o *backtestOptions) methods(t backtest.Options) (list []backtest.Method, err error) {
	own, err := backtest.Ensemble(t.Horizon, t.Seasons)
	if err != nil {
		return nil, err
	}
	modes, err := backtest.EMDARIMA(t.Horizon, t.Seasons)
	if err != nil {
		return nil, err
	}
	all := []backtest.Method{own, backtest.Naive(), backtest.Theta()}
	names := []string{"day", "week"}
	if len(t.Seasons) == 1 && o.Source.Season == "week" {
		names = names[1:]
	}
	for i, m := range t.Seasons {
		all = append(all, backtest.SeasonalNaive("naive "+names[i], m), backtest.SeasonallyAdjusted("arima+"+names[i], m))
	}
	all = append(all, backtest.ARIMA(), modes)
	if len(o.Methods) == 0 {
		return all, nil
	}
	var known []string
	byName := map[string]backtest.Method{}
	for _, m := range all {
		known = append(known, m.Name())
		byName[m.Name()] = m
	}
	for _, name := range o.Methods {
		m, ok := byName[name]
		if !ok {
			return nil, ops.Usagef("method %.40q: for this series there are %s", name, strings.Join(known, ", "))
		}
		list = append(list, m)
	}
	return list, nil
}

// plotBacktest draws the last forecasts of the first method.
func plotBacktest(file, name string, y series.Series, r *backtest.Report) error {
	row := r.Rows[0]
	var fans []plot.Fan
	for i := len(row.Forecasts) - 1; i >= 0 && len(fans) < shownFans; i-- {
		f := row.Forecasts[i]
		if len(fans) == 0 || f.Origin+r.Options.Horizon < fans[0].Start { // they do not overlap
			fans = slices.Insert(fans, 0, plot.Fan{Start: f.Origin, Point: f.Point, Quantiles: f.Quantiles})
		}
	}
	end := fans[len(fans)-1].Start + r.Options.Horizon
	from := max(0, fans[0].Start-(end-fans[0].Start)/2)
	return plot.Forecasts(file, plot.ForecastData{
		Title: fmt.Sprintf("%s: %s, %d steps of %s ahead", base(name), row.Method, r.Options.Horizon, short(y.Step)),
		Start: y.Start, Step: y.Step, Values: y.Values, From: from,
		Levels: backtest.Levels(), Fans: fans,
		Window: min(decomposed, fans[len(fans)-1].Start),
	})
}

// base is a file's name without folders, or a query as it is.
func base(name string) string {
	if strings.HasSuffix(name, ".csv") {
		return filepath.Base(name)
	}
	return name
}

// short is a duration without the units that are 0.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// backtestReport is what --json prints.
type backtestReport struct {
	Series  string          `json:"series"`
	Start   time.Time       `json:"start"`
	Step    string          `json:"step"`
	Samples int             `json:"samples"`
	Missing int             `json:"missing"`
	Test    int             `json:"test"`
	Origins int             `json:"origins"`
	Horizon int             `json:"horizon"`
	Seasons []int           `json:"seasons"`
	Rows    []backtestEntry `json:"methods"`
}

type backtestEntry struct {
	Method string `json:"method"`
	backtest.Scores

	Microseconds float64 `json:"cpu_us_per_forecast"`
}

func newBacktestReport(name string, y series.Series, r *backtest.Report) backtestReport {
	out := backtestReport{
		Series: name, Start: y.Start, Step: y.Step.String(), Samples: r.Samples, Missing: r.Missing, Test: r.Options.Test, Origins: r.Origins,
		Horizon: r.Options.Horizon, Seasons: r.Options.Seasons,
	}
	for _, row := range r.Rows {
		out.Rows = append(out.Rows, backtestEntry{row.Method, row.Scores, row.Seconds * 1e6})
	}
	return out
}

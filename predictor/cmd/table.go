package cmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/barrage-im/barrage/predictor/backtest"
	"github.com/barrage-im/barrage/predictor/series"
	"github.com/barrage-im/barrage/protocol/ops"
)

func asHelp(err error) (*ops.HelpRequested, bool) {
	var help *ops.HelpRequested
	return help, errors.As(err, &help)
}

func printJSON(w io.Writer, v any) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(v)
}

func printBacktest(w io.Writer, name string, y series.Series, r *backtest.Report) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintf(w, "%s: %d samples of %s from %s, %d of them missing\n", name, r.Samples, short(y.Step), y.Start.Format("2006-01-02 15:04"), r.Missing)
	_, _ = fmt.Fprintf(w, "the last %d are the test: %d origins, each %d steps ahead; seasons of %s steps\n\n", r.Options.Test, r.Origins, r.Options.Horizon, list(r.Options.Seasons))
	_, _ = fmt.Fprintln(out, "method\tMASE\tsMAPE\tpinball\tpinball95\tin 80 %\tin 95 %\tCPU\t")
	for _, row := range r.Rows {
		_, _ = fmt.Fprintf(out, "%s\t%.3f\t%.2f\t%.4f\t%.4f\t%.3f\t%.3f\t%s\t\n", row.Method, row.MASE, row.SMAPE, row.SPL, row.SPL95, row.Cov80, row.Cov95, cost(row.Seconds))
	}
	if err := out.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nMASE and pinball are in units of %.4g, the mean difference of samples one season apart before the test. CPU is a\nforecast's, with all samples since the one before.\n", r.Rows[0].Scale)
	return err
}

func cost(seconds float64) string {
	switch {
	case seconds < 1e-3:
		return fmt.Sprintf("%.0f µs", seconds*1e6)
	case seconds < 1:
		return fmt.Sprintf("%.1f ms", seconds*1e3)
	}
	return fmt.Sprintf("%.2f s", seconds)
}

func list(n []int) string {
	if len(n) == 0 {
		return "no"
	}
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(n), " ", " and "), "[]")
}

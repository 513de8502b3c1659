package cmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

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

func (r backtestReport) print(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintf(w, "%s: %d samples of %s from %s, %d of them missing\n", base(r.Series), r.Samples, r.Step, r.Start.Format("2006-01-02 15:04"), r.Missing)
	_, _ = fmt.Fprintf(w, "the last %d are the test: %d origins, each %d steps ahead; seasons of %s steps\n\n", r.Test, r.Origins, r.Horizon, list(r.Seasons))
	_, _ = fmt.Fprintln(out, "method\tMASE\tsMAPE\tpinball\tpinball95\tin 80 %\tin 95 %\tCPU\t")
	for _, row := range r.Rows {
		_, _ = fmt.Fprintf(out, "%s\t%.3f\t%.2f\t%.4f\t%.4f\t%.3f\t%.3f\t%s\t\n", row.Method, row.MASE, row.SMAPE, row.SPL, row.SPL95, row.Cov80, row.Cov95, cost(row.Microseconds/1e6))
	}
	if err := out.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nMASE and pinball are in units of %.4g, the mean difference of samples one season apart before the test. CPU is a\nforecast's, with all samples since the one before.\n\n", r.Rows[0].Scale)
	return err
}

// meansBase is the method that means over several series are relative to.
const meansBase = "auto.arima"

// printMeans prints geometric means of errors relative to those of meansBase,
// for the methods that every series has.
func printMeans(w io.Writer, reports []backtestReport) error {
	if len(reports) < 2 {
		return nil
	}
	type mean struct{ mae, spl, cov80, cov95, n float64 }
	sums := map[string]*mean{}
	var order []string
	for _, r := range reports {
		at := slices.IndexFunc(r.Rows, func(e backtestEntry) bool { return e.Method == meansBase })
		if at < 0 {
			return nil
		}
		for _, row := range r.Rows {
			m := sums[row.Method]
			if m == nil {
				m = &mean{}
				sums[row.Method] = m
				order = append(order, row.Method)
			}
			m.mae += math.Log(row.MAE / r.Rows[at].MAE)
			m.spl += math.Log(row.SPL / r.Rows[at].SPL)
			m.cov80 += row.Cov80
			m.cov95 += row.Cov95
			m.n++
		}
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintf(w, "%d series, geometric means relative to %s:\n\n", len(reports), meansBase)
	_, _ = fmt.Fprintln(out, "method\tMAE\tpinball\tin 80 %\tin 95 %\t")
	for _, name := range order {
		m := sums[name]
		if int(m.n) == len(reports) {
			_, _ = fmt.Fprintf(out, "%s\t%.3f\t%.3f\t%.3f\t%.3f\t\n", name, math.Exp(m.mae/m.n), math.Exp(m.spl/m.n), m.cov80/m.n, m.cov95/m.n)
		}
	}
	return out.Flush()
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

// Package cmd is the tools of "barrage predictor": they judge forecasts and
// autoscaling on what has happened already.
package cmd

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/barrage-im/barrage/protocol/ops"
)

// streams are what a tool reads and writes. What it was asked for goes to out,
// remarks go to err.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

type tool struct {
	name, summary, example string
	run                    func(ctx context.Context, s streams, args []string) error
}

var tools = []tool{
	{"backtest", "judge forecasts on a series that has happened", "backtest load.csv --plot backtest.svg", backtestTool},
	{"simulate", "judge autoscaling on a series that has happened", "simulate load.csv --plot simulate.svg", simulateTool},
	{"serve-lines", "forecast and scale for a program, over JSON lines", "serve-lines", linesTool},
}

// Run runs the tool that args begin with; anything else is the service's.
func Run(service func(ctx context.Context, args []string, stdout, stderr io.Writer) error) func(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	return func(ctx context.Context, args []string, stdout, stderr io.Writer) error {
		if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
			var names []string
			for _, t := range tools {
				if t.name == args[0] {
					return t.run(ctx, streams{os.Stdin, stdout, stderr}, args[1:])
				}
				names = append(names, t.name)
			}
			return ops.Usagef("predictor %.40s: use one of %s, or flags for the service alone", args[0], strings.Join(names, ", "))
		}
		err := service(ctx, args, stdout, stderr)
		if help, ok := asHelp(err); ok {
			help.Text += usage()
		}
		return err
	}
}

func usage() string {
	var b strings.Builder
	b.WriteString("\nTools:\n")
	for _, t := range tools {
		fmt.Fprintf(&b, "  %-12s %s:\n               barrage predictor %s\n", t.name, t.summary, t.example)
	}
	return b.String()
}

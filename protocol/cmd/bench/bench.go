// Package bench is the command "barrage bench": it loads a running service
// from outside, measures it, and accounts for every message. A run whose
// account does not close is an error, whatever its speed.
package bench

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/barrage-im/barrage/protocol/ops"
)

// ErrAccount: a message was lost, duplicated, reordered or never answered.
var ErrAccount = errors.New("the account does not close")

const usage = `Usage: barrage bench MODE [flags]

Modes
  fanout   members listen, publishers send at a steady rate
  publish  publishers keep a number of messages outstanding: durable throughput
  idle     members connect, join and wait: memory per connection
  storm    members are cut all at once and resume while messages flow

Flags
`

// modes are what can be measured.
var modes = map[string]func(*run, context.Context) error{
	"fanout":  (*run).fanout,
	"publish": (*run).publish,
	"idle":    (*run).idle,
	"storm":   (*run).storm,
}

// Run runs one benchmark. Progress and a summary for people go to stderr, the
// report as JSON to stdout or to the file named by --json.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	opt, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return &ops.UsageError{Err: err}
	}
	r, err := newRun(opt, stderr)
	if err != nil {
		return err
	}
	defer r.close()
	if err := modes[opt.mode](r, ctx); err != nil {
		return fmt.Errorf("bench %s: %w", opt.mode, err)
	}
	report := r.report()
	report.print(stderr)
	if err := writeJSON(report, opt.json, stdout); err != nil {
		return err
	}
	if len(report.Problems) > 0 {
		return fmt.Errorf("%w: %s", ErrAccount, strings.Join(report.Problems, "; "))
	}
	return nil
}

func writeJSON(report Report, file string, stdout io.Writer) error {
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	text = append(text, '\n')
	if file == "" || file == "-" {
		_, err = stdout.Write(text)
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

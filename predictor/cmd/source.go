package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/barrage-im/barrage/predictor/series"
	"github.com/barrage-im/barrage/protocol/ops"
)

const day, week = 24 * time.Hour, 7 * 24 * time.Hour

// sourceOptions say which series a tool works on.
type sourceOptions struct {
	Prometheus string        `yaml:"prometheus" help:"address of a Prometheus to ask instead of reading a file"`
	Query      string        `yaml:"query" help:"with --prometheus: an expression that gives one series, such as sum(barrage_edge_connections)"`
	Range      time.Duration `yaml:"range" help:"with --prometheus: how far back from now"`
	Step       time.Duration `yaml:"step" help:"with --prometheus: from one sample to the next"`
	Season     string        `yaml:"season" help:"day, week, both or none; auto: what the series is long enough for"`
}

func defaultSource() sourceOptions {
	return sourceOptions{Range: 28 * day, Step: time.Minute, Season: "auto"}
}

// Validate refuses what says nothing or two things.
func (o *sourceOptions) Validate() error {
	switch o.Season {
	case "auto", "day", "week", "both", "none":
	default:
		return fmt.Errorf("season %.40q: use auto, day, week, both or none", o.Season)
	}
	switch {
	case o.Prometheus == "" && o.Query != "":
		return errors.New("query without prometheus: give the address of one, such as http://prometheus:9090")
	case o.Prometheus != "" && o.Query == "":
		return errors.New("prometheus without query: give an expression, such as sum(barrage_edge_connections)")
	case o.Prometheus != "" && (o.Step < time.Second || o.Range < o.Step):
		return fmt.Errorf("range %v and step %v: use a step of a second or more, and a range above it", o.Range, o.Step)
	}
	return nil
}

// names are the files to read, or the query.
func (o *sourceOptions) names(files []string) ([]string, error) {
	switch {
	case o.Prometheus != "" && len(files) > 0:
		return nil, ops.Usagef("give files or --prometheus, not both")
	case o.Prometheus != "":
		return []string{o.Query}, nil
	case len(files) == 0:
		return nil, ops.Usagef("give one file or more of \"timestamp,value\" lines, - for standard input, or --prometheus and --query")
	}
	return files, nil
}

// read reads one of names; repairs are told on s.err.
func (o *sourceOptions) read(ctx context.Context, s streams, name string) (y series.Series, err error) {
	var repairs series.Repairs
	if o.Prometheus != "" {
		y, repairs, err = ask(ctx, o)
	} else {
		y, repairs, err = readFile(s, name)
	}
	if err != nil {
		return y, fmt.Errorf("%s: %w", name, err)
	}
	if repairs.Any() {
		_, _ = fmt.Fprintf(s.err, "%s: repaired: %s\n", name, repairs)
	}
	return y, nil
}

func readFile(s streams, name string) (series.Series, series.Repairs, error) {
	if name == "-" {
		return series.ReadCSV(s.in)
	}
	f, err := os.Open(name)
	if err != nil {
		return series.Series{}, series.Repairs{}, errors.Unwrap(err)
	}
	defer f.Close()
	return series.ReadCSV(f)
}

// seasons are a day and a week in steps, as asked for; known is how many samples
// there are before anything is judged.
func (o *sourceOptions) seasons(step time.Duration, known int) (list []int, err error) {
	for _, p := range []struct {
		name   string
		length time.Duration
	}{{"day", day}, {"week", week}} {
		if o.Season == "none" || o.Season != "auto" && o.Season != "both" && o.Season != p.name {
			continue
		}
		n := int(p.length / step)
		switch fits := p.length%step == 0 && n >= 2; {
		case !fits && o.Season == "auto":
		case !fits:
			return nil, ops.Usagef("season %s: it is not a number of steps of %v: use --season none", p.name, step)
		case 2*n > known && o.Season == "auto":
		case 2*n > known:
			return nil, ops.Usagef("season %s: two of them are %d samples, and %d are known before the test: use --season none or a shorter --test", p.name, 2*n, known)
		default:
			list = append(list, n)
		}
	}
	return list, nil
}

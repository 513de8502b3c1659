package cmd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/barrage-im/barrage/predictor/forecast"
	"github.com/barrage-im/barrage/protocol/ops"
)

// maxLine bounds a line, in bytes: a history of 28 days of minutes, four times.
const maxLine = 4 << 20

// A lineOpening is the first line of a forecast or a replay: of Series the
// forecaster is asked, of Trace the capacity policy.
type lineOpening struct {
	Series    *string   `json:"series"`
	Step      int       `json:"step_s"`
	Seasons   []int     `json:"seasons"`
	Horizon   int       `json:"h"`
	Quantiles []float64 `json:"quantiles"`

	Trace    *string   `json:"trace"`
	Tick     int       `json:"tick_s"`
	Capacity float64   `json:"capacity"`
	Startup  int       `json:"startup_s"`
	Drain    int       `json:"drain_s"`
	Min      int       `json:"min"`
	Periods  []int     `json:"season_steps"`
	History  []float64 `json:"history"`
}

// A line that follows.
type lineQuestion struct {
	Origin *int       `json:"origin"`
	Y      []*float64 `json:"y"` // null is missing

	T        *int       `json:"t"`
	Metric   *float64   `json:"metric"`
	Steps    []*float64 `json:"step_values"`
	Replicas int        `json:"replicas"`
	Ready    int        `json:"ready"`
}

// linesTool answers one line of JSON with one, until the input ends. A line
// that cannot be used is answered {"error": …} and changes nothing.
func linesTool(ctx context.Context, s streams, args []string) error {
	rest, err := ops.Flags("predictor serve-lines   (reads JSON lines, answers each with one; docs/predictor.md has them)", &struct{}{}, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return ops.Usagef("predictor serve-lines takes no arguments")
	}
	in := bufio.NewScanner(s.in)
	in.Buffer(make([]byte, 64<<10), maxLine)
	out := bufio.NewWriter(s.out)
	var l lines
	for in.Scan() && ctx.Err() == nil {
		if len(bytes.TrimSpace(in.Bytes())) == 0 {
			continue
		}
		answer, err := l.answer(in.Bytes())
		if err != nil {
			answer = map[string]string{"error": err.Error()}
		}
		b, err := json.Marshal(answer)
		if err != nil {
			return err
		}
		if _, err := out.Write(append(b, '\n')); err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	if errors.Is(in.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("a line is longer than %d bytes", maxLine)
	}
	return errors.Join(in.Err(), ctx.Err())
}

// lines is the conversation so far.
type lines struct {
	forecaster *forecast.Forecaster
	samples    int
	result     forecast.Forecast
	policy     *linePolicy
}

var errOpening = errors.New(`the first line is {"series": …, "step_s": 60, "seasons": [1440, 10080], "h": 15, "quantiles": […]} or {"trace": …, "capacity": …, "startup_s": 90, …}`)

func (l *lines) answer(line []byte) (any, error) {
	var opening lineOpening
	if err := decode(line, &opening); err == nil && (opening.Series != nil || opening.Trace != nil) {
		return map[string]bool{"ok": true}, l.open(opening)
	} else if err != nil {
		return nil, err
	}
	var q lineQuestion
	if err := decode(line, &q); err != nil {
		return nil, err
	}
	switch {
	case q.Origin != nil && l.forecaster != nil:
		return l.forecast(q)
	case q.T != nil && l.policy != nil:
		return l.policy.answer(q)
	}
	return nil, errOpening
}

func decode(line []byte, into any) error {
	if err := json.Unmarshal(line, into); err != nil {
		return fmt.Errorf("not a line of JSON that is known here: %w", err)
	}
	return nil
}

func (l *lines) open(o lineOpening) (err error) {
	if o.Trace != nil {
		l.forecaster = nil
		l.policy, err = newLinePolicy(o)
		return err
	}
	f, err := forecast.New(forecast.Config{Horizon: o.Horizon, Quantiles: o.Quantiles, Seasons: o.Seasons})
	if err != nil {
		return err
	}
	l.forecaster, l.samples, l.policy = f, 0, nil
	return nil
}

func (l *lines) forecast(q lineQuestion) (any, error) {
	if *q.Origin != l.samples+len(q.Y) {
		return nil, fmt.Errorf("origin %d: %d samples were sent before and %d now", *q.Origin, l.samples, len(q.Y))
	}
	y := values(q.Y)
	if l.samples == 0 {
		l.forecaster.Fit(y, nil)
	} else {
		for _, v := range y {
			l.forecaster.Update(v, nil)
		}
	}
	l.samples += len(y)
	if err := l.forecaster.Forecast(&l.result); err != nil {
		return nil, err
	}
	return struct {
		Mean []float64   `json:"mean"`
		Q    [][]float64 `json:"q"`
	}{l.result.Point, l.result.Quantiles}, nil
}

func values(list []*float64) []float64 {
	out := make([]float64, len(list))
	for i, v := range list {
		if out[i] = math.NaN(); v != nil {
			out[i] = *v
		}
	}
	return out
}

package demand

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/barrage-im/barrage/predictor/series"
)

// maxPoints is what Prometheus gives at most for one range query.
const maxPoints = 11_000

// prometheus asks a Prometheus, or whatever speaks its HTTP API.
type prometheus struct {
	cfg  Config
	door *door
	api  v1.API
}

func newPrometheus(cfg Config) (*prometheus, error) {
	door, err := newDoor(cfg)
	if err != nil {
		return nil, err
	}
	client, err := api.NewClient(api.Config{Address: cfg.Prometheus, Client: door.client()})
	if err != nil {
		return nil, fmt.Errorf("prometheus: %w", err)
	}
	return &prometheus{cfg, door, v1.NewAPI(client)}, nil
}

func (p *prometheus) String() string { return p.cfg.Prometheus + " " + p.cfg.Query }

func (p *prometheus) Close() { p.door.inner.CloseIdleConnections() }

// Now evaluates the query at a time.
func (p *prometheus) Now(ctx context.Context, at time.Time) (float64, error) {
	if p.cfg.Complete != "" {
		whole, err := p.instant(ctx, p.cfg.Complete, at)
		if err != nil {
			return 0, err
		}
		if whole < 1 {
			return 0, errorf(Partial, "not every edge is scraped: demand.complete gives %v; look at the targets page of Prometheus", whole)
		}
	}
	return p.instant(ctx, p.cfg.Query, at)
}

func (p *prometheus) instant(ctx context.Context, query string, at time.Time) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	value, warnings, _, err := p.api.Query(ctx, query, at)
	if err == nil {
		err = partial(warnings)
	}
	if err != nil {
		return 0, p.explain(ctx, err)
	}
	switch v := value.(type) {
	case *model.Scalar:
		return load(float64(v.Value))
	case model.Vector:
		if len(v) > 1 {
			return 0, several(query, len(v))
		}
		switch {
		case len(v) == 0:
			return 0, p.nothing(query)
		case v[0] == nil: // null in place of a series
			return 0, errorf(Garbage, "%s gives a series that is none: is %s a Prometheus?", query, p.cfg.Prometheus)
		case v[0].Histogram != nil:
			return 0, errorf(Garbage, "%s gives a histogram; want one number, such as sum(…)", query)
		}
		return load(float64(v[0].Value))
	case nil:
		return 0, p.nothing(query)
	}
	return 0, errorf(Garbage, "%s gives a %s; want one number, such as sum(…)", query, value.Type())
}

// History evaluates the query over a range, in as many requests as are needed.
func (p *prometheus) History(ctx context.Context, start, end time.Time, step time.Duration) ([]series.Point, error) {
	points, err := p.whole(ctx, p.cfg.Query, start, end, step)
	if err != nil {
		return nil, err
	}
	if len(points) == 0 {
		return nil, p.nothing(p.cfg.Query)
	}
	if p.cfg.Complete == "" {
		return points, nil
	}
	complete, err := p.whole(ctx, p.cfg.Complete, start, end, step)
	if err != nil {
		return nil, err
	}
	all := map[int64]bool{}
	for _, c := range complete {
		all[c.At.UnixMilli()] = c.Value >= 1
	}
	kept := points[:0]
	for _, q := range points {
		if all[q.At.UnixMilli()] {
			kept = append(kept, q)
		}
	}
	if len(kept) == 0 {
		return nil, errorf(Partial, "demand.complete is below 1 in all of the history: does it give 1 while every edge is scraped?")
	}
	return kept, nil
}

func (p *prometheus) whole(ctx context.Context, query string, start, end time.Time, step time.Duration) (points []series.Point, err error) {
	for !start.After(end) {
		last := start.Add((maxPoints - 1) * step)
		if last.After(end) {
			last = end
		}
		if points, err = p.part(ctx, points, query, v1.Range{Start: start, End: last, Step: step}); err != nil {
			return nil, err
		}
		start = start.Add(maxPoints * step)
	}
	return points, nil
}

func (p *prometheus) part(ctx context.Context, points []series.Point, query string, r v1.Range) ([]series.Point, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	value, warnings, _, err := p.api.QueryRange(ctx, query, r)
	if err == nil {
		err = partial(warnings)
	}
	if err != nil {
		return nil, p.explain(ctx, err)
	}
	matrix, ok := value.(model.Matrix)
	switch {
	case value == nil:
		return points, nil
	case !ok:
		return nil, errorf(Garbage, "%s gives a %s over a range; want a matrix", query, value.Type())
	case len(matrix) > 1:
		return nil, several(query, len(matrix))
	case len(matrix) == 0:
		return points, nil
	case matrix[0] == nil: // null in place of a series
		return nil, errorf(Garbage, "%s gives a series that is none: is %s a Prometheus?", query, p.cfg.Prometheus)
	case len(matrix[0].Values) > maxPoints:
		return nil, errorf(Garbage, "%s gives %d samples where %d were asked for", query, len(matrix[0].Values), maxPoints)
	}
	for _, v := range matrix[0].Values {
		points = append(points, series.Point{At: v.Timestamp.Time(), Value: float64(v.Value)}) // the grid leaves out what is no load
	}
	return points, nil
}

func load(v float64) (float64, error) {
	if !(v >= 0 && v <= series.MaxLoad) { // NaN too
		return 0, errorf(Garbage, "the query gives %v, which is no load: want a number from 0 to %g", v, series.MaxLoad)
	}
	return v, nil
}

func several(query string, n int) error {
	return errorf(Several, "%s gives %d series: aggregate them to one, such as sum(%s)", query, n, query)
}

func (p *prometheus) nothing(query string) error {
	return errorf(Empty, "%s gives nothing: are the edges scraped by %s, and is the name right?", query, p.cfg.Prometheus)
}

// partial makes a warning an error: an answer of some of the stores is a part of
// the load. What PromQL remarks about names is none.
func partial(warnings v1.Warnings) error {
	for _, w := range warnings {
		if !strings.HasPrefix(w, "PromQL info:") {
			return errorf(Partial, "the answer may be a part only: %s", short(w))
		}
	}
	return nil
}

// explain gives an error its kind, and says what to look at.
func (p *prometheus) explain(ctx context.Context, err error) error {
	what := "Prometheus at " + p.cfg.Prometheus
	var told *v1.Error
	if !errors.As(err, &told) {
		if strings.Contains(err.Error(), "JSON") || strings.Contains(err.Error(), "json") || strings.Contains(err.Error(), "unmarshal") {
			return errorf(Garbage, "%s answers what is no JSON of its API: is it one? %s", what, short(err.Error()))
		}
		return because(ctx, err, what)
	}
	switch told.Type {
	case v1.ErrBadResponse:
		return errorf(Garbage, "%s answers what is not of its API: is it one? %s", what, short(told.Msg))
	case v1.ErrTimeout, v1.ErrCanceled:
		return errorf(Slow, "%s gave the query up: %s", what, short(told.Msg))
	case v1.ErrBadData, v1.ErrExec:
		return errorf(Refused, "%s refuses the query: %s %s", what, short(told.Msg), short(told.Detail))
	case v1.ErrClient:
		return errorf(Refused, "%s refuses the request (%s): is token_file right?", what, short(told.Msg))
	case v1.ErrServer:
		kind := Refused
		if strings.Contains(told.Detail, `"errorType":"timeout"`) || strings.Contains(told.Detail, `"errorType":"canceled"`) {
			kind = Slow
		}
		return errorf(kind, "%s has an error of its own: %s %s", what, short(told.Msg), short(told.Detail))
	}
	return errorf(Refused, "%s: %s", what, short(told.Msg))
}

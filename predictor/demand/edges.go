package demand

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"

	"github.com/barrage-im/barrage/predictor/series"
)

// atOnce is how many edges are asked at a time.
const atOnce = 64

// edges asks every edge for its connections.
type edges struct {
	cfg    Config
	door   *door
	client *http.Client
	lookup func(ctx context.Context, host string) ([]string, error)
}

func newEdges(cfg Config) (*edges, error) {
	door, err := newDoor(cfg)
	if err != nil {
		return nil, err
	}
	return &edges{cfg, door, door.client(), net.DefaultResolver.LookupHost}, nil
}

// String does not list the edges: with one more of them demand is still the same.
func (e *edges) String() string {
	if e.cfg.DNS != "" {
		return "edges of " + e.cfg.DNS
	}
	return "edges"
}

func (e *edges) Close() { e.door.inner.CloseIdleConnections() }

// History is ErrNoHistory.
func (e *edges) History(context.Context, time.Time, time.Time, time.Duration) ([]series.Point, error) {
	return nil, &Error{Empty, ErrNoHistory}
}

// Now is the sum over all edges, or an error when one of them does not answer.
func (e *edges) Now(ctx context.Context, _ time.Time) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Timeout)
	defer cancel()
	pages, err := e.pages(ctx)
	if err != nil {
		return 0, err
	}
	counts := make([]float64, len(pages))
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, page := range pages {
		group.Go(func() error {
			n, err := e.scrape(inner, page)
			counts[i] = n
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return 0, &Error{KindOf(err), fmt.Errorf("no sample: one of %d edges is missing: %w", len(pages), err)}
	}
	sum := 0.0
	for _, n := range counts {
		sum += n
	}
	return load(sum)
}

// pages are the metrics pages of all edges.
func (e *edges) pages(ctx context.Context) ([]string, error) {
	if e.cfg.DNS == "" {
		return e.cfg.Edges, nil
	}
	host, port, _ := net.SplitHostPort(e.cfg.DNS) // Validate has looked
	addresses, err := e.lookup(ctx, host)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, errorf(Slow, "the name server does not answer for %s in time: %w", host, err)
	case err != nil:
		return nil, errorf(Unreachable, "look up the edges: is %s the name of a headless Service? %w", host, err)
	case len(addresses) == 0:
		return nil, errorf(Empty, "%s has no address: does an edge run?", host)
	case len(addresses) > maxEdges:
		return nil, errorf(TooLarge, "%s has %d addresses; at most %d are asked", host, len(addresses), maxEdges)
	}
	pages := make([]string, 0, len(addresses))
	for _, a := range addresses {
		pages = append(pages, "http://"+net.JoinHostPort(a, port)+"/metrics")
	}
	return pages, nil
}

// scrape reads the connections of one edge.
func (e *edges) scrape(ctx context.Context, page string) (float64, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return 0, errorf(Garbage, "%s: %w", page, err)
	}
	r.Header.Set("Accept", "text/plain;version=0.0.4")
	answer, err := e.client.Do(r)
	if err != nil {
		return 0, because(ctx, err, "edge "+page)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return 0, errorf(Refused, "edge %s answers %s: is that the page of its metrics?", page, answer.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		if KindOf(err) == TooLarge || ctx.Err() != nil {
			return 0, because(ctx, err, "edge "+page)
		}
		return 0, errorf(Garbage, "edge %s answers what is no metrics page: %s", page, short(err.Error()))
	}
	family := families[Metric]
	if family == nil || len(family.GetMetric()) == 0 {
		return 0, errorf(Empty, "edge %s has no %s: is that the ops listener of an edge?", page, Metric)
	}
	sum := 0.0
	for _, m := range family.GetMetric() {
		n, err := load(value(m)) // each: a sum may hide what is none
		if err != nil {
			return 0, &Error{Garbage, fmt.Errorf("edge %s: %w", page, err)}
		}
		sum += n
	}
	return sum, nil
}

func value(m *dto.Metric) float64 {
	switch {
	case m.GetGauge() != nil:
		return m.GetGauge().GetValue()
	case m.GetUntyped() != nil:
		return m.GetUntyped().GetValue()
	}
	return -1 // no load
}

package rollout

import (
	"math"
	"strings"
	"testing"
	"time"
)

// sample has published messages, of which so many took long.
func sample(published, slow, refused, ended float64) Sample {
	return Sample{
		Published: published, Connected: 1000, Refused: map[string]float64{"timeout": refused, "forbidden": 1e6}, Closed: map[string]float64{"heartbeat_timeout": ended, "client": 1e6},
		Latency: []Bucket{{.01, published - slow}, {.1, published - slow}, {1, published}, {math.Inf(1), published}},
	}
}

func TestJudge(t *testing.T) {
	bounds := Bounds{Errors: 0.5, Latency: 500 * time.Millisecond, Reconnects: 1}
	old := map[string]Sample{"a": sample(1e6, 5e5, 5e5, 5e5)}
	plus := func(published, slow, refused, ended float64) map[string]Sample {
		return map[string]Sample{"a": sample(1e6+published, 5e5+slow, 5e5+refused, 5e5+ended)}
	}
	for name, c := range map[string]struct {
		bounds Bounds
		before map[string]Sample
		after  map[string]Sample
		known  bool
		broken string
	}{
		"well":                           {bounds, old, plus(10_000, 50, 20, 5), true, ""},
		"errors":                         {bounds, old, plus(10_000, 0, 60, 0), true, "0.60 % of 10060 publishes are refused, 0.5 % at most"},
		"all refused":                    {bounds, old, plus(0, 0, 100, 0), true, "100.00 %"},
		"slow":                           {bounds, old, plus(10_000, 300, 0, 0), true, "99th percentile of acknowledgements"},
		"reconnects":                     {bounds, old, plus(10_000, 0, 0, 21), true, "1.05 % of 1000 connections end a minute"},
		"nobody published":               {bounds, old, plus(10, 0, 0, 0), false, ""},
		"nobody was asked":               {bounds, old, nil, false, ""},
		"nothing is bounded":             {Bounds{}, nil, nil, true, ""},
		"a new edge counts from zero":    {bounds, old, map[string]Sample{"b": sample(10_000, 0, 60, 0)}, true, "0.60 %"},
		"an edge that started again":     {bounds, old, map[string]Sample{"a": sample(10_000, 0, 60, 0)}, true, "0.60 %"},
		"only reconnects are bounded":    {Bounds{Reconnects: 1}, old, plus(0, 0, 0, 1), true, ""},
		"an edge that is gone is not":    {bounds, map[string]Sample{"x": sample(5, 0, 9e9, 9e9)}, map[string]Sample{"b": sample(10_000, 0, 0, 0)}, true, ""},
		"what clients do wrong is not":   {Bounds{Errors: 0.001}, nil, map[string]Sample{"b": sample(10_000, 0, 0, 0)}, true, ""},
		"buckets of another version":     {bounds, nil, map[string]Sample{"a": sample(10_000, 0, 0, 0), "b": {Published: 1, Latency: []Bucket{{math.Inf(1), 1}}}}, true, ""},
		"slower than the last bucket":    {Bounds{Latency: time.Second}, nil, map[string]Sample{"a": {Published: 100, Latency: []Bucket{{1, 0}, {math.Inf(1), 100}}}}, true, "beyond the last bucket"},
		"exactly at the bound is within": {Bounds{Errors: 1}, nil, map[string]Sample{"a": sample(990, 0, 10, 0)}, true, ""},
	} {
		g := Judge(c.bounds, c.before, c.after, 2*time.Minute)
		text := strings.Join(g.Broken, "; ")
		if g.Known != c.known || (text == "") != (c.broken == "") || !strings.Contains(text, c.broken) {
			t.Errorf("%s: %+v, want known %v and %q", name, g, c.known, c.broken)
		}
	}
}

func TestQuantile(t *testing.T) {
	b := []Bucket{{1, 50}, {2, 100}, {math.Inf(1), 100}}
	for q, want := range map[float64]float64{0.25: 0.5, 0.5: 1, 0.75: 1.5, 1: 2} {
		if got := quantile(b, q); math.Abs(got-want) > 1e-12 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if got := quantile(nil, 0.99); got != 0 {
		t.Error(got)
	}
}

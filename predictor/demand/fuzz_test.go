package demand

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/barrage-im/barrage/predictor/series"
)

// A canned server answers every request with the same bytes, without a network. It
// stands behind the door, with its limits.
type canned struct {
	code int
	body []byte
}

func (c *canned) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		Status: http.StatusText(c.code), StatusCode: c.code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(c.body)), Request: r,
	}, nil
}

// cannedURL has a scheme that only a canned server serves.
const cannedURL = "canned://load.example"

func cannedPrometheus(f *testing.F, cfg Config) (*prometheus, *canned) {
	f.Helper()
	cfg.Prometheus, cfg.Query, cfg.Timeout = cannedURL, "q", time.Minute
	p, err := newPrometheus(cfg)
	if err != nil {
		f.Fatal(err)
	}
	c := &canned{}
	p.door.inner.RegisterProtocol("canned", c)
	return p, c
}

// status makes a number one of an answer that ends a request.
func status(n uint16) int { return 200 + int(n%400) }

// explained holds an error to what a log and a metric need: one of the kinds, and
// a text that is short however long the answer is.
func explained(t *testing.T, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || !slices.Contains(Kinds, e.Kind) {
		t.Fatalf("%v is no error of a known kind", err)
	}
	if n := len(err.Error()); n == 0 || n > 4*maxError {
		t.Fatalf("an error of %d bytes: %.200s", n, err)
	}
	if e.Kind == Unreachable {
		t.Fatalf("there was an answer, at once: %v", err)
	}
}

// sample holds one to being a load, or none together with an error.
func sample(t *testing.T, v float64, err error) {
	t.Helper()
	if err != nil {
		explained(t, err)
		if v != 0 {
			t.Fatalf("%v beside an error", v)
		}
		return
	}
	if !(v >= 0 && v <= series.MaxLoad) {
		t.Fatalf("%v was taken for a load", v)
	}
}

// FuzzInstant reads an answer for one time: a load or an explained error, and never
// anything else.
func FuzzInstant(f *testing.F) {
	for _, body := range []string{one, scalar, two, none, nan, minus, text, warned, remark, refused, gaveUp, "", "<html>", one[:60], "null", "[]", `{"status":"success"}`, `{"status":"success","data":null}`} {
		f.Add(uint16(0), []byte(body))
		f.Add(uint16(300), []byte(body))
	}
	for _, v := range []string{"+Inf", "-Inf", "1e16", "-0", "0x1p-2", "1_000", "1e400", " 1", ""} {
		f.Add(uint16(0), []byte(`{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1e30,"`+v+`"]}]}}`))
	}
	f.Add(uint16(0), []byte(`{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{"count":"3","sum":"1","buckets":[[0,"1","2","3"]]}]}]}}`))
	f.Add(uint16(0), []byte(`{"status":"success","data":{"resultType":"vector","result":[null]}}`))
	p, c := cannedPrometheus(f, Config{})
	whole, asked := cannedPrometheus(f, Config{Complete: "c"})
	f.Fuzz(func(t *testing.T, code uint16, body []byte) {
		c.code, c.body = status(code), body
		v, err := p.Now(t.Context(), noon)
		sample(t, v, err)
		*asked = *c
		w, err := whole.Now(t.Context(), noon)
		sample(t, w, err)
		if err == nil && (w != v || w < 1) {
			t.Fatalf("%v, complete by the same answer; %v without", w, v)
		}
	})
}

// FuzzRange reads an answer for a range. What comes of it, on the grid, is in order
// by making: each place has a load or is missing, and what is wrong is counted.
func FuzzRange(f *testing.F) {
	matrix := func(values string) []byte {
		return []byte(`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[` + values + `]}]}}`)
	}
	for _, values := range []string{
		``, `[1772625600,"1"]`, `[1772625660,"1"],[1772625600,"2"]`, `[1772625600,"1"],[1772625600,"2"]`, `[1772625600,"NaN"],[1772625660,"+Inf"],[1772625720,"-3"],[1772625780,"1e16"]`,
		`[1e30,"1"],[-1e30,"1"]`, `["1772625600","1"]`, `[1772625600,1]`, `[1772625600]`, `[1772625600,"1",2]`, `null`, `[null,null]`,
	} {
		f.Add(uint16(0), matrix(values))
	}
	for _, body := range []string{one, scalar, text, none, warned, refused, "", "null", `{"status":"success","data":{"resultType":"matrix","result":[null]}}`, `{"status":"success","data":{"resultType":"matrix","result":[{},{}]}}`} {
		f.Add(uint16(0), []byte(body))
		f.Add(uint16(200), []byte(body))
	}
	p, c := cannedPrometheus(f, Config{})
	whole, asked := cannedPrometheus(f, Config{Complete: "c"})
	f.Fuzz(func(t *testing.T, code uint16, body []byte) {
		c.code, c.body = status(code), body
		*asked = *c
		const n = 60
		for _, s := range []Source{p, whole} {
			points, err := s.History(t.Context(), noon, noon.Add((n-1)*time.Minute), time.Minute)
			if err != nil {
				explained(t, err)
				if points != nil {
					t.Fatalf("%d samples beside an error", len(points))
				}
				continue
			}
			if len(points) == 0 || len(points) > maxPoints {
				t.Fatalf("%d samples and no error", len(points))
			}
			values, repairs := series.Grid(points, noon, time.Minute, n)
			onGrid(t, values, repairs, len(points))
		}
	})
}

func onGrid(t *testing.T, values []float64, r series.Repairs, points int) {
	t.Helper()
	missing := 0
	for i, v := range values {
		switch {
		case math.IsNaN(v):
			missing++
		case !(v >= 0 && v <= series.MaxLoad):
			t.Fatalf("sample %d is %v", i, v)
		}
	}
	used := points - r.Outside - r.NotFinite - r.Negative - r.TooLarge - r.Duplicate
	if missing != r.Missing || used != len(values)-missing {
		t.Fatalf("%d of %d are missing, of %d samples: %+v", missing, len(values), points, r)
	}
}

// FuzzEdgePage reads the metrics page of an edge: a load or an explained error. Two
// edges with this page have twice the load.
func FuzzEdgePage(f *testing.F) {
	for _, page := range []string{
		Metric + " 30\n", "# TYPE " + Metric + " gauge\n" + Metric + " 30\nother 5\n", Metric + "{a=\"1\"} 3\n" + Metric + "{a=\"2\"} 4\n",
		Metric + "{a=\"1\"} -3\n" + Metric + "{a=\"2\"} 4\n", Metric + " NaN\n", Metric + " +Inf\n", Metric + " -1\n", Metric + " 1e16\n", Metric + " 1e400\n", Metric + "\n", Metric + " x\n",
		"# TYPE " + Metric + " counter\n" + Metric + " 3\n", "# TYPE " + Metric + " histogram\n" + Metric + "_bucket{le=\"1\"} 3\n" + Metric + "_sum 3\n" + Metric + "_count 3\n",
		"# TYPE " + Metric + " gauge\n# TYPE " + Metric + " counter\n", "", "other 5\n", "<html>", "{\"" + Metric + "\"} 3\n", Metric + "{a=\"\xff\"} 3\n", Metric + " 3 99999999999999999999\n",
	} {
		f.Add(uint16(0), []byte(page))
	}
	f.Add(uint16(304), []byte("x"))
	c := &canned{}
	edgesOf := func(pages ...string) *edges {
		e, err := newEdges(Config{Edges: pages, Timeout: time.Minute})
		if err != nil {
			f.Fatal(err)
		}
		e.door.inner.RegisterProtocol("canned", c)
		return e
	}
	single, double := edgesOf(cannedURL+"/a"), edgesOf(cannedURL+"/a", cannedURL+"/b")
	f.Fuzz(func(t *testing.T, code uint16, page []byte) {
		c.code, c.body = status(code), page
		v, err := single.Now(t.Context(), noon)
		sample(t, v, err)
		both, twice := double.Now(t.Context(), noon)
		sample(t, both, twice)
		if err != nil && twice == nil || err == nil && (twice == nil) != (2*v <= series.MaxLoad) || twice == nil && both != 2*v {
			t.Fatalf("%v, %v of one edge; %v, %v of two", v, err, both, twice)
		}
	})
}

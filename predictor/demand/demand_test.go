package demand

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// open opens a source of a server.
func open(t *testing.T, cfg Config) Source {
	t.Helper()
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// answering is a Prometheus that answers everything so.
func answering(t *testing.T, code int, body string) Source {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return open(t, Config{Prometheus: server.URL, Query: "q"})
}

const (
	one     = `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"42"]}]}}`
	scalar  = `{"status":"success","data":{"resultType":"scalar","result":[1,"7"]}}`
	two     = `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"1"},"value":[1,"4"]},{"metric":{"a":"2"},"value":[1,"5"]}]}}`
	none    = `{"status":"success","data":{"resultType":"vector","result":[]}}`
	nan     = `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"NaN"]}]}}`
	minus   = `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"-3"]}]}}`
	text    = `{"status":"success","data":{"resultType":"string","result":[1,"x"]}}`
	warned  = `{"status":"success","warnings":["store 10.0.0.1 did not answer"],"data":{"resultType":"vector","result":[{"metric":{},"value":[1,"42"]}]}}`
	remark  = `{"status":"success","infos":["PromQL info: name"],"data":{"resultType":"vector","result":[{"metric":{},"value":[1,"42"]}]}}`
	refused = `{"status":"error","errorType":"bad_data","error":"parse error"}`
	gaveUp  = `{"status":"error","errorType":"timeout","error":"query timed out"}`
)

func TestAPrometheusGivesOneNumberOrAnError(t *testing.T) {
	for name, c := range map[string]struct {
		code int
		body string
		want float64
		kind Kind
		says string
	}{
		"a number":      {200, one, 42, "", ""},
		"a scalar":      {200, scalar, 7, "", ""},
		"a remark":      {200, remark, 42, "", ""},
		"two series":    {200, two, 0, Several, "sum("},
		"nothing":       {200, none, 0, Empty, "scraped"},
		"NaN":           {200, nan, 0, Garbage, "no load"},
		"negative":      {200, minus, 0, Garbage, "no load"},
		"null":          {200, `{"status":"success","data":{"resultType":"vector","result":[null]}}`, 0, Garbage, "is none"},
		"a text":        {200, text, 0, Garbage, "is it one?"},
		"a part":        {200, warned, 0, Partial, "did not answer"},
		"a wrong query": {400, refused, 0, Refused, "parse error"},
		"gave up":       {503, gaveUp, 0, Slow, "timed out"},
		"no JSON":       {200, "<html>hello</html>", 0, Garbage, "is it one?"},
		"half a JSON":   {200, one[:60], 0, Garbage, "is it one?"},
		"empty":         {200, "", 0, Garbage, "is it one?"},
		"a login page":  {401, "who are you", 0, Refused, "token_file"},
		"elsewhere":     {302, "", 0, Garbage, "302"},
		"broken":        {500, "oops", 0, Refused, ""},
		"too large":     {200, `{"status":"success","data":"` + strings.Repeat("x", maxAnswer), 0, TooLarge, "aggregate"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := answering(t, c.code, c.body).Now(t.Context(), noon)
			if c.kind == "" {
				if err != nil || got != c.want {
					t.Fatalf("%v, %v; want %v", got, err, c.want)
				}
				return
			}
			if err == nil || KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v, error %q of kind %s; want kind %s and %q", got, err, KindOf(err), c.kind, c.says)
			}
		})
	}
}

func TestAPrometheusThatIsDownOrSlow(t *testing.T) {
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	if _, err := open(t, Config{Prometheus: down.URL, Query: "q"}).Now(t.Context(), noon); KindOf(err) != Unreachable || !strings.Contains(err.Error(), "does it run") {
		t.Errorf("down: %v of kind %s", err, KindOf(err))
	}
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then the server sees that nobody waits
		<-r.Context().Done()
	}))
	t.Cleanup(slow.Close)
	if _, err := open(t, Config{Prometheus: slow.URL, Query: "q", Timeout: 100 * time.Millisecond}).Now(t.Context(), noon); KindOf(err) != Slow {
		t.Errorf("slow: %v of kind %s", err, KindOf(err))
	}
}

// ranges is a Prometheus with one sample a step whose value is its time.
func ranges(t *testing.T, requests *int) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*requests++
		start, _ := strconv.ParseFloat(r.FormValue("start"), 64)
		end, _ := strconv.ParseFloat(r.FormValue("end"), 64)
		step, _ := strconv.ParseFloat(r.FormValue("step"), 64)
		if (end-start)/step > maxPoints {
			w.WriteHeader(400)
			_, _ = w.Write([]byte(`{"status":"error","errorType":"bad_data","error":"exceeded maximum resolution of 11,000 points per timeseries"}`))
			return
		}
		var b strings.Builder
		for at := start; at <= end; at += step {
			v := at
			if r.FormValue("query") == "complete" {
				v = 1
				if int64(at/step)%2 == 0 {
					v = 0
				}
			}
			fmt.Fprintf(&b, `,[%.3f,"%.0f"]`, at, v)
		}
		_, _ = fmt.Fprintf(w, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[%s]}]}}`, strings.TrimPrefix(b.String(), ","))
	}))
	t.Cleanup(server.Close)
	return server
}

func TestALongHistoryComesInParts(t *testing.T) {
	requests := 0
	s := open(t, Config{Prometheus: ranges(t, &requests).URL, Query: "q"})
	const n = 28 * 1440
	points, err := s.History(t.Context(), noon, noon.Add((n-1)*time.Minute), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if len(points) != n || requests != 4 {
		t.Fatalf("%d samples in %d requests; want %d in 4", len(points), requests, n)
	}
	for i, p := range points {
		if want := noon.Add(time.Duration(i) * time.Minute); !p.At.Equal(want) || p.Value != float64(want.Unix()) {
			t.Fatalf("sample %d: %v %v; want one of %v", i, p.At, p.Value, want)
		}
	}
}

func TestWhatIsNotCompleteIsNotThere(t *testing.T) {
	requests := 0
	s := open(t, Config{Prometheus: ranges(t, &requests).URL, Query: "q", Complete: "complete"})
	points, err := s.History(t.Context(), noon, noon.Add(9*time.Minute), time.Minute)
	if err != nil || len(points) != 5 {
		t.Fatalf("%d samples, %v; want every other one", len(points), err)
	}
	few := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := one
		if r.FormValue("query") == "complete" {
			body = strings.ReplaceAll(one, "42", "0")
		}
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(few.Close)
	if _, err := open(t, Config{Prometheus: few.URL, Query: "q", Complete: "complete"}).Now(t.Context(), noon); KindOf(err) != Partial {
		t.Errorf("%v of kind %s; want partial", err, KindOf(err))
	}
}

func TestAHistoryThatIsNoneSaysSo(t *testing.T) {
	for body, kind := range map[string]Kind{
		`{"status":"success","data":{"resultType":"matrix","result":[]}}`: Empty,
		one: Garbage,
		`{"status":"success","data":{"resultType":"matrix","result":[null]}}`:                                                              Garbage,
		`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":"1"},"values":[]},{"metric":{"a":"2"},"values":[]}]}}`: Several,
	} {
		if _, err := answering(t, 200, body).History(t.Context(), noon, noon.Add(time.Hour), time.Minute); KindOf(err) != kind {
			t.Errorf("%s: %v of kind %s; want %s", body, err, KindOf(err), kind)
		}
	}
}

func TestTheTokenIsReadAnewAndGoesNowhereElse(t *testing.T) {
	var got []string
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Error("redirected with", r.Header) }))
	t.Cleanup(other.Close)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Authorization"))
		if r.Header.Get("Authorization") == "Bearer leave" {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
			return
		}
		_, _ = w.Write([]byte(one))
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	ca, token := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "token")
	write(t, ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	s := open(t, Config{Prometheus: server.URL, Query: "q", CAFile: ca, TokenFile: token})
	for _, secret := range []string{"one", "two"} {
		write(t, token, secret+"\n")
		if _, err := s.Now(t.Context(), noon); err != nil {
			t.Fatal(err)
		}
	}
	if fmt.Sprint(got) != "[Bearer one Bearer two]" {
		t.Errorf("tokens: %v", got)
	}
	write(t, token, "leave")
	if _, err := s.Now(t.Context(), noon); KindOf(err) != Garbage {
		t.Errorf("redirected: %v", err)
	}
	if err := os.Remove(token); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Now(t.Context(), noon); KindOf(err) != Setup || !strings.Contains(err.Error(), "token_file") {
		t.Errorf("without a token: %v of kind %s", err, KindOf(err))
	}
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	if _, err := open(t, Config{Prometheus: server.URL, Query: "q"}).Now(t.Context(), noon); KindOf(err) != Unreachable {
		t.Errorf("a server that nobody vouches for: %v", err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// edge is a metrics page.
func edge(t *testing.T, page string) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(page)) }))
	t.Cleanup(s.Close)
	return s
}

func TestEdgesAreAllOrNothing(t *testing.T) {
	a, b := edge(t, "# TYPE barrage_edge_connections gauge\nbarrage_edge_connections 30\nother 5\n"), edge(t, "barrage_edge_connections 12\n")
	s := open(t, Config{Edges: []string{a.URL, b.URL}})
	if n, err := s.Now(t.Context(), noon); err != nil || n != 42 {
		t.Fatalf("%v, %v; want 42", n, err)
	}
	if _, err := s.History(t.Context(), noon, noon, time.Minute); !errors.Is(err, ErrNoHistory) {
		t.Errorf("history: %v", err)
	}
	b.Close()
	if n, err := s.Now(t.Context(), noon); KindOf(err) != Unreachable || n != 0 {
		t.Errorf("one is down: %v, %v", n, err)
	}
	for page, kind := range map[string]Kind{
		"other 5\n":                      Empty,
		"barrage_edge_connections NaN\n": Garbage,
		"barrage_edge_connections -1\n":  Garbage,
		"<html>":                         Garbage,
		"barrage_edge_connections{a=\"1\"} -1\nbarrage_edge_connections{a=\"2\"} 5\n": Garbage,
		strings.Repeat("# long\n", maxAnswer/7+1):                                     TooLarge,
	} {
		s := open(t, Config{Edges: []string{a.URL, edge(t, page).URL}})
		if n, err := s.Now(t.Context(), noon); err == nil || KindOf(err) != kind {
			t.Errorf("%.20q: %v, %v of kind %s; want %s", page, n, err, KindOf(err), kind)
		}
	}
}

func TestEdgesOfAName(t *testing.T) {
	a := edge(t, "barrage_edge_connections 30\n")
	_, port, _ := strings.Cut(strings.TrimPrefix(a.URL, "http://"), ":")
	s := open(t, Config{DNS: "edges:" + port}).(*edges)
	s.lookup = func(_ context.Context, host string) ([]string, error) { return []string{"127.0.0.1"}, nil }
	if n, err := s.Now(t.Context(), noon); err != nil || n != 30 {
		t.Errorf("%v, %v; want 30", n, err)
	}
	s.lookup = func(context.Context, string) ([]string, error) { return nil, nil }
	if _, err := s.Now(t.Context(), noon); KindOf(err) != Empty {
		t.Errorf("no address: %v", err)
	}
	s.lookup = func(context.Context, string) ([]string, error) { return nil, errors.New("no such host") }
	if _, err := s.Now(t.Context(), noon); KindOf(err) != Unreachable {
		t.Errorf("no name: %v", err)
	}
}

func TestConfigurationsThatCannotWork(t *testing.T) {
	for says, c := range map[string]Config{
		"give one of":  {},
		"give one":     {Prometheus: "http://a", Query: "q", DNS: "a:1"},
		"want a URL":   {Prometheus: "prometheus:9090", Query: "q"},
		"want PromQL":  {Prometheus: "http://a"},
		"password":     {Prometheus: "http://u:secret@a", Query: "q"},
		"unencrypted":  {Prometheus: "http://a", Query: "q", TokenFile: "t"},
		"twice":        {Edges: []string{"http://a/metrics", "http://a/metrics"}},
		"name:port":    {DNS: "edges"},
		"without TLS":  {DNS: "edges:1", TokenFile: "t"},
		"timeout":      {DNS: "edges:1", Timeout: time.Hour},
		"is there twi": {Edges: []string{"http://a", "http://a"}},
	} {
		if c.Timeout == 0 {
			c.Timeout = time.Second
		}
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %v", says, err)
		}
	}
}

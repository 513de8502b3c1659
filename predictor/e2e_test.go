package predictor

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/barrage-im/barrage/predictor/adapter"
	"github.com/barrage-im/barrage/predictor/keda"
	"github.com/barrage-im/barrage/predictor/signal"
	"github.com/barrage-im/barrage/protocol/ops"
)

// A server is Debian's Prometheus, scraping one page.
type server struct {
	t       *testing.T
	dir     string
	address string
	cmd     *exec.Cmd
	out     bytes.Buffer
}

// prometheusOf starts a Prometheus that scrapes a page four times a second.
func prometheusOf(t *testing.T, target string) *server {
	t.Helper()
	if _, err := exec.LookPath("prometheus"); err != nil {
		t.Skip("SKIPPED: there is no prometheus; make test installs it")
	}
	s := &server{t: t, dir: t.TempDir(), address: freePort(t)}
	text := "global: {scrape_interval: 250ms, scrape_timeout: 250ms}\nscrape_configs:\n- job_name: edge\n  static_configs: [{targets: [\"" + target + "\"]}]\n"
	if err := os.WriteFile(filepath.Join(s.dir, "prometheus.yml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(func() { s.kill() })
	return s
}

func freePort(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func (s *server) start() {
	s.cmd = exec.CommandContext(context.WithoutCancel(s.t.Context()), "prometheus", "--config.file="+filepath.Join(s.dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(s.dir, "data"),
		"--web.listen-address="+s.address, "--query.lookback-delta=3s", "--log.level=error")
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	until(s.t, "Prometheus is ready", func() bool {
		r, err := get(s.t, http.DefaultClient, "http://"+s.address+"/-/ready")
		if err != nil {
			return false
		}
		_ = r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
}

func (s *server) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

// until waits for something that comes about by itself.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func get(t *testing.T, client *http.Client, url string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return client.Do(r)
}

// A running is a predictor in this process, with everything open.
type running struct {
	t       *testing.T
	p       *process
	ops     string
	keda    keda.ExternalScalerClient
	adapter string
	stop    func()
}

func run(t *testing.T, cfg Config) *running {
	t.Helper()
	cfg.Ops.Listen, cfg.KEDA.Listen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Adapter = adapter.Config{Listen: "127.0.0.1:0", Open: true}
	log := slog.New(slog.DiscardHandler)
	status, err := ops.Start(cfg.Ops, log)
	if err != nil {
		t.Fatal(err)
	}
	p, err := start(t.Context(), cfg, log, status)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.run(ctx) }()
	r := &running{t: t, p: p, ops: "http://" + status.Addr().String() + "/metrics"}
	conn, err := grpc.NewClient(p.doors[0].(*keda.Server).Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	r.keda = keda.NewExternalScalerClient(conn)
	r.adapter = "https://" + p.doors[1].(*adapter.Server).Addr().String()
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		_ = conn.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = status.Close()
	}
	t.Cleanup(r.stop)
	return r
}

// told is what KEDA is told.
func (r *running) told() float64 {
	r.t.Helper()
	ref := &keda.ScaledObjectRef{Name: "edge", Namespace: "live", ScalerMetadata: map[string]string{"targetSize": "100"}}
	got, err := r.keda.GetMetrics(r.t.Context(), &keda.GetMetricsRequest{ScaledObjectRef: ref, MetricName: keda.MetricName})
	if err != nil {
		r.t.Fatal(err) // an error would let an autoscaler do what it likes
	}
	return got.GetMetricValues()[0].GetMetricValueFloat()
}

// metric is a number of the predictor's own metrics page.
func (r *running) metric(name string) float64 {
	r.t.Helper()
	answer, err := get(r.t, http.DefaultClient, r.ops)
	if err != nil {
		r.t.Fatal(err)
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(page), "\n") {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(rest, 64)
			if err != nil {
				r.t.Fatal(err)
			}
			return v
		}
	}
	r.t.Fatalf("no metric %s", name)
	return 0
}

func errorsOf(kind string) string {
	return fmt.Sprintf("barrage_predictor_errors_total{kind=%q,region=%q}", kind, "local")
}

// agesToNothing follows what is told until it is 0, and fails if it ever goes down
// faster than its age allows.
func (r *running) agesToNothing(fade time.Duration, meanwhile func()) {
	r.t.Helper()
	begun := time.Now()
	most, asked := r.told(), begun
	last := most
	for last > 0 {
		asking := time.Now()
		now := r.told()
		answered := time.Now()
		most = max(most, now)
		if fell, may := last-now, most*answered.Sub(asked).Seconds()/fade.Seconds(); fell > may*1.01+1e-6 {
			r.t.Fatalf("from %v to %v in %v; at most %v may be lost", last, now, answered.Sub(asked), may)
		}
		last, asked = now, asking
		if time.Since(begun) > time.Minute {
			r.t.Fatalf("told %v after %v", now, time.Since(begun))
		}
		meanwhile()
		time.Sleep(20 * time.Millisecond)
	}
}

func TestAPrometheusThatIsPausedKilledAndGarbage(t *testing.T) {
	if testing.Short() {
		t.Skip("a Prometheus, paused and killed, takes 20 s")
	}
	var load atomic.Int64
	load.Store(1000)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, "# TYPE barrage_edge_connections gauge\nbarrage_edge_connections %d\n", load.Load())
	}))
	defer page.Close()
	prom := prometheusOf(t, strings.TrimPrefix(page.URL, "http://"))
	until(t, "it has scraped", func() bool {
		r, err := get(t, http.DefaultClient, "http://"+prom.address+"/api/v1/query?query=barrage_edge_connections")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		return err == nil && strings.Contains(string(b), `"1000"`)
	})

	cfg := Default()
	cfg.Mode, cfg.State = Publish, filepath.Join(t.TempDir(), "state")
	cfg.Step, cfg.Tick, cfg.Horizon, cfg.History, cfg.Plan.Lead = time.Second, time.Second, 10*time.Second, time.Minute, 3*time.Second
	cfg.Ageing = signal.Ageing{Fresh: 2 * time.Second, Fade: 2 * time.Second}
	cfg.Demand.Prometheus, cfg.Demand.Timeout, cfg.Demand.Complete = "http://"+prom.address, 300*time.Millisecond, "min(up)"
	r := run(t, cfg)
	until(t, "1000 are told", func() bool { return r.told() >= 1000 })
	load.Store(1500)
	until(t, "more is told", func() bool { return r.told() >= 1500 })
	r.callAdapter()

	prom.signal(syscall.SIGSTOP)
	r.agesToNothing(cfg.Ageing.Fade, func() {})
	if r.metric(errorsOf("slow")) < 1 || r.metric(`barrage_predictor_missing_samples_total{region="local"}`) < 2 {
		t.Error("a paused Prometheus is not counted")
	}
	prom.signal(syscall.SIGCONT)
	until(t, "it is told again", func() bool { return r.told() >= 1500 })

	prom.kill()
	var garbage *http.Server
	r.agesToNothing(cfg.Ageing.Fade, func() {
		if garbage == nil && r.metric(errorsOf("unreachable")) >= 1 {
			ln, err := net.Listen("tcp", prom.address)
			if err != nil {
				t.Fatal(err)
			}
			garbage = &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("\x00{garbage")) })}
			go func() { _ = garbage.Serve(ln) }()
		}
	})
	until(t, "garbage is counted", func() bool { return r.metric(errorsOf("garbage")) >= 1 })
	_ = garbage.Close()
	prom.start()
	until(t, "it is told after all", func() bool { return r.told() >= 1500 })

	r.stop()
	h, err := readSnapshot(cfg.State, "local "+r.p.source.String(), cfg.Step, 0)
	if err != nil || h.samples() < 5 {
		t.Errorf("the stored state: %v, %v", h, err)
	}
}

// callAdapter asks as a HorizontalPodAutoscaler does.
func (r *running) callAdapter() {
	r.t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	ask := func(path string) (int, string) {
		answer, err := get(r.t, client, r.adapter+path)
		if err != nil {
			r.t.Fatal(err)
		}
		defer answer.Body.Close()
		b, err := io.ReadAll(answer.Body)
		if err != nil {
			r.t.Fatal(err)
		}
		return answer.StatusCode, string(b)
	}
	const group = "/apis/external.metrics.k8s.io/v1beta1"
	if code, body := ask(group); code != 200 || !strings.Contains(body, "barrage_predicted_load") {
		r.t.Errorf("the list: %d %s", code, body)
	}
	if code, body := ask(group + "/namespaces/live/barrage_load?labelSelector=region%3Dlocal"); code != 200 || !strings.Contains(body, `"metricName":"barrage_load"`) {
		r.t.Errorf("the load of now: %d %s", code, body)
	}
	code, body := ask(group + "/namespaces/live/barrage_predicted_load?labelSelector=region%3Dlocal")
	var list struct {
		Kind  string `json:"kind"`
		Items []struct {
			MetricName string `json:"metricName"`
			Value      string `json:"value"`
		} `json:"items"`
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil || code != 200 || list.Kind != "ExternalMetricValueList" || len(list.Items) != 1 {
		r.t.Fatalf("the metric: %d %s %v", code, body, err)
	}
	text, milli := strings.CutSuffix(list.Items[0].Value, "m")
	v, err := strconv.ParseFloat(strings.TrimSuffix(text, "k"), 64)
	if strings.HasSuffix(text, "k") {
		v *= 1000
	}
	if milli {
		v /= 1000
	}
	if err != nil || v < 1500 || v > 1e5 {
		r.t.Errorf("the value is %s", list.Items[0].Value)
	}
	for _, path := range []string{"/namespaces/live/other", "/namespaces/live/barrage_predicted_load?labelSelector=region%3Dus"} {
		if code, body := ask(group + path); code != http.StatusNotFound {
			r.t.Errorf("%s: %d %s", path, code, body)
		}
	}
}

package ops_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/barrage-im/barrage/protocol/ops"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T) *ops.Ops {
	t.Helper()
	o, err := ops.Start(ops.Config{Listen: "127.0.0.1:0"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
	return o
}

func get(t *testing.T, o *ops.Ops, method, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+o.Addr().String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestReadinessNamesItsReasonsAndLivenessDoesNotCare(t *testing.T) {
	o := start(t)
	o.SetReady("core", errors.New("no core node answers"))
	o.SetReady("disk", errors.New("nearly full"))
	o.SetReady("disk", nil)
	code, body := get(t, o, http.MethodGet, "/readyz")
	var answer struct {
		Ready   bool
		Reasons map[string]string
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	if code != http.StatusServiceUnavailable || answer.Ready || len(answer.Reasons) != 1 || answer.Reasons["core"] != "no core node answers" {
		t.Errorf("got %d %s", code, body)
	}
	if code, _ := get(t, o, http.MethodGet, "/healthz"); code != http.StatusOK {
		t.Errorf("healthz is %d while not ready", code)
	}
	o.SetReady("core", nil)
	if code, body := get(t, o, http.MethodGet, "/readyz"); code != http.StatusOK || !strings.Contains(body, `"ready":true`) {
		t.Errorf("got %d %s", code, body)
	}
}

func TestMetricsAndProfiles(t *testing.T) {
	o := start(t)
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "barrage_test_total", Help: "x"})
	o.Registry().MustRegister(c)
	c.Inc()
	_, body := get(t, o, http.MethodGet, "/metrics")
	for _, want := range []string{"barrage_test_total 1", "barrage_build_info{", "go_goroutines", "process_resident_memory_bytes"} {
		if !strings.Contains(body, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	for path, want := range map[string]int{
		"/debug/pprof/": 200, "/debug/pprof/heap": 200, "/debug/pprof/cmdline": 404, "/": 404, "/debug/vars": 404,
	} {
		if code, _ := get(t, o, http.MethodGet, path); code != want {
			t.Errorf("%s: got %d, want %d", path, code, want)
		}
	}
	if code, _ := get(t, o, http.MethodPost, "/metrics"); code != http.StatusMethodNotAllowed {
		t.Errorf("POST: got %d", code)
	}
}

// B82: without configuration there is no ops listener at all.
func TestOffByDefault(t *testing.T) {
	o, err := ops.Start(ops.Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if o.Addr() != nil || o.Registry() == nil {
		t.Error("it listens")
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
}

func TestAddressInUseIsAnError(t *testing.T) {
	o := start(t)
	if _, err := ops.Start(ops.Config{Listen: o.Addr().String()}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("two listeners on one address")
	}
	if (ops.Config{Listen: "9090"}).Validate() == nil {
		t.Error("an address without a colon is taken")
	}
}

func TestFirstSignalDrainsAndSecondHurries(t *testing.T) {
	ctx, stop := ops.Signals(t.Context())
	defer stop()
	hurry := ops.Hurry(ctx)
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	signal := func() {
		if err := self.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	signal()
	wait(t, ctx.Done())
	select {
	case <-hurry:
		t.Fatal("one signal hurries already")
	default:
	}
	signal()
	wait(t, hurry)
	if ops.Hurry(context.Background()) != nil {
		t.Error("a context without signals hurries")
	}
}

func wait(t *testing.T, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(5 * time.Second):
		t.Fatal("the signal did not arrive")
	}
}

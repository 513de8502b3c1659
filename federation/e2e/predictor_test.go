package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAPredictorThatCannotStartSaysWhatToDo(t *testing.T) {
	o := operator{bin: barrage(t, "")}
	dir := t.TempDir()
	file := func(text string) string {
		path := filepath.Join(dir, fmt.Sprintf("%x.yaml", len(text)))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const source = "--demand-edges=http://127.0.0.1:1/metrics"
	taken := httptest.NewServer(http.NotFoundHandler())
	defer taken.Close()
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no demand":         {nil, 2, "give one of prometheus, edges and dns"},
		"unknown flag":      {[]string{"--horizn=1h"}, 2, "did you mean --horizon"},
		"unknown tool":      {[]string{"back-test"}, 2, "backtest"},
		"no duration":       {[]string{source, "--step=often"}, 2, "--step"},
		"two sources":       {[]string{source, "--demand-dns=edges:1"}, 2, "give one of prometheus, edges and dns"},
		"mode":              {[]string{source, "--mode=on"}, 2, "use forecast-only or publish"},
		"no such file":      {[]string{"--config", filepath.Join(dir, "none.yaml")}, 2, "none.yaml"},
		"unknown key":       {[]string{"--config", file("demand:\n  promtheus: http://a\n")}, 2, ":2: demand.promtheus: unknown key; did you mean prometheus"},
		"no YAML":           {[]string{"--config", file("{\n")}, 2, ".yaml"},
		"no certificates":   {[]string{source, "--ops-listen=127.0.0.1:0", "--demand-ca-file", filepath.Join(dir, "none.pem")}, 1, "ca_file"},
		"the port is taken": {[]string{source, "--ops-listen", strings.TrimPrefix(taken.URL, "http://")}, 1, "address already in use"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := o.local(t, append([]string{"predictor"}, c.args...)...)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != c.code || !strings.Contains(out, c.says) || strings.Contains(out, "goroutine ") {
				t.Errorf("%v, want exit code %d and %q:\n%s", err, c.code, c.says, out)
			}
		})
	}
}

func TestAPredictorEndsInGoodOrderAndKeepsItsState(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "barrage_edge_connections 42")
	}))
	defer page.Close()
	state := filepath.Join(t.TempDir(), "state")
	ops := fmt.Sprintf("127.0.0.1:%d", freePorts(t, 1)[0])
	p := newProcess(t, "predictor", barrage(t, ""), ops, "predictor", "--ops-listen", ops, "--state", state, "--state-every=24h",
		"--step=1s", "--tick=1s", "--horizon=10s", "--history=1m", "--plan-lead=3s", "--demand-edges", page.URL)
	for _, said := range []string{`msg="no stored state yet"`, `msg="stored state"`} {
		if err := p.start(); err != nil {
			t.Fatal(err)
		}
		sampled := false
		for deadline := time.Now().Add(30 * time.Second); !sampled && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
			var metrics strings.Builder
			if p.get(t.Context(), "/metrics", &metrics) == nil {
				_, rest, found := strings.Cut(metrics.String(), "\nbarrage_predictor_samples_total{region=\"local\"} ")
				sampled = found && rest[0] != '0'
			}
		}
		if !sampled {
			t.Fatalf("no sample in 30 s:\n%s", p.tail(20))
		}
		p.stop(10 * time.Second)
		if p.err != nil {
			t.Errorf("ended with %v", p.err)
		}
		if st, err := os.Stat(state); err != nil || st.Size() == 0 {
			t.Errorf("the state was not stored: %v", err)
		}
		if log := p.tail(50); !strings.Contains(log, said) {
			t.Errorf("the log does not say %s:\n%s", said, log)
		}
	}
}

package screen

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/protocol/pki"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// checker is a hook of the test's.
type checker struct {
	rpc.UnimplementedHookServer
	check func(context.Context, *rpc.CheckRequest) (*rpc.CheckResponse, error)
}

func (c *checker) Check(ctx context.Context, req *rpc.CheckRequest) (*rpc.CheckResponse, error) {
	return c.check(ctx, req)
}

func serveHook(t *testing.T, check func(context.Context, *rpc.CheckRequest) (*rpc.CheckResponse, error), opts ...grpc.ServerOption) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(opts...)
	rpc.RegisterHookServer(server, &checker{check: check})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(ln)
	}()
	t.Cleanup(func() { server.Stop(); <-done })
	return ln.Addr().String()
}

func newHook(t *testing.T, address string, change ...func(*HookConfig)) *Hook {
	t.Helper()
	cfg := Default().Hook
	cfg.Address = address
	for _, f := range change {
		f(&cfg)
	}
	h, err := NewHook(cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

type told struct {
	Answer
	ok, asked bool
}

func ask(t *testing.T, h *Hook, text string) told {
	t.Helper()
	answers := make(chan told, 1)
	if !h.Ask(t.Context(), &rpc.CheckRequest{Text: text}, func(a Answer, ok bool) { answers <- told{a, ok, true} }) {
		return told{}
	}
	select {
	case a := <-answers:
		return a
	case <-time.After(maxDeadline + 5*time.Second):
		t.Fatal("no answer and no end")
		return told{}
	}
}

func TestHookAnswersAndGarbage(t *testing.T) {
	answers := map[string]*rpc.CheckResponse{
		"pass":               {Verdict: "pass", Text: "ignored"},
		"mask":               {Verdict: "mask", Text: "***", Reason: "rude", Categories: []string{"insult"}},
		"block":              {Verdict: "block"},
		"long reason":        {Verdict: "flag", Reason: strings.Repeat("ü", 1000)},
		"nothing":            {},
		"garbage":            {Verdict: "BLOCK!"},
		"long text":          {Verdict: "mask", Text: strings.Repeat("*", 100_000)},
		"too large":          {Verdict: "mask", Text: strings.Repeat("*", 1<<20)},
		"many categories":    {Verdict: "flag", Categories: make([]string, 9)},
		"no category at all": {Verdict: "flag", Categories: []string{strings.Repeat("c", 33)}},
	}
	address := serveHook(t, func(_ context.Context, req *rpc.CheckRequest) (*rpc.CheckResponse, error) {
		return answers[req.GetText()], nil
	})
	for text, want := range map[string]filter.Action{"pass": filter.Pass, "mask": filter.Mask, "block": filter.Block, "long reason": filter.Flag} {
		a := ask(t, newHook(t, address), text)
		if !a.ok || a.Action != want || len(a.Reason) > maxReason || string(a.Text) != map[bool]string{true: "***"}[text == "mask"] {
			t.Errorf("%s: %+v", text, a)
		}
	}
	for text := range answers {
		if _, err := filter.ParseAction(text); err == nil || text == "long reason" {
			continue
		}
		if a := ask(t, newHook(t, address), text); a.ok || !a.asked {
			t.Errorf("%s counts as an answer: %+v", text, a)
		}
	}
}

func TestASlowHookIsNotWaitedForBeyondItsDeadline(t *testing.T) {
	address := serveHook(t, func(ctx context.Context, _ *rpc.CheckRequest) (*rpc.CheckResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	h := newHook(t, address, func(c *HookConfig) { c.Deadline, c.InFlight = 50*time.Millisecond, 2 })
	for range breakAfter {
		if a := ask(t, h, "x"); a.ok || !a.asked {
			t.Fatalf("%+v", a)
		}
	}
	began := time.Now()
	for range 100 { // it does not cost its deadline for every message
		if a := ask(t, h, "x"); a.asked {
			t.Fatal("a hook that does not answer is asked on")
		}
	}
	if took := time.Since(began); took > minBreak {
		t.Errorf("not asking took %v", took)
	}
	if h.Wait() < minUnchecked || h.Wait() > maxBreak {
		t.Errorf("clients are told to wait %v", h.Wait())
	}
}

func TestCallsInFlightAreBounded(t *testing.T) {
	let := make(chan struct{})
	address := serveHook(t, func(ctx context.Context, _ *rpc.CheckRequest) (*rpc.CheckResponse, error) {
		select {
		case <-let:
		case <-ctx.Done():
		}
		return &rpc.CheckResponse{Verdict: "pass"}, nil
	})
	h := newHook(t, address, func(c *HookConfig) { c.Deadline, c.InFlight = maxDeadline, 3 })
	answers := make(chan bool, 3)
	for range 3 {
		if !h.Ask(t.Context(), &rpc.CheckRequest{}, func(_ Answer, ok bool) { answers <- ok }) {
			t.Fatal("not asked")
		}
	}
	if h.Ask(t.Context(), &rpc.CheckRequest{}, func(Answer, bool) { t.Error("answered") }) {
		t.Fatal("more than in_flight are asked")
	}
	close(let)
	for range 3 {
		if !<-answers {
			t.Error("no answer")
		}
	}
	if a := ask(t, h, ""); !a.ok {
		t.Error("places are not given back")
	}
}

func TestADeadHookComesBack(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	_ = ln.Close() // nobody listens
	h := newHook(t, address)
	for range breakAfter {
		if a := ask(t, h, ""); a.ok {
			t.Fatal("nobody answered")
		}
	}
	ln, err = net.Listen("tcp", address)
	if err != nil {
		t.Skip("the port is somebody else's by now:", err)
	}
	server := grpc.NewServer()
	rpc.RegisterHookServer(server, &checker{check: func(context.Context, *rpc.CheckRequest) (*rpc.CheckResponse, error) {
		return &rpc.CheckResponse{Verdict: "flag"}, nil
	}})
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(server.Stop)
	for end := time.Now().Add(4 * maxBreak); !ask(t, h, "").ok; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not asked again")
		}
	}
}

func TestHookTLSNeedsTheRoleHook(t *testing.T) {
	ca, err := pki.NewCA("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	mine, err := ca.Issue(pki.Edge, "edge-1", nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := mine.Write(dir); err != nil {
		t.Fatal(err)
	}
	for role, want := range map[pki.Role]bool{pki.Hook: true, pki.Edge: false} {
		its, err := ca.Issue(role, "checker", nil, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		secure, err := its.Credentials()
		if err != nil {
			t.Fatal(err)
		}
		address := serveHook(t, func(context.Context, *rpc.CheckRequest) (*rpc.CheckResponse, error) {
			return &rpc.CheckResponse{Verdict: "pass"}, nil
		}, grpc.Creds(credentials.NewTLS(secure.ServerConfig("h2"))))
		h := newHook(t, address, func(c *HookConfig) { c.TLS, c.Deadline = dir, maxDeadline })
		if a := ask(t, h, ""); a.ok != want {
			t.Errorf("a service of role %s: %+v", role, a)
		}
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"hook elsewhere in plain text": {func(c *Config) { c.Hook.Address = "checker.example.com:443" }, "hook.tls"},
		"hook without port":            {func(c *Config) { c.Hook.Address = "localhost" }, "host:port"},
		"tls for nobody":               {func(c *Config) { c.Hook.TLS = "dir" }, "hook.address"},
		"deadline too long":            {func(c *Config) { c.Hook.Address, c.Hook.Deadline = "localhost:1", time.Minute }, "hook.deadline"},
		"deadline of nothing":          {func(c *Config) { c.Hook.Address, c.Hook.Deadline = "localhost:1", 0 }, "hook.deadline"},
		"in flight":                    {func(c *Config) { c.Hook.Address, c.Hook.InFlight = "localhost:1", 1<<20 }, "hook.in_flight"},
		"keys":                         {func(c *Config) { c.Keys = make([]string, maxKeys+1) }, "keys"},
	} {
		cfg := Default()
		c.change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
	bad := filepath.Join(t.TempDir(), "key")
	for name, content := range map[string]string{"not PEM": "key", "private": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "cut": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"} {
		if err := os.WriteFile(bad, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readKeys([]string{bad}); err == nil {
			t.Errorf("%s is taken for a key", name)
		}
	}
	if _, err := readKeys([]string{"nowhere"}); err == nil || strings.Count(err.Error(), "nowhere") != 1 {
		t.Errorf("a missing file: %v", err)
	}
}

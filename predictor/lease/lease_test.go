package lease

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes/fake"
)

// until waits for something that comes about by itself.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within 20 s: " + what)
		}
	}
}

// The Kubernetes API is client-go's fake: this shows the wiring, not the election.
func TestOneLeadsAndAnotherFollowsIt(t *testing.T) {
	api := fake.NewClientset()
	var both [2]*Elector
	var stops [2]func()
	for i, name := range []string{"a", "b"} {
		e := &Elector{log: slog.New(slog.DiscardHandler), cfg: Config{Name: "predictor", Namespace: "live", Identity: name, Duration: 2 * time.Second}}
		if err := e.over(api); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx) }()
		both[i], stops[i] = e, func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		if i == 0 {
			until(t, "the first leads", e.Leads)
		}
	}
	if both[1].Leads() {
		t.Error("both lead")
	}
	stops[0]()
	until(t, "the second leads", both[1].Leads)
	if both[0].Leads() {
		t.Error("the first still leads")
	}
	stops[1]()
}

func TestWithoutALeaseOneLeads(t *testing.T) {
	e, err := Open(Default(), slog.New(slog.DiscardHandler))
	if err != nil || !e.Leads() {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Run(ctx); err != nil {
		t.Error(err)
	}
	c := Default()
	c.Name = "predictor"
	if _, err := Open(c, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "lease.kubeconfig") {
		t.Errorf("outside of a cluster: %v", err)
	}
}

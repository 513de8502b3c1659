package edgenode

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/barrage-im/barrage/protocol/client"
)

// A listener is a member by way of the SDK.
type listener struct {
	mu   sync.Mutex // guards the fields below
	seqs []uint64
	gaps []client.Gap
}

func (l *listener) events() client.Events {
	return client.Events{
		OnMessages: func(list []client.Message) {
			l.mu.Lock()
			defer l.mu.Unlock()
			for _, m := range list {
				l.seqs = append(l.seqs, m.Seq)
			}
		},
		OnGap: func(g client.Gap) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.gaps = append(l.gaps, g)
		},
	}
}

func (l *listener) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.seqs)
}

func sdk(t *testing.T, name string, edges ...*Edge) *client.Client {
	t.Helper()
	var urls []string
	for _, e := range edges {
		urls = append(urls, e.Endpoints()...)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := client.Dial(ctx, client.Config{Endpoints: urls, Token: func(context.Context) (string, error) { return "anonymous:" + name, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Publishers and members live through lost answers, a core that goes and comes
// back, and an edge that is drained under them: nothing is lost, doubled or
// out of order.
func TestNothingIsLostWhileEverythingMoves(t *testing.T) {
	t.Parallel()
	const members, publishers, each = 8, 3, 150
	core := startCore(t)
	first := startEdge(t, core, func(c *Config) { c.Drain = 500 * time.Millisecond })
	second := startEdge(t, core, func(c *Config) { c.Name = "edge-2" })
	eventually(t, "the edges know one another", func() bool { return len(first.sessions.Elsewhere()) > 0 })

	var listeners []*listener
	for i := range members {
		l := &listener{}
		listeners = append(listeners, l)
		if _, err := sdk(t, fmt.Sprint("member-", i), first, second).Join(t.Context(), "lobby", client.JoinOptions{}, l.events()); err != nil {
			t.Fatal(err)
		}
	}
	var publishing sync.WaitGroup
	for i := range publishers {
		name := fmt.Sprint("publisher-", i)
		c := sdk(t, name, first, second)
		publishing.Go(func() {
			var open sync.WaitGroup
			for n := range each {
				open.Add(1)
				if err := c.PublishAsync("lobby", client.Message{Text: fmt.Sprint(name, " ", n)}, func(_ client.Ack, err error) {
					defer open.Done()
					if err != nil {
						t.Errorf("%s %d: %v", name, n, err)
					}
				}); err != nil {
					t.Errorf("%s %d: %v", name, n, err)
					open.Done()
				}
				time.Sleep(5 * time.Millisecond) // a steady stream, so that every fault meets some
			}
			open.Wait()
		})
	}
	reached := func(n int) {
		t.Helper()
		eventually(t, fmt.Sprint(n, " messages"), func() bool { return len(core.Texts("lobby")) >= n })
	}
	reached(50)
	core.Silence(true)
	reached(70)
	core.Silence(false)
	core.Reset()
	reached(150)
	core.Stop()
	if err := core.Start(); err != nil {
		t.Fatal(err)
	}
	reached(220)
	first.Drain(t.Context())
	first.Close()
	publishing.Wait()

	texts := core.Texts("lobby")
	if len(texts) != publishers*each {
		t.Errorf("the log holds %d messages, want %d", len(texts), publishers*each)
	}
	next := map[string]int{}
	for _, text := range texts {
		name, _, _ := strings.Cut(text, " ")
		if want := fmt.Sprint(name, " ", next[name]); text != want {
			t.Fatalf("the log has %q where %q was due", text, want)
		}
		next[name]++
	}
	for i, l := range listeners {
		eventually(t, fmt.Sprint("member ", i, " has everything"), func() bool { return l.count() >= len(texts) })
		for at, seq := range l.seqs {
			if seq != uint64(at+1) {
				t.Fatalf("member %d: message %d has seq %d (gaps %v)", i, at, seq, l.gaps)
			}
		}
	}
	faults(t, core)
}

func TestSecondSignalDoesNotWaitForClients(t *testing.T) {
	t.Parallel()
	e := startEdge(t, startCore(t), func(c *Config) { c.Drain = time.Hour })
	enter(t, e, "tcp", "ann") // who stays, whatever she is told
	hurry := make(chan struct{})
	close(hurry)
	began := time.Now()
	if err := e.leave(t.Context(), hurry); err == nil {
		t.Error("a hurried end should be told from an orderly one")
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
}

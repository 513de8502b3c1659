package client_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/client"
	"github.com/barrage-im/barrage/protocol/client/clienttest"
	"github.com/barrage-im/barrage/protocol/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Everything at once, by a seed that reproduces the faults: broken connections, edges that go and come back,
// moves, refusals for now, answers lost after the append, batches lost on the
// way. Afterwards every message is in its room's log once, in the order of the
// calls, and every member has seen the log.
func TestStormLosesDoublesAndReordersNothing(t *testing.T) {
	seeds := 12
	if testing.Short() {
		seeds = 4
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			bubble(t, func(t *testing.T) { storm(t, &dice{rng: rand.New(rand.NewPCG(seed, 1))}) })
		})
	}
}

// dice are thrown by the client, the service and the test.
type dice struct {
	mu  sync.Mutex // guards the field below
	rng *rand.Rand
}

func (d *dice) IntN(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rng.IntN(n)
}

func (d *dice) Float64() float64 { return float64(d.IntN(1<<20)) / (1 << 20) }

func storm(t *testing.T, rng *dice) {
	s := clienttest.New()
	s.Endpoints = []string{edgeA, edgeB}
	var calm atomic.Bool
	chance := func(n int) bool { return !calm.Load() && rng.IntN(n) == 0 }
	s.Appended = func(*wire.Publish, uint64) bool { return chance(150) }
	s.Command = func(_ string, f *wire.ClientFrame) *wire.ServerFrame {
		switch {
		case f.GetPublish() != nil && chance(60):
			code := []protocol.Code{protocol.RateLimited, protocol.Unavailable, protocol.Draining, protocol.Overloaded}[rng.IntN(4)]
			return clienttest.Refusal(&protocol.Error{Code: code, RetryAfter: int64(rng.IntN(100))})
		case f.GetJoin() != nil && chance(5):
			return clienttest.Refusal(&protocol.Error{Code: protocol.Unavailable})
		}
		return nil
	}
	s.Deliver = func(f *wire.ServerFrame) *wire.ServerFrame {
		if f.GetBatch() != nil && chance(400) {
			return nil
		}
		return f
	}
	c := dial(t, s, func(cfg *client.Config) {
		cfg.Endpoints = []string{edgeA, edgeB}
		cfg.Rand = rng.Float64
		cfg.PublishTimeout = protocol.MaxPublishTimeout
	})
	rooms := []string{"one", "two", "three"}
	var views []*seen
	var ends [3]verdicts
	for _, room := range rooms {
		_, got := join(t, c, room, client.JoinOptions{})
		views = append(views, got)
	}
	var sent [3]int
	for range 200 {
		for i, room := range rooms {
			for range rng.IntN(8) {
				if err := c.PublishAsync(room, client.Message{Text: fmt.Sprint(sent[i])}, ends[i].take); err != nil {
					t.Fatal(err)
				}
				sent[i]++
			}
		}
		switch rng.IntN(40) {
		case 0:
			s.Break()
		case 1:
			down := []string{edgeA, edgeB}[rng.IntN(2)]
			s.Up(edgeA)
			s.Up(edgeB)
			s.Down(down)
		case 2:
			for _, e := range []string{edgeA, edgeB} {
				s.Push(e, &wire.ServerFrame{Body: &wire.ServerFrame_Reconnect{Reconnect: &wire.Reconnect{WaitMaxMs: 50}}})
			}
		}
		settle(time.Duration(rng.IntN(20)) * time.Millisecond)
	}
	calm.Store(true)
	s.Up(edgeA)
	s.Up(edgeB)
	settle(58 * time.Second)
	s.Append("one", &wire.Message{Text: "end"}) // shows a hole at the end of the log
	s.Append("two", &wire.Message{Text: "end"})
	s.Append("three", &wire.Message{Text: "end"})
	settle(time.Minute)

	for i, room := range rooms {
		acks, errs := ends[i].get()
		if len(errs) != 0 || len(acks) != sent[i] {
			t.Fatalf("%s: %d sent, %d acknowledged, %v", room, sent[i], len(acks), errs)
		}
		var log, view []string
		for _, m := range s.Log(room) {
			log = append(log, m.GetText())
		}
		for n := range sent[i] {
			if n >= len(log) || log[n] != fmt.Sprint(n) {
				t.Fatalf("%s: the log is %v, want 0 to %d", room, log, sent[i]-1)
			}
		}
		views[i].add(func() {
			for _, m := range views[i].messages {
				view = append(view, m.Text)
			}
		})
		if !slices.Equal(log, view) {
			t.Fatalf("%s: the member saw %d messages %v, the log has %d", room, len(view), view, len(log))
		}
		if g := views[i].gapList(); len(g) != 0 {
			t.Fatalf("%s: gaps %v, though nothing was trimmed", room, g)
		}
	}
}

func TestCloseLeavesNoGoroutine(t *testing.T) {
	s := clienttest.New()
	for range 20 {
		c, err := client.Dial(t.Context(), client.Config{Endpoints: []string{edgeA}, Dialer: s})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Join(t.Context(), "lobby", client.JoinOptions{}, client.Events{}); err != nil {
			t.Fatal(err)
		}
		c.Reconnect()
		c.Close()
	}
	if err := goleak.Find(); err != nil {
		t.Error(err)
	}
	if left := s.Connections(); len(left) != 0 {
		t.Errorf("connections left: %v", left)
	}
}

func TestCloseFromManyGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := dial(t, clienttest.New())
		for range 3 {
			go c.Close()
		}
		c.Close()
		if !errors.Is(c.State().Err, client.ErrClosed) {
			t.Errorf("state %+v", c.State())
		}
	})
}

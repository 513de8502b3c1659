package client_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/barrage-im/barrage/protocol/client"
	"github.com/barrage-im/barrage/protocol/client/clienttest"
)

const edgeA, edgeB = "ws://a", "ws://b"

// dial connects to s, and closes the client when the test ends.
func dial(t *testing.T, s *clienttest.Server, change ...func(*client.Config)) *client.Client {
	t.Helper()
	cfg := client.Config{Endpoints: []string{edgeA}, Dialer: s, JSON: s.JSON}
	for _, f := range change {
		f(&cfg)
	}
	c, err := client.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// bubble runs body inside a synctest bubble, whose end also proves that no
// goroutine is left.
func bubble(t *testing.T, body func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, body)
}

// seen records what a room's callbacks were given.
type seen struct {
	mu       sync.Mutex // guards the fields below
	messages []client.Message
	gaps     []client.Gap
	states   []client.RoomState

	sanctions []client.Sanction
}

func (s *seen) events() client.Events {
	return client.Events{
		OnMessages: func(ms []client.Message) { s.add(func() { s.messages = append(s.messages, ms...) }) },
		OnGap:      func(g client.Gap) { s.add(func() { s.gaps = append(s.gaps, g) }) },
		OnSanction: func(x client.Sanction) { s.add(func() { s.sanctions = append(s.sanctions, x) }) },
		OnState:    func(st client.RoomState) { s.add(func() { s.states = append(s.states, st) }) },
	}
}

func (s *seen) add(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *seen) seqs() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []uint64
	for _, m := range s.messages {
		out = append(out, m.Seq)
	}
	return out
}

func (s *seen) gapList() []client.Gap {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.gaps)
}

func (s *seen) stateList() []client.RoomState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.states)
}

func join(t *testing.T, c *client.Client, room string, o client.JoinOptions) (*client.Room, *seen) {
	t.Helper()
	s := &seen{}
	r, err := c.Join(t.Context(), room, o, s.events())
	if err != nil {
		t.Fatal(err)
	}
	return r, s
}

func upTo(n uint64) []uint64 {
	var out []uint64
	for i := range n {
		out = append(out, i+1)
	}
	return out
}

func wantSeqs(t *testing.T, s *seen, want []uint64) {
	t.Helper()
	if got := s.seqs(); !slices.Equal(got, want) {
		t.Fatalf("delivered %v, want %v", got, want)
	}
}

// verdicts collects the ends of asynchronous publishes.
type verdicts struct {
	mu   sync.Mutex // guards the fields below
	acks []client.Ack
	errs []error
}

func (v *verdicts) take(a client.Ack, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		v.errs = append(v.errs, err)
		return
	}
	v.acks = append(v.acks, a)
}

func (v *verdicts) get() ([]client.Ack, []error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.acks), slices.Clone(v.errs)
}

// publishAll sends n messages named 0, 1, 2 … without waiting.
func publishAll(t *testing.T, c *client.Client, room string, n int, v *verdicts) {
	t.Helper()
	for i := range n {
		if err := c.PublishAsync(room, client.Message{Text: fmt.Sprint(i)}, v.take); err != nil {
			t.Fatal(err)
		}
	}
}

// wantLog checks that a room holds 0, 1, 2 … n-1, each once, in order.
func wantLog(t *testing.T, s *clienttest.Server, room string, n int) {
	t.Helper()
	var got, want []string
	for _, m := range s.Log(room) {
		got = append(got, m.GetText())
	}
	for i := range n {
		want = append(want, fmt.Sprint(i))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("the log holds %d messages %v, want 0 to %d in order", len(got), got, n-1)
	}
}

// settle lets d pass and everything come to rest.
func settle(d time.Duration) {
	select {
	case <-time.After(d):
	case <-context.Background().Done():
	}
	synctest.Wait()
}

package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/client"
	"github.com/barrage-im/barrage/protocol/client/clienttest"
	"github.com/barrage-im/barrage/protocol/wire"
)

func TestDialEndsWithTheTerminalError(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		s.Connect = func(string, *wire.Connect) *wire.ServerFrame {
			return clienttest.CloseFrame(protocol.CloseUnauthenticated, nil)
		}
		_, err := client.Dial(t.Context(), client.Config{Endpoints: []string{edgeA}, Dialer: s})
		if !errors.Is(err, &protocol.Error{Code: protocol.CloseUnauthenticated}) {
			t.Errorf("got %v", err)
		}
	})
}

func TestDialTriesUntilItsContextEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		s.Down(edgeA)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := client.Dial(ctx, client.Config{Endpoints: []string{edgeA}, Dialer: s})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if n := len(s.Dials()); n < 6 || n > 40 {
			t.Errorf("%d attempts in a minute; the back-off should allow about ten", n)
		}
	})
}

func TestConfigThatCannotWork(t *testing.T) {
	for _, cfg := range []client.Config{{}, {Endpoints: []string{edgeA}, PublishTimeout: 2 * time.Minute}} {
		if _, err := client.Dial(t.Context(), cfg); err == nil {
			t.Errorf("%+v should be refused", cfg)
		}
	}
}

func TestDeadEdgeIsLeftForTheNextOneAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		s.Endpoints = []string{edgeB}
		c := dial(t, s)
		s.Down(edgeA)
		settle(200 * time.Millisecond)
		if got := s.Connections(); !slices.Equal(got, []string{edgeB}) {
			t.Fatalf("connected to %v, want the endpoint learnt from the server", got)
		}
		if at := c.Session().Endpoint; at != edgeB {
			t.Errorf("session at %s", at)
		}
	})
}

func TestLearntEndpointsDoNotLoseEncryption(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		s.Endpoints = []string{edgeB}
		dial(t, s, func(cfg *client.Config) { cfg.Endpoints = []string{"wss://a"} })
		s.Down("wss://a")
		settle(time.Minute)
		if slices.Contains(s.Dials(), edgeB) {
			t.Errorf("dialled %v", s.Dials())
		}
	})
}

func TestCloseCodesSayWhereToGo(t *testing.T) {
	tests := []struct {
		code protocol.Code
		then string // endpoint, or empty for giving up
	}{
		{protocol.CloseInternal, edgeA},
		{protocol.CloseEdgeFull, edgeB},
		{protocol.CloseTokenExpired, edgeA},
		{protocol.CloseReplaced, ""},
	}
	for _, test := range tests {
		t.Run(test.code.Name(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := clienttest.New()
				n := 0
				c := dial(t, s, func(cfg *client.Config) {
					cfg.Endpoints = []string{edgeA, edgeB}
					cfg.Token = func(context.Context) (string, error) { n++; return fmt.Sprint("token", n), nil }
				})
				_, got := join(t, c, "lobby", client.JoinOptions{})
				s.Push(edgeA, clienttest.CloseFrame(test.code, nil))
				settle(time.Second)
				if test.then == "" {
					if st := c.State(); st.Phase != client.Closed || !errors.Is(st.Err, &protocol.Error{Code: test.code}) {
						t.Errorf("state %+v", st)
					}
					states := got.stateList()
					if !errors.Is(states[len(states)-1].Err, &protocol.Error{Code: test.code}) {
						t.Errorf("room states %+v", states)
					}
					if _, err := c.Publish(t.Context(), "lobby", client.Message{}); !errors.Is(err, &protocol.Error{Code: test.code}) {
						t.Errorf("publish: %v", err)
					}
					return
				}
				if at := s.Connections(); !slices.Equal(at, []string{test.then}) {
					t.Errorf("connected to %v, want %s", at, test.then)
				}
				if tokens := s.Tokens(); !slices.Equal(tokens, []string{"token1", "token2"}) {
					t.Errorf("tokens %v", tokens)
				}
			})
		})
	}
}

func TestServerSaysHowLongToWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		c := dial(t, s, func(cfg *client.Config) { cfg.Rand = func() float64 { return 0.5 } })
		s.Push(edgeA, clienttest.CloseFrame(protocol.CloseOverloaded, &wire.Reconnect{WaitMinMs: 4000, WaitMaxMs: 6000, Endpoints: []string{edgeB}}))
		synctest.Wait()
		if st := c.State(); st.Phase != client.Waiting || st.Retry != 5*time.Second {
			t.Fatalf("state %+v, want waiting 5 s", st)
		}
		settle(4999 * time.Millisecond)
		if n := len(s.Connections()); n != 0 {
			t.Fatal("connected before the wait was over")
		}
		settle(time.Millisecond)
		if at := s.Connections(); !slices.Equal(at, []string{edgeB}) {
			t.Fatalf("connected to %v", at)
		}
	})
}

func TestBackOffEndsOnlyWithAStableConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		c := dial(t, s, func(cfg *client.Config) { cfg.Rand = func() float64 { return 1 } })
		wait := func(stable time.Duration, want time.Duration) {
			t.Helper()
			settle(stable)
			c.Reconnect()
			if st := c.State(); st.Phase != client.Waiting || st.Retry != want {
				t.Fatalf("state %+v, want a wait of %v", st, want)
			}
			settle(want)
		}
		wait(time.Second, 100*time.Millisecond)
		wait(time.Second, 200*time.Millisecond)
		wait(time.Second, 400*time.Millisecond)
		wait(10*time.Second, 100*time.Millisecond)
	})
}

func TestMoveLosesNothingAndInterruptsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		var mu sync.Mutex
		var phases []client.State
		c := dial(t, s, func(cfg *client.Config) {
			cfg.OnState = func(st client.State) { mu.Lock(); defer mu.Unlock(); phases = append(phases, st) }
		})
		_, got := join(t, c, "lobby", client.JoinOptions{})
		s.Push(edgeA, &wire.ServerFrame{Body: &wire.ServerFrame_Reconnect{Reconnect: &wire.Reconnect{
			Reason: "draining", WaitMinMs: 1000, WaitMaxMs: 2000, Endpoints: []string{edgeB},
		}}})
		var v verdicts
		for i := range 300 {
			if err := c.PublishAsync("lobby", client.Message{Text: fmt.Sprint(i)}, v.take); err != nil {
				t.Fatal(err)
			}
			settle(10 * time.Millisecond)
		}
		wantSeqs(t, got, upTo(300))
		wantLog(t, s, "lobby", 300)
		if at := s.Connections(); !slices.Equal(at, []string{edgeB}) {
			t.Errorf("connected to %v", at)
		}
		for _, st := range got.stateList() {
			if !st.Joined {
				t.Errorf("the room was away: %+v", st)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if last := phases[len(phases)-1]; len(phases) != 3 || !last.Moved || last.Endpoint != edgeB {
			t.Errorf("states %+v", phases)
		}
	})
}

func TestOldConnectionThatDiesDuringAMove(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		c := dial(t, s)
		_, got := join(t, c, "lobby", client.JoinOptions{})
		s.Push(edgeA, &wire.ServerFrame{Body: &wire.ServerFrame_Reconnect{Reconnect: &wire.Reconnect{WaitMinMs: 1000, WaitMaxMs: 1000, Endpoints: []string{edgeB}}}})
		settle(500 * time.Millisecond)
		s.Down(edgeA)
		s.Append("lobby", &wire.Message{})
		settle(2 * time.Second)
		wantSeqs(t, got, upTo(1))
	})
}

func TestTokenIsRefreshedBeforeItExpires(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		s.TokenLife = 100 * time.Second
		n := 0
		dial(t, s, func(cfg *client.Config) {
			cfg.Token = func(context.Context) (string, error) { n++; return fmt.Sprint("token", n), nil }
		})
		settle(79 * time.Second)
		if got := s.Tokens(); len(got) != 1 {
			t.Fatalf("tokens %v after 79 s", got)
		}
		settle(2 * time.Second)
		if got := s.Tokens(); !slices.Equal(got, []string{"token1", "token2"}) || len(s.Dials()) != 1 {
			t.Fatalf("tokens %v after 81 s, %d connections", got, len(s.Dials()))
		}
		settle(80 * time.Second)
		if got := s.Tokens(); len(got) != 3 {
			t.Fatalf("tokens %v after 161 s", got)
		}
	})
}

func TestSilentServerIsGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		s.Heartbeat = &wire.HeartbeatPolicy{IntervalMs: 20_000, TimeoutMs: 5_000}
		acks := 0
		s.Command = func(_ string, f *wire.ClientFrame) *wire.ServerFrame {
			if f.GetHeartbeatAck() != nil {
				acks++
			}
			return nil
		}
		c := dial(t, s)
		settle(20 * time.Second)
		s.Push(edgeA, &wire.ServerFrame{Body: &wire.ServerFrame_Heartbeat{Heartbeat: &wire.Heartbeat{IntervalMs: 40_000}}})
		settle(49 * time.Second)
		if acks != 1 || len(s.Dials()) != 1 {
			t.Fatalf("%d acks, dials %v: a heartbeat is to be answered, and its interval to be trusted", acks, s.Dials())
		}
		settle(2 * time.Second)
		if len(s.Dials()) != 2 {
			t.Fatalf("dials %v after 51 s of silence, state %+v", s.Dials(), c.State())
		}
	})
}

func TestCallsSurviveABrokenConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		s.Append("lobby", &wire.Message{})
		c := dial(t, s)
		s.Down(edgeA)
		synctest.Wait()
		done := make(chan error, 1)
		go func() {
			_, err := c.History(t.Context(), "lobby", client.HistoryOptions{})
			done <- err
		}()
		settle(time.Second)
		s.Up(edgeA)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

func TestSlowMoveDoesNotHoldPublishesUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		s.Command = func(endpoint string, f *wire.ClientFrame) *wire.ServerFrame {
			if endpoint == edgeB && f.GetJoin() != nil {
				return clienttest.Refusal(&protocol.Error{Code: protocol.Unavailable})
			}
			return nil
		}
		c := dial(t, s)
		join(t, c, "lobby", client.JoinOptions{})
		s.Push(edgeA, &wire.ServerFrame{Body: &wire.ServerFrame_Reconnect{Reconnect: &wire.Reconnect{Endpoints: []string{edgeB}}}})
		settle(time.Second)
		start := time.Now()
		if _, err := c.Publish(t.Context(), "lobby", client.Message{}); err != nil || time.Since(start) != 0 {
			t.Errorf("published after %v: %v", time.Since(start), err)
		}
		if n := len(s.Connections()); n != 2 {
			t.Errorf("%d connections", n)
		}
		settle(10 * time.Second)
		if at := s.Connections(); !slices.Equal(at, []string{edgeB}) {
			t.Errorf("connected to %v: a move must end", at)
		}
	})
}

func TestNewEdgeThatDiesDuringAMove(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		s.Command = func(endpoint string, f *wire.ClientFrame) *wire.ServerFrame {
			if endpoint == edgeB && f.GetJoin().GetRoom() == "two" {
				return clienttest.Refusal(&protocol.Error{Code: protocol.Unavailable, RetryAfter: 2000})
			}
			return nil
		}
		c := dial(t, s)
		_, one := join(t, c, "one", client.JoinOptions{})
		_, two := join(t, c, "two", client.JoinOptions{})
		s.Push(edgeA, &wire.ServerFrame{Body: &wire.ServerFrame_Reconnect{Reconnect: &wire.Reconnect{Endpoints: []string{edgeB}}}})
		settle(time.Second) // room one has moved, room two has not
		for range 3 {
			s.Append("one", &wire.Message{})
			s.Append("two", &wire.Message{})
		}
		s.Down(edgeB)
		for range 3 {
			s.Append("one", &wire.Message{})
			s.Append("two", &wire.Message{})
		}
		settle(time.Minute)
		wantSeqs(t, one, upTo(6))
		wantSeqs(t, two, upTo(6))
		if states := two.stateList(); states[len(states)-1].Err != nil || !states[len(states)-1].Joined {
			t.Errorf("room two ended as %+v", states)
		}
	})
}

// An edge that refuses us for good is no reason to give up one that does not.
func TestMoveToAnEdgeThatRefuses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		s.Connect = func(endpoint string, _ *wire.Connect) *wire.ServerFrame {
			if endpoint == edgeB {
				return clienttest.CloseFrame(protocol.CloseVersion, nil)
			}
			return nil
		}
		c := dial(t, s)
		s.Push(edgeA, &wire.ServerFrame{Body: &wire.ServerFrame_Reconnect{Reconnect: &wire.Reconnect{Endpoints: []string{edgeB}}}})
		settle(time.Minute)
		if st := c.State(); st.Phase != client.Connected || st.Endpoint != edgeA {
			t.Errorf("state %+v", st)
		}
	})
}

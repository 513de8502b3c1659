package client_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/client"
	"github.com/barrage-im/barrage/protocol/client/clienttest"
	"github.com/barrage-im/barrage/protocol/wire"
)

func TestPublishIsDeliveredAndAcknowledged(t *testing.T) {
	for _, json := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			s := clienttest.New()
			s.JSON = json
			c := dial(t, s)
			r, got := join(t, c, "lobby", client.JoinOptions{})
			ack, err := r.Publish(t.Context(), client.Message{Kind: "chat", Text: "hé", Data: []byte{0, 1}})
			if err != nil {
				t.Fatal(err)
			}
			if ack.Seq != 1 || ack.Epoch != "1" || ack.Survive != "zone" || len(ack.Key) != 22 {
				t.Errorf("ack is %+v", ack)
			}
			synctest.Wait()
			wantSeqs(t, got, []uint64{1})
			if m := got.messages[0]; m.Text != "hé" || m.Kind != "chat" || string(m.Data) != "\x00\x01" || m.Sender != "anonymous" {
				t.Errorf("delivered %+v", m)
			}
			if at := r.Position(); at != (client.Position{Epoch: "1", Seq: 1}) {
				t.Errorf("position is %+v", at)
			}
		})
	}
}

func TestUnansweredPublishesAreRepeatedInOrderAndAcceptedOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		s.Appended = func(_ *wire.Publish, seq uint64) bool { return seq%137 == 0 }
		c := dial(t, s)
		var v verdicts
		publishAll(t, c, "lobby", 1000, &v)
		settle(25 * time.Second)
		wantLog(t, s, "lobby", 1000)
		acks, errs := v.get()
		if len(acks) != 1000 || len(errs) != 0 {
			t.Fatalf("%d acknowledged, errors %v", len(acks), errs)
		}
		for i, a := range acks {
			if a.Seq != uint64(i+1) {
				t.Fatalf("ack %d has seq %d", i, a.Seq)
			}
		}
	})
}

func TestTemporarilyRefusedPublishIsNotOvertaken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		refused := map[string]int{}
		s.Command = func(_ string, f *wire.ClientFrame) *wire.ServerFrame {
			p := f.GetPublish()
			if p == nil || (p.GetText() != "3" && p.GetText() != "70") || refused[p.GetText()] == 3 {
				return nil
			}
			refused[p.GetText()]++
			return clienttest.Refusal(&protocol.Error{Code: protocol.RateLimited, RetryAfter: 200})
		}
		c := dial(t, s)
		var v verdicts
		publishAll(t, c, "lobby", 200, &v)
		settle(100 * time.Millisecond)
		wantLog(t, s, "lobby", 3)
		settle(5 * time.Second)
		wantLog(t, s, "lobby", 200)
		if acks, errs := v.get(); len(acks) != 200 {
			t.Fatalf("%d acknowledged, errors %v", len(acks), errs)
		}
	})
}

func TestRefusalInOneRoomDoesNotHoldAnother(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		s.Command = func(_ string, f *wire.ClientFrame) *wire.ServerFrame {
			if f.GetPublish().GetRoom() == "slow" {
				return clienttest.Refusal(&protocol.Error{Code: protocol.SlowMode, RetryAfter: 60_000})
			}
			return nil
		}
		c := dial(t, s)
		var slow, quick verdicts
		publishAll(t, c, "slow", 10, &slow)
		publishAll(t, c, "quick", 10, &quick)
		synctest.Wait()
		wantLog(t, s, "quick", 10)
		settle(31 * time.Second)
		_, errs := slow.get()
		if len(errs) != 10 {
			t.Fatalf("%d of 10 publishes ended", len(errs))
		}
		for _, err := range errs {
			if !errors.Is(err, client.ErrNotSent) || errors.Is(err, client.ErrOutcomeUnknown) || !errors.Is(err, client.ErrTimeout) {
				t.Errorf("a publish that was only ever refused ended with %v", err)
			}
		}
	})
}

func TestPermanentRefusalIsReturnedAndTheNextGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		s.Command = func(_ string, f *wire.ClientFrame) *wire.ServerFrame {
			if f.GetPublish().GetText() == "bad" {
				return clienttest.Refusal(&protocol.Error{Code: protocol.Forbidden, Message: "not here"})
			}
			return nil
		}
		c := dial(t, s)
		var v verdicts
		for _, text := range []string{"0", "bad", "1", "bad", "2"} {
			if err := c.PublishAsync("lobby", client.Message{Text: text}, v.take); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		wantLog(t, s, "lobby", 3)
		_, errs := v.get()
		if len(errs) != 2 || !errors.Is(errs[0], &protocol.Error{Code: protocol.Forbidden}) || errors.Is(errs[0], client.ErrOutcomeUnknown) {
			t.Fatalf("errors %v", errs)
		}
	})
}

func TestTimeoutSaysWhetherTheOutcomeIsKnown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		c := dial(t, s, func(cfg *client.Config) { cfg.PublishTimeout = 5 * time.Second })
		s.Command = func(_ string, f *wire.ClientFrame) *wire.ServerFrame {
			if f.GetPublish() != nil {
				return clienttest.Refusal(&protocol.Error{Code: protocol.Timeout})
			}
			return nil
		}
		start := time.Now()
		_, err := c.Publish(t.Context(), "lobby", client.Message{Text: "sent"})
		if !errors.Is(err, client.ErrOutcomeUnknown) || !errors.Is(err, client.ErrTimeout) || time.Since(start) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		s.Down(edgeA)
		synctest.Wait()
		_, err = c.Publish(t.Context(), "lobby", client.Message{Text: "not sent"})
		if !errors.Is(err, client.ErrNotSent) || !errors.Is(err, client.ErrTimeout) || errors.Is(err, client.ErrOutcomeUnknown) {
			t.Errorf("while the edge is down: %v", err)
		}
	})
}

// A refusal that follows an attempt whose answer was lost proves nothing about
// that attempt.
func TestRefusalAfterALostAnswerLeavesTheOutcomeOpen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		banned := false
		s.Appended = func(*wire.Publish, uint64) bool { banned = true; return true }
		s.Command = func(_ string, f *wire.ClientFrame) *wire.ServerFrame {
			if banned && f.GetPublish() != nil {
				return clienttest.Refusal(&protocol.Error{Code: protocol.Forbidden})
			}
			return nil
		}
		c := dial(t, s)
		_, err := c.Publish(t.Context(), "lobby", client.Message{Text: "0"})
		if !errors.Is(err, client.ErrOutcomeUnknown) || !errors.Is(err, &protocol.Error{Code: protocol.Forbidden}) {
			t.Errorf("the publish ended with %v", err)
		}
		wantLog(t, s, "lobby", 1)
	})
}

func TestAbandonedPublishDoesNotStopTheOnesBehindIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		refuse := true
		s.Command = func(_ string, f *wire.ClientFrame) *wire.ServerFrame {
			if refuse && f.GetPublish() != nil {
				return clienttest.Refusal(&protocol.Error{Code: protocol.RateLimited, RetryAfter: 1000})
			}
			return nil
		}
		c := dial(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := c.Publish(ctx, "lobby", client.Message{Text: "given up"}); !errors.Is(err, client.ErrNotSent) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("given up with %v", err)
		}
		var v verdicts
		publishAll(t, c, "lobby", 5, &v)
		s.Do(func() { refuse = false })
		settle(3 * time.Second)
		wantLog(t, s, "lobby", 5)
	})
}

func TestMaxPendingBoundsThePublishes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		c := dial(t, s, func(cfg *client.Config) { cfg.MaxPending = 3 })
		s.Down(edgeA)
		synctest.Wait()
		var v verdicts
		publishAll(t, c, "lobby", 3, &v)
		if err := c.PublishAsync("lobby", client.Message{Text: "x"}, v.take); !errors.Is(err, client.ErrFull) {
			t.Fatalf("the fourth of three: %v", err)
		}
		done := make(chan error, 1)
		go func() {
			_, err := c.Publish(t.Context(), "lobby", client.Message{Text: "3"})
			done <- err
		}()
		settle(time.Second)
		s.Up(edgeA)
		if err := <-done; err != nil {
			t.Fatalf("Publish should have waited for room: %v", err)
		}
		wantLog(t, s, "lobby", 4)
	})
}

func TestPublishRefusesWhatCannotBeSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := dial(t, clienttest.New())
		for code, m := range map[protocol.Code]client.Message{
			protocol.TooLarge:    {Data: make([]byte, protocol.MaxMessage+1)},
			protocol.BadArgument: {Text: "\xff"},
			protocol.BadKey:      {Key: string(make([]byte, protocol.MaxKey+1))},
		} {
			if _, err := c.Publish(t.Context(), "lobby", m); !errors.Is(err, &protocol.Error{Code: code}) {
				t.Errorf("want %v, got %v", code, err)
			}
		}
	})
}

func TestCloseEndsPendingPublishes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		c := dial(t, s)
		s.Down(edgeA)
		synctest.Wait()
		var v verdicts
		publishAll(t, c, "lobby", 3, &v)
		c.Close()
		if _, errs := v.get(); len(errs) != 3 || !errors.Is(errs[0], client.ErrClosed) || !errors.Is(errs[0], client.ErrNotSent) {
			t.Fatalf("errors %v", errs)
		}
		if _, err := c.Publish(t.Context(), "lobby", client.Message{}); !errors.Is(err, client.ErrClosed) {
			t.Fatalf("after Close: %v", err)
		}
	})
}

func TestUnansweredPublishEndsWithItsOutcomeOpen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		s.Deliver = func(f *wire.ServerFrame) *wire.ServerFrame {
			if f.GetPublished() != nil {
				return nil
			}
			return f
		}
		c := dial(t, s)
		start := time.Now()
		_, err := c.Publish(t.Context(), "lobby", client.Message{Text: "0"})
		if !errors.Is(err, client.ErrOutcomeUnknown) || time.Since(start) != 30*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// A frame above the server's limit would cost the connection, for good.
func TestMessageThatOnlyItsEncodingMakesTooLarge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		s.JSON = true
		c := dial(t, s)
		_, err := c.Publish(t.Context(), "lobby", client.Message{Text: strings.Repeat("\x01", 20_000)})
		if !errors.Is(err, &protocol.Error{Code: protocol.TooLarge}) || errors.Is(err, client.ErrOutcomeUnknown) {
			t.Errorf("got %v", err)
		}
		var v verdicts
		publishAll(t, c, "lobby", 3, &v)
		synctest.Wait()
		wantLog(t, s, "lobby", 3)
	})
}

// Everything behind a refused publish is refused with it: a lane that a rate
// holds back must not send its whole queue for each message that passes.
func TestRateLimitedLaneDoesNotFloodTheServer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		var attempts int
		var last time.Time
		s.Command = func(_ string, f *wire.ClientFrame) *wire.ServerFrame {
			if f.GetPublish() == nil {
				return nil
			}
			attempts++
			if since := time.Since(last); since < 100*time.Millisecond {
				return clienttest.Refusal(&protocol.Error{Code: protocol.RateLimited, RetryAfter: (100*time.Millisecond - since).Milliseconds()})
			}
			return nil
		}
		s.Appended = func(*wire.Publish, uint64) bool { last = time.Now(); return false }
		c := dial(t, s, func(cfg *client.Config) { cfg.PublishTimeout = protocol.MaxPublishTimeout })
		var v verdicts
		publishAll(t, c, "lobby", 250, &v)
		settle(50 * time.Second)
		wantLog(t, s, "lobby", 250)
		s.Do(func() {
			if attempts > 250+2*250+250 { // the first window, then at most two for each
				t.Errorf("%d attempts for 250 messages", attempts)
			}
			if refused := uint64(attempts - 250); c.RateLimited() == 0 || c.RateLimited() > refused {
				t.Errorf("RateLimited says %d of %d refusals", c.RateLimited(), refused)
			}
		})
	})
}

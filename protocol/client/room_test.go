package client_test

import (
	"context"
	"errors"
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

func TestJoinBeginsWithTheRecentMessages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		for range 10 {
			s.Append("lobby", &wire.Message{})
		}
		c := dial(t, s)
		_, got := join(t, c, "lobby", client.JoinOptions{Recent: 3})
		s.Append("lobby", &wire.Message{})
		synctest.Wait()
		wantSeqs(t, got, []uint64{8, 9, 10, 11})
		if len(got.gapList()) != 0 {
			t.Errorf("gaps %v", got.gapList())
		}
	})
}

func TestJoinContinuesAfterAPosition(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		for range 10 {
			s.Append("lobby", &wire.Message{})
		}
		c := dial(t, s)
		_, got := join(t, c, "lobby", client.JoinOptions{Since: &client.Position{Epoch: "1", Seq: 4}})
		synctest.Wait()
		wantSeqs(t, got, []uint64{5, 6, 7, 8, 9, 10})
	})
}

func TestEveryMessageArrivesOnceAcrossBrokenConnections(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		c := dial(t, s)
		_, got := join(t, c, "lobby", client.JoinOptions{})
		for i := range 50 {
			s.Append("lobby", &wire.Message{})
			if i%10 == 5 {
				s.Break()
				s.Append("lobby", &wire.Message{})
				settle(15 * time.Second)
			}
		}
		synctest.Wait()
		wantSeqs(t, got, upTo(55))
		states := got.stateList()
		if len(states) != 11 || states[1].Joined || !states[2].Joined || !states[2].Recovered || states[2].Missed != 0 {
			t.Errorf("states %+v", states)
		}
	})
}

func TestTrimmedMessagesAreNamedByAGap(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		c := dial(t, s)
		_, got := join(t, c, "lobby", client.JoinOptions{})
		s.Append("lobby", &wire.Message{})
		synctest.Wait()
		s.Down(edgeA)
		for range 9 {
			s.Append("lobby", &wire.Message{})
		}
		s.Trim("lobby", 6)
		s.Up(edgeA)
		settle(time.Minute)
		wantSeqs(t, got, []uint64{1, 6, 7, 8, 9, 10})
		if want := []client.Gap{{First: 2, Last: 5, Reason: "trimmed", Epoch: "1"}}; !slices.Equal(got.gapList(), want) {
			t.Errorf("gaps %v, want %v", got.gapList(), want)
		}
		if states := got.stateList(); states[len(states)-1].Missed != 4 {
			t.Errorf("states %+v", states)
		}
	})
}

func TestNewEpochIsAnnouncedAndFollowed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		c := dial(t, s)
		r, got := join(t, c, "lobby", client.JoinOptions{})
		for range 3 {
			s.Append("lobby", &wire.Message{})
		}
		synctest.Wait()
		s.Down(edgeA)
		s.Renew("lobby", "2")
		s.Append("lobby", &wire.Message{})
		s.Up(edgeA)
		settle(time.Minute)
		s.Append("lobby", &wire.Message{})
		synctest.Wait()
		wantSeqs(t, got, []uint64{1, 2, 3, 2})
		gaps := got.gapList()
		if len(gaps) != 1 || gaps[0] != (client.Gap{First: 1, Last: 1, Reason: "epoch", Epoch: "2", Was: "1"}) {
			t.Errorf("gaps %+v", gaps)
		}
		if r.Position() != (client.Position{Epoch: "2", Seq: 2}) {
			t.Errorf("position %+v", r.Position())
		}
	})
}

func TestUnexplainedHoleIsNeverSkipped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		dropped := false
		s.Deliver = func(f *wire.ServerFrame) *wire.ServerFrame {
			if ms := f.GetBatch().GetMessages(); len(ms) > 0 && ms[0].GetSeq() == 5 && !dropped {
				dropped = true
				return nil
			}
			return f
		}
		c := dial(t, s)
		_, got := join(t, c, "lobby", client.JoinOptions{})
		for range 10 {
			s.Append("lobby", &wire.Message{})
		}
		settle(time.Second)
		wantSeqs(t, got, upTo(10))
		if dials := s.Dials(); len(dials) != 2 {
			t.Errorf("dialled %v: the hole should have cost the connection", dials)
		}
	})
}

func TestGapPushExplainsAHole(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		s.Deliver = func(f *wire.ServerFrame) *wire.ServerFrame {
			if ms := f.GetBatch().GetMessages(); len(ms) > 0 && ms[0].GetSeq() == 2 {
				return &wire.ServerFrame{Body: &wire.ServerFrame_Gap{Gap: &wire.Gap{Room: "lobby", First: 2, Last: 2, Reason: "slow", Epoch: "1"}}}
			}
			return f
		}
		c := dial(t, s)
		r, got := join(t, c, "lobby", client.JoinOptions{})
		for range 3 {
			s.Append("lobby", &wire.Message{})
		}
		synctest.Wait()
		wantSeqs(t, got, []uint64{1, 3})
		if g := got.gapList(); len(g) != 1 || g[0].First != 2 || g[0].Last != 2 || g[0].Reason != "slow" {
			t.Errorf("gaps %v", g)
		}
		if r.Position().Seq != 3 || len(s.Dials()) != 1 {
			t.Errorf("position %v, dials %v", r.Position(), s.Dials())
		}
	})
}

func TestLaggingEdgeIsWaitedFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		late := 0
		s.Command = func(_ string, f *wire.ClientFrame) *wire.ServerFrame {
			if f.GetJoin() != nil && f.GetJoin().Since != nil && late < 3 {
				late++
				return clienttest.Refusal(&protocol.Error{Code: protocol.Future, Head: 1})
			}
			return nil
		}
		c := dial(t, s)
		_, got := join(t, c, "lobby", client.JoinOptions{})
		s.Append("lobby", &wire.Message{})
		synctest.Wait()
		s.Break()
		s.Append("lobby", &wire.Message{})
		settle(5 * time.Second)
		wantSeqs(t, got, upTo(2))
		if late != 3 || len(got.gapList()) != 0 {
			t.Errorf("%d refusals, gaps %v", late, got.gapList())
		}
	})
}

func TestRoomThatMayNotBeJoined(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		forbid := true
		s.Command = func(_ string, f *wire.ClientFrame) *wire.ServerFrame {
			if f.GetJoin() != nil && forbid {
				return clienttest.Refusal(&protocol.Error{Code: protocol.Forbidden})
			}
			return nil
		}
		c := dial(t, s)
		if _, err := c.Join(t.Context(), "lobby", client.JoinOptions{}, client.Events{}); !errors.Is(err, &protocol.Error{Code: protocol.Forbidden}) {
			t.Fatalf("join: %v", err)
		}
		s.Do(func() { forbid = false })
		_, got := join(t, c, "lobby", client.JoinOptions{})
		if _, err := c.Join(t.Context(), "lobby", client.JoinOptions{}, client.Events{}); !errors.Is(err, &protocol.Error{Code: protocol.AlreadyJoined}) {
			t.Fatalf("second join: %v", err)
		}
		s.Do(func() { forbid = true })
		s.Break()
		settle(time.Second)
		states := got.stateList()
		if last := states[len(states)-1]; last.Joined || !errors.Is(last.Err, &protocol.Error{Code: protocol.Forbidden}) {
			t.Errorf("states %+v", states)
		}
	})
}

func TestLeaveStopsTheCallbacks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		c := dial(t, s)
		r, got := join(t, c, "lobby", client.JoinOptions{})
		if err := r.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.Append("lobby", &wire.Message{})
		synctest.Wait()
		wantSeqs(t, got, nil)
		_, again := join(t, c, "lobby", client.JoinOptions{Recent: 10})
		synctest.Wait()
		wantSeqs(t, again, upTo(1))
	})
}

func TestHistoryAndMembers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		for range 10 {
			s.Append("lobby", &wire.Message{})
		}
		c := dial(t, s)
		r, _ := join(t, c, "lobby", client.JoinOptions{})
		page, err := r.History(t.Context(), client.HistoryOptions{Limit: 4, Reverse: true})
		if err != nil || len(page.Messages) != 4 || page.Messages[0].Seq != 7 || !page.More || page.Head != 10 {
			t.Errorf("page %+v, %v", page, err)
		}
		members, err := r.Members(t.Context(), "", 10)
		if err != nil || members.Total != 1 || members.Members[0].User != "anonymous" {
			t.Errorf("members %+v, %v", members, err)
		}
		if _, err := c.Ping(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A callback that takes its time stops the reading, and loses nothing.
func TestSlowCallbackStopsTheReading(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		s.Heartbeat = &wire.HeartbeatPolicy{IntervalMs: 10_000, TimeoutMs: 5_000}
		c := dial(t, s)
		goOn := make(chan struct{})
		var once sync.Once
		var n int
		_, err := c.Join(t.Context(), "lobby", client.JoinOptions{}, client.Events{OnMessages: func(ms []client.Message) {
			once.Do(func() { <-goOn })
			n += len(ms)
		}})
		if err != nil {
			t.Fatal(err)
		}
		for range 400 {
			s.Append("lobby", &wire.Message{Data: make([]byte, 32<<10)})
			synctest.Wait()
		}
		if waiting := s.Unread(); waiting < 7<<20 {
			t.Errorf("%d bytes were left unread of 12.5 MiB; about 8 should be", waiting)
		}
		settle(time.Minute) // longer than the silence that would end the connection
		close(goOn)
		synctest.Wait()
		if n != 400 || len(s.Dials()) != 1 {
			t.Errorf("%d messages, dials %v", n, s.Dials())
		}
	})
}

func TestRepeatedMessageIsDropped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		var before []*wire.Message
		s.Deliver = func(f *wire.ServerFrame) *wire.ServerFrame {
			if b := f.GetBatch(); b != nil {
				before = append(before, b.GetMessages()...)
				b.Messages = before
			}
			return f
		}
		c := dial(t, s)
		_, got := join(t, c, "lobby", client.JoinOptions{})
		for range 4 {
			s.Append("lobby", &wire.Message{})
		}
		synctest.Wait()
		wantSeqs(t, got, upTo(4))
		if len(s.Dials()) != 1 {
			t.Errorf("dials %v: a repeated message is no reason to reconnect", s.Dials())
		}
	})
}

// An edge does not let a room be left that is still being joined.
func TestJoinGivenUpIsLeftLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := clienttest.New()
		var slow uint64 // id of the join that is answered late
		joined := map[string]bool{}
		s.Command = func(_ string, f *wire.ClientFrame) *wire.ServerFrame {
			switch {
			case f.GetJoin() != nil && slow == 0:
				slow = f.GetId()
				return &wire.ServerFrame{} // dropped by Deliver
			case f.GetJoin() != nil && joined["lobby"]:
				return clienttest.Refusal(&protocol.Error{Code: protocol.AlreadyJoined})
			case f.GetLeave() != nil && !joined["lobby"]:
				return clienttest.Refusal(&protocol.Error{Code: protocol.NotJoined})
			case f.GetLeave() != nil:
				joined["lobby"] = false
			}
			return nil
		}
		s.Deliver = func(f *wire.ServerFrame) *wire.ServerFrame {
			if f.GetBody() == nil {
				return nil
			}
			return f
		}
		c := dial(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Join(ctx, "lobby", client.JoinOptions{}, client.Events{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("join: %v", err)
		}
		synctest.Wait()
		s.Do(func() { joined["lobby"] = true })
		s.Push(edgeA, &wire.ServerFrame{Id: slow, Body: &wire.ServerFrame_Joined{Joined: &wire.Joined{Room: "lobby", Epoch: "1"}}})
		_, got := join(t, c, "lobby", client.JoinOptions{})
		s.Append("lobby", &wire.Message{})
		synctest.Wait()
		wantSeqs(t, got, upTo(1))
	})
}

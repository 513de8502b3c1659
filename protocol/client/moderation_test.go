package client_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/client"
	"github.com/barrage-im/barrage/protocol/client/clienttest"
	"github.com/barrage-im/barrage/protocol/wire"
)

func as(user string) func(*client.Config) {
	return func(c *client.Config) {
		c.Token = func(context.Context) (string, error) { return user, nil }
	}
}

// both runs body over both encodings, with mia as the only moderator.
func both(t *testing.T, body func(t *testing.T, s *clienttest.Server)) {
	t.Helper()
	for _, json := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			s := clienttest.New()
			s.JSON = json
			s.Role = func(user, _ string) string {
				if user == "mia" {
					return protocol.RoleModerator
				}
				return protocol.RoleMember
			}
			body(t, s)
		})
	}
}

func TestRetractionsAndTombstones(t *testing.T) {
	both(t, func(t *testing.T, s *clienttest.Server) {
		mia, ann := dial(t, s, as("mia")), dial(t, s, as("ann"))
		room, _ := join(t, mia, "lobby", client.JoinOptions{})
		_, got := join(t, ann, "lobby", client.JoinOptions{})
		s.Append("lobby", &wire.Message{Sender: "eve", Text: "rude"})
		s.Append("lobby", &wire.Message{Gone: protocol.GoneWithheld})
		seq, err := room.Retract(t.Context(), 1, "be kind")
		if err != nil || seq != 3 {
			t.Fatalf("retracted by %d, %v", seq, err)
		}
		synctest.Wait()
		ms := got.messages
		if len(ms) != 3 || ms[0].Text != "rude" || ms[1].Gone != protocol.GoneWithheld || ms[2].Retracts != 1 || ms[2].Text != "be kind" || ms[2].Sender != "mia" {
			t.Errorf("delivered %+v", ms)
		}
		page, err := ann.History(t.Context(), "lobby", client.HistoryOptions{})
		if err != nil || page.Messages[0].Gone != protocol.GoneRetracted || page.Messages[0].Text != "" || page.Messages[0].Sender != "eve" {
			t.Errorf("history %+v, %v", page, err)
		}
	})
}

func TestMuteIsToldAndRefusesPublishes(t *testing.T) {
	both(t, func(t *testing.T, s *clienttest.Server) {
		mia, ann := dial(t, s, as("mia")), dial(t, s, as("ann"))
		room, moderators := join(t, mia, "lobby", client.JoinOptions{})
		_, got := join(t, ann, "lobby", client.JoinOptions{})
		end, err := room.Mute(t.Context(), "ann", time.Minute, "spam")
		if err != nil || !end.Equal(time.Now().Add(time.Minute).Truncate(time.Millisecond)) {
			t.Fatalf("muted until %v, %v", end, err)
		}
		synctest.Wait()
		if len(got.sanctions) != 1 || got.sanctions[0].Action != protocol.Mute || got.sanctions[0].Reason != "spam" || !got.sanctions[0].Until.Equal(end) {
			t.Errorf("told %+v", got.sanctions)
		}
		if _, err := ann.Publish(t.Context(), "lobby", client.Message{Text: "hi"}); !errors.Is(err, &protocol.Error{Code: protocol.Muted}) {
			t.Errorf("published while muted: %v", err)
		}
		if err := room.Unmute(t.Context(), "ann"); err != nil {
			t.Fatal(err)
		}
		if _, err := ann.Publish(t.Context(), "lobby", client.Message{Text: "hi"}); err != nil {
			t.Errorf("after unmute: %v", err)
		}
		if err := room.Slow(t.Context(), 5*time.Second); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		states := got.stateList()
		if last := states[len(states)-1]; last.SlowMode != 5*time.Second || last.Role != protocol.RoleMember {
			t.Errorf("state %+v", last)
		}
		if first := moderators.stateList()[0]; first.Role != protocol.RoleModerator {
			t.Errorf("the moderator's state %+v", first)
		}
	})
}

func TestABanEndsTheRoom(t *testing.T) {
	both(t, func(t *testing.T, s *clienttest.Server) {
		mia, eve := dial(t, s, as("mia")), dial(t, s, as("eve"))
		room, _ := join(t, mia, "lobby", client.JoinOptions{})
		was, got := join(t, eve, "lobby", client.JoinOptions{})
		if end, err := room.Ban(t.Context(), "eve", 0, "enough"); err != nil || !end.IsZero() {
			t.Fatalf("banned until %v, %v", end, err)
		}
		s.Append("lobby", &wire.Message{Text: "later"})
		settle(time.Minute)
		states := got.stateList()
		if last := states[len(states)-1]; !errors.Is(last.Err, &protocol.Error{Code: protocol.Banned}) || len(got.messages) != 0 {
			t.Errorf("state %+v, messages %v", last, got.messages)
		}
		if len(got.sanctions) != 1 || got.sanctions[0].Action != protocol.Ban {
			t.Errorf("told %+v", got.sanctions)
		}
		if err := was.Leave(t.Context()); err != nil {
			t.Errorf("leaving what one was banned from: %v", err)
		}
		if _, err := eve.Join(t.Context(), "lobby", client.JoinOptions{}, client.Events{}); !errors.Is(err, &protocol.Error{Code: protocol.Banned}) {
			t.Errorf("joined: %v", err)
		}
		if err := room.Unban(t.Context(), "eve"); err != nil {
			t.Fatal(err)
		}
		join(t, eve, "lobby", client.JoinOptions{})
	})
}

// A ban while the connection is away is learnt from the join that is refused.
func TestABanWhileAway(t *testing.T) {
	both(t, func(t *testing.T, s *clienttest.Server) {
		mia := dial(t, s, as("mia"), func(c *client.Config) { c.Endpoints = []string{edgeB} })
		room, _ := join(t, mia, "lobby", client.JoinOptions{})
		eve := dial(t, s, as("eve"))
		_, got := join(t, eve, "lobby", client.JoinOptions{})
		s.Down(edgeA)
		synctest.Wait()
		if _, err := room.Ban(t.Context(), "eve", 0, ""); err != nil {
			t.Fatal(err)
		}
		s.Up(edgeA)
		settle(time.Minute)
		states := got.stateList()
		if last := states[len(states)-1]; !errors.Is(last.Err, &protocol.Error{Code: protocol.Banned}) {
			t.Errorf("state %+v", last)
		}
	})
}

func TestApproveAndRefusals(t *testing.T) {
	both(t, func(t *testing.T, s *clienttest.Server) {
		mia, ann := dial(t, s, as("mia")), dial(t, s, as("ann"))
		room, _ := join(t, mia, "lobby", client.JoinOptions{})
		mine, _ := join(t, ann, "lobby", client.JoinOptions{})
		held := s.Append(protocol.FeedRoom("lobby"), &wire.Message{Sender: "ann", Kind: protocol.KindHeld, Text: "odd but fine"})
		if seq, err := room.Approve(t.Context(), held); err != nil || seq != 1 {
			t.Errorf("approved as %d, %v", seq, err)
		}
		if log := s.Log("lobby"); len(log) != 1 || log[0].GetSender() != "ann" || log[0].GetText() != "odd but fine" {
			t.Errorf("the room holds %v", log)
		}
		if _, err := mine.Retract(t.Context(), 1, ""); !errors.Is(err, &protocol.Error{Code: protocol.Forbidden}) {
			t.Errorf("a member retracts: %v", err)
		}
		if _, err := room.Mute(t.Context(), "", 0, ""); !errors.Is(err, &protocol.Error{Code: protocol.BadArgument}) {
			t.Errorf("nobody is muted: %v", err)
		}
	})
}

func TestAMaskedPublishSaysSo(t *testing.T) {
	both(t, func(t *testing.T, s *clienttest.Server) {
		s.Command = func(_ string, f *wire.ClientFrame) *wire.ServerFrame {
			if f.GetPublish() == nil {
				return nil
			}
			return &wire.ServerFrame{Body: &wire.ServerFrame_Published{Published: &wire.Published{
				Room: "lobby", Seq: 7, Epoch: "1", Verdict: protocol.VerdictMask, Text: "what a **** day",
			}}}
		}
		ack, err := dial(t, s).Publish(t.Context(), "lobby", client.Message{Text: "what a damn day"})
		if err != nil || ack.Seq != 7 || ack.Verdict != protocol.VerdictMask || ack.Text != "what a **** day" {
			t.Errorf("acknowledged %+v, %v", ack, err)
		}
	})
}

package upstream

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

var t0 = time.Unix(1_700_000_000, 0)

func opened(t testing.TB) *lane {
	t.Helper()
	l := newLane(1, t0)
	l.restart([]byte("lease"), t0)
	return l
}

func push(l *lane, room, key string) *protocol.Error {
	return l.push(&op{kind: opPublish, room: room, data: []byte(key), publish: Publish{Room: room, Owner: named(key)}})
}

// named is the owner of a publish by its key.
type named string

func (named) Answered(*Publish, *rpc.Result) {}
func (named) Flush()                         {}

func key(a answer) string { return string(a.publish.Owner.(named)) }

func mustPush(t *testing.T, l *lane, room, key string) {
	t.Helper()
	if err := push(l, room, key); err != nil {
		t.Fatalf("push %s: %v", key, err)
	}
}

// sends says what take gives at now.
func sends(l *lane, now time.Time) string {
	p, _ := l.take(now)
	if p == nil {
		return "-"
	}
	words := []string{fmt.Sprintf("%d/%d:", p.GetGeneration(), p.GetFirst())}
	for _, c := range unpack(p) {
		var command rpc.Command
		if proto.Unmarshal(c, &command) == nil && command.GetRelease() != nil {
			words = append(words, "release")
			continue
		}
		words = append(words, string(c))
	}
	return strings.Join(words, " ")
}

func unpack(p *rpc.Proposal) (commands [][]byte) {
	for rest := p.GetCommands(); len(rest) > 0; {
		c, after, ok := rpc.NextCommand(rest)
		if !ok {
			panic("the commands of a proposal cannot be told apart")
		}
		commands, rest = append(commands, c), after
	}
	return commands
}

func answers(l *lane, first uint64, codes ...protocol.Code) string {
	r := &rpc.ProposalResults{Shard: 1, Generation: l.generation, First: first}
	for _, c := range codes {
		r.Results = append(r.Results, &rpc.Result{Code: uint32(c)})
	}
	got, _ := l.results(r, t0)
	var words []string
	for _, a := range got {
		words = append(words, key(a)+"="+protocol.Code(a.result.GetCode()).Name())
	}
	return strings.Join(words, " ")
}

func want(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestGenerationBeginsWithLeaseThenWhatIsUnanswered(t *testing.T) {
	l := opened(t)
	mustPush(t, l, "r", "a")
	mustPush(t, l, "r", "b")
	want(t, sends(l, t0), "1/1: lease a b")
	want(t, answers(l, 1, protocol.OK, protocol.OK), "a=ok")
	mustPush(t, l, "r", "c")
	l.stop(time.Time{}, t0)
	want(t, sends(l, t0), "-")
	mustPush(t, l, "r", "d")
	l.restart([]byte("lease"), t0)
	want(t, sends(l, t0), "2/1: lease b c d")
}

func TestAnswersOfAnotherGenerationOrPlaceAreIgnored(t *testing.T) {
	l := opened(t)
	mustPush(t, l, "r", "a")
	sends(l, t0)
	old := &rpc.ProposalResults{Generation: 0, First: 1, Results: []*rpc.Result{{}, {}}}
	if got, _ := l.results(old, t0); len(got) > 0 {
		t.Error("an older generation was believed")
	}
	want(t, answers(l, 2, protocol.OK), "")
	want(t, answers(l, 1, protocol.OK, protocol.OK, protocol.OK), "") // more than was sent
	want(t, answers(l, 1, protocol.OK, protocol.OK), "a=ok")
}

func TestReleaseFollowsTheLastRefusal(t *testing.T) {
	l := opened(t)
	mustPush(t, l, "r", "a")
	mustPush(t, l, "other", "x")
	sends(l, t0)
	mustPush(t, l, "r", "b")
	want(t, answers(l, 1, protocol.OK, protocol.RateLimited), "a=rate_limited")
	l.told()
	if err := push(l, "r", "c"); err == nil || !err.Code.Temporary() {
		t.Errorf("held room took a publish: %v", err)
	}
	if err := push(l, "other", "y"); err != nil {
		t.Errorf("another room: %v", err)
	}
	want(t, sends(l, t0), "1/4: b y")
	want(t, answers(l, 3, protocol.OK, protocol.OutOfOrder), "x=ok b=out_of_order")
	if push(l, "r", "c") == nil {
		t.Error("the room went on before the owners knew")
	}
	l.told()
	if err := push(l, "r", "c"); err != nil {
		t.Errorf("after the last refusal: %v", err)
	}
	want(t, sends(l, t0), "1/6: release c")
}

func TestUnsentPublishesExpireAndSentOnesDoNot(t *testing.T) {
	l := opened(t)
	mustPush(t, l, "r", "sent")
	sends(l, t0)
	p := Publish{Room: "r", Owner: named("late"), DeadlineMS: t0.UnixMilli() + 10}
	_ = l.push(&op{kind: opPublish, room: "r", data: []byte("late"), publish: p})
	mustPush(t, l, "r", "kept")
	l.stop(time.Time{}, t0)
	if got := l.expire(t0.Add(20*time.Millisecond), time.Second); len(got) != 1 || key(got[0]) != "late" {
		t.Errorf("expired: %v", got)
	}
	if got := l.expire(t0.Add(2*time.Second), time.Second); len(got) != 1 || key(got[0]) != "kept" {
		t.Errorf("given up: %v", got)
	}
	l.told()
	l.restart([]byte("lease"), t0)
	want(t, sends(l, t0), "2/1: lease sent")
}

func TestProposalsWaitToBeFilledOnlyWhileOthersAreInFlight(t *testing.T) {
	l := opened(t)
	mustPush(t, l, "r", "a")
	want(t, sends(l, t0), "1/1: lease a")
	mustPush(t, l, "r", "b")
	want(t, sends(l, t0), "1/3: b")
	mustPush(t, l, "r", "c")
	p, again := l.take(t0)
	if p != nil || !again.Equal(t0.Add(fillTime)) {
		t.Fatalf("took %v, again at %v", p, again)
	}
	mustPush(t, l, "r", "d")
	want(t, sends(l, t0.Add(fillTime)), "1/4: c d")
}

func TestLaneIsBounded(t *testing.T) {
	l := opened(t)
	n := 0
	for ; n < 2*maxLaneCommands && push(l, "r", "k") == nil; n++ {
	}
	if n > maxLaneCommands {
		t.Errorf("%d publishes were taken", n)
	}
}

// Whatever breaks in between, every publish is answered once, in the order of
// its room, and bytes and counts return to nothing.
func TestEveryPublishIsAnsweredOnceInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLane(1, t0)
		l.restart([]byte("lease"), t0)
		now := t0
		var pushed, answered []string
		var flight []*rpc.Proposal
		next := 0
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				key := fmt.Sprint(next)
				next++
				if push(l, "r", key) == nil {
					pushed = append(pushed, key)
				}
			},
			"send": func(*rapid.T) {
				now = now.Add(fillTime)
				if p, _ := l.take(now); p != nil {
					flight = append(flight, p)
				}
			},
			"answer": func(t *rapid.T) {
				if len(flight) == 0 {
					t.Skip("nothing in flight")
				}
				p := flight[0]
				flight = flight[1:]
				r := &rpc.ProposalResults{Generation: p.GetGeneration(), First: p.GetFirst(), Results: make([]*rpc.Result, len(unpack(p)))}
				for i := range r.Results {
					r.Results[i] = &rpc.Result{}
				}
				got, _ := l.results(r, now)
				for _, a := range got {
					answered = append(answered, key(a))
				}
			},
			"break": func(*rapid.T) {
				l.stop(time.Time{}, now)
				l.restart([]byte("lease"), now) // flight stays: late answers must be ignored
			},
			"": func(t *rapid.T) {
				if len(answered) > len(pushed) || strings.Join(answered, " ") != strings.Join(pushed[:len(answered)], " ") {
					t.Fatalf("pushed %v, answered %v", pushed, answered)
				}
				if len(l.queue) == 0 && l.bytes != 0 || l.sent > len(l.queue) {
					t.Fatalf("%d bytes and %d sent of %d", l.bytes, l.sent, len(l.queue))
				}
			},
		})
	})
}

// A moderator's command stands among the publishes, is sent again in its place,
// and is answered once; what was never sent is answered when its time is over.
func TestModerationGoesWithThePublishes(t *testing.T) {
	l := opened(t)
	var got []protocol.Code
	moderate := func(what string, deadline int64) {
		t.Helper()
		err := l.push(&op{kind: opModerate, room: "r", data: []byte(what), deadline: deadline, done: func(r *rpc.Result) {
			got = append(got, protocol.Code(r.GetCode()))
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	mustPush(t, l, "r", "a")
	moderate("mute", 0)
	mustPush(t, l, "r", "b")
	want(t, sends(l, t0), "1/1: lease a mute b")
	l.restart([]byte("lease"), t0)
	want(t, sends(l, t0), "2/1: lease a mute b")
	refused := &rpc.Result{Code: uint32(protocol.RateLimited)} // holds publishes back, not moderation
	answers, _ := l.results(&rpc.ProposalResults{Shard: 1, Generation: 2, First: 1, Results: []*rpc.Result{{}, refused, {Code: uint32(protocol.Forbidden)}}}, t0)
	deliver(answers)
	moderate("ban", t0.UnixMilli()+10)
	moderate("slow", 0)
	if len(answers) != 2 || len(got) != 1 || got[0] != protocol.Forbidden {
		t.Fatalf("answers %v, told %v", answers, got)
	}
	l.stop(time.Time{}, t0)
	deliver(l.expire(t0.Add(20*time.Millisecond), time.Second))
	deliver(l.expire(t0.Add(2*time.Second), time.Second))
	deliver(l.expire(t0.Add(3*time.Second), time.Second))
	if fmt.Sprint(got) != "[forbidden expired unavailable]" {
		t.Errorf("told %v", got)
	}
	if l.dropping {
		t.Error("publishes are held back for a command that was given up")
	}
}

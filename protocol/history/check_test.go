package history_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/barrage-im/barrage/protocol/history"
)

// run makes a history without faults: publishers take turns, every reader gets
// every message, and the log is read at the end.
func run(messages, publishers, readers int) []history.Event {
	var h []history.Event
	at := int64(0)
	add := func(e history.Event) {
		at++
		e.At, e.Room = at, "lobby"
		if e.Seq != 0 || e.Kind == history.Log {
			e.Epoch = "a"
		}
		h = append(h, e)
	}
	for i := range messages {
		id, client := fmt.Sprintf("m%d", i+1), fmt.Sprintf("p%d", i%publishers)
		add(history.Event{Kind: history.Send, Client: client, ID: id})
		add(history.Event{Kind: history.Ack, Client: client, ID: id, Seq: uint64(i + 1)})
		for n := range readers {
			add(history.Event{Kind: history.Deliver, Client: fmt.Sprintf("r%d", n), ID: id, Seq: uint64(i + 1)})
		}
	}
	for n := range readers {
		add(history.Event{Kind: history.End, Client: fmt.Sprintf("r%d", n)})
	}
	add(history.Event{Kind: history.Log, First: 1, Last: uint64(messages)})
	for i := range messages {
		add(history.Event{Kind: history.Final, ID: fmt.Sprintf("m%d", i+1), Seq: uint64(i + 1)})
	}
	return h
}

// find is the index of an event.
func find(t *testing.T, h []history.Event, kind history.Kind, client string, seq uint64) int {
	t.Helper()
	i := slices.IndexFunc(h, func(e history.Event) bool {
		return e.Kind == kind && (client == "" || e.Client == client) && e.Seq == seq
	})
	if i < 0 {
		t.Fatalf("no %s of %d by %q", kind, seq, client)
	}
	return i
}

func remove(h []history.Event, i int) []history.Event { return slices.Delete(h, i, i+1) }

func TestFaultlessHistoryPasses(t *testing.T) {
	h := run(100, 3, 4)
	report := history.Check(h)
	if !report.OK() {
		t.Fatal(report)
	}
	if undecided := history.CheckLinearizable(h, 10*time.Second, report); len(undecided) != 0 || !report.OK() {
		t.Fatalf("undecided %v: %v", undecided, report)
	}
	if report.Sends != 100 || report.Acks != 100 || report.Deliveries != 400 || report.Logged != 100 || report.Rooms != 1 {
		t.Errorf("counted wrongly: %v", report)
	}
}

func TestWhatIsAllowedPasses(t *testing.T) {
	e := func(kind history.Kind, client, id string, seq uint64) history.Event {
		return history.Event{Kind: kind, Client: client, ID: id, Seq: seq, Epoch: "a"}
	}
	histories := map[string][]history.Event{
		"a gap that is named": {
			e(history.Deliver, "r", "m1", 1),
			{Kind: history.Gap, Client: "r", Epoch: "a", First: 2, Last: 4, Reason: "slow"},
			e(history.Deliver, "r", "m5", 5),
		},
		"a new epoch that is announced": {
			e(history.Deliver, "r", "m1", 7),
			{Kind: history.Gap, Client: "r", Epoch: "b", First: 1, Last: 0, Reason: "epoch"},
			{Kind: history.Deliver, Client: "r", ID: "m2", Epoch: "b", Seq: 1},
		},
		"an unknown outcome, in the log": {
			e(history.Send, "p", "m1", 0), e(history.Unknown, "p", "m1", 0),
			{Kind: history.Log, Epoch: "a", First: 1, Last: 1},
			e(history.Final, "", "m1", 1),
		},
		"an unknown outcome, not in the log": {
			e(history.Send, "p", "m1", 0), e(history.Unknown, "p", "m1", 0), {Kind: history.Log, Epoch: "a"},
		},
		"a reader that leaves and joins at the head": {
			e(history.Deliver, "r", "m1", 1), e(history.Join, "r", "", 0), e(history.Deliver, "r", "m9", 9),
		},
		"an acknowledged message that was trimmed": {
			e(history.Send, "p", "m1", 0), e(history.Ack, "p", "m1", 1), e(history.Send, "p", "m2", 0), e(history.Ack, "p", "m2", 2),
			{Kind: history.Log, Epoch: "a", First: 2, Last: 2},
			e(history.Final, "", "m2", 2),
		},
		"a message sent again by the application": {
			e(history.Send, "p", "m1", 0), e(history.Unknown, "p", "m1", 0), e(history.Send, "p", "m2", 0), e(history.Ack, "p", "m2", 1),
			e(history.Send, "p", "m1", 0), e(history.Ack, "p", "m1", 2),
		},
	}
	for name, h := range histories {
		for i := range h {
			h[i].At, h[i].Room = int64(i), "lobby"
		}
		if report := history.Check(h); !report.OK() {
			t.Errorf("%s: %v", name, report)
		}
	}
}

// The planted bugs: what a broken implementation would have left behind, and
// the promise that must be reported as broken.
func TestPlantedBugsAreCaught(t *testing.T) {
	bugs := []struct {
		name  string
		want  history.Promise
		plant func(*testing.T, []history.Event) []history.Event
	}{
		{"acknowledged before the commit and lost with the leader", history.C4Lost, func(t *testing.T, h []history.Event) []history.Event {
			h = remove(h, find(t, h, history.Final, "", 100))
			h[find(t, h, history.Deliver, "r0", 100)].Kind = history.Reconnect
			h[slices.IndexFunc(h, func(e history.Event) bool { return e.Kind == history.Log })].Last = 99
			return h
		}},
		{"appended twice, deduplication lost in a snapshot", history.C2Twice, func(t *testing.T, h []history.Event) []history.Event {
			i := find(t, h, history.Final, "", 100)
			h[i].ID = "m50"
			return h
		}},
		{"delivered twice on resume", history.C2Twice, func(t *testing.T, h []history.Event) []history.Event {
			i := find(t, h, history.Deliver, "r1", 50)
			return slices.Insert(h, i+1, h[i])
		}},
		{"seq used again after a truncation", history.C1a, func(t *testing.T, h []history.Event) []history.Event {
			h[find(t, h, history.Ack, "", 60)].Seq = 59
			return h
		}},
		{"a reader saw what was truncated", history.C1b, func(t *testing.T, h []history.Event) []history.Event {
			h[find(t, h, history.Deliver, "r0", 60)].ID = "m60-of-the-old-leader"
			return h
		}},
		{"reordered by fan-out workers", history.C2Hole, func(t *testing.T, h []history.Event) []history.Event {
			i, j := find(t, h, history.Deliver, "r2", 40), find(t, h, history.Deliver, "r2", 41)
			h[i], h[j] = h[j], h[i]
			return h
		}},
		{"lost tail on resume", history.C2Tail, func(t *testing.T, h []history.Event) []history.Event {
			for seq := uint64(95); seq <= 100; seq++ {
				h = remove(h, find(t, h, history.Deliver, "r3", seq))
			}
			return h
		}},
		{"hole without a gap", history.C2Hole, func(t *testing.T, h []history.Event) []history.Event {
			return remove(h, find(t, h, history.Deliver, "r0", 10))
		}},
		{"gap that does not reach", history.C2Hole, func(t *testing.T, h []history.Event) []history.Event {
			h = remove(h, find(t, h, history.Deliver, "r0", 10))
			i := find(t, h, history.Deliver, "r0", 11)
			h = remove(h, i)
			return slices.Insert(h, i, history.Event{Kind: history.Gap, Room: "lobby", Client: "r0", Epoch: "a", First: 10, Last: 10})
		}},
		{"refused for good and in the log", history.C4Refused, func(t *testing.T, h []history.Event) []history.Event {
			h[find(t, h, history.Ack, "", 20)].Kind = history.Refused
			return h
		}},
		{"epochs mixed", history.C2Epoch, func(t *testing.T, h []history.Event) []history.Event {
			h[find(t, h, history.Deliver, "r0", 30)].Epoch = "b"
			return h
		}},
		{"taken back by a stale edge after a new epoch was announced", history.C2Epoch, func(t *testing.T, h []history.Event) []history.Event {
			i := find(t, h, history.Deliver, "r0", 30)
			return slices.Insert(h, i+1, history.Event{Kind: history.Gap, Room: "lobby", Client: "r0", Epoch: "b", First: 1, Last: 3})
		}},
		{"later message before an acknowledged one", history.C1c, func(t *testing.T, h []history.Event) []history.Event {
			swap(h, 70, 71)
			return h
		}},
		{"one publisher's messages overtake one another", history.C1d, func(t *testing.T, h []history.Event) []history.Event {
			swap(h, 70, 73)
			return h
		}},
		{"seen before it was sent", history.C1c, func(t *testing.T, h []history.Event) []history.Event {
			i := find(t, h, history.Deliver, "r0", 70)
			h[i].At = 1
			return h
		}},
		{"message that nobody sent", history.C1b, func(_ *testing.T, h []history.Event) []history.Event {
			return append(h, history.Event{Kind: history.Final, Room: "lobby", Epoch: "a", Seq: 101, ID: "phantom"})
		}},
		{"hole in the log", history.C1a, func(t *testing.T, h []history.Event) []history.Event {
			return remove(h, find(t, h, history.Final, "", 33))
		}},
		{"two seqs for one message", history.C1a, func(t *testing.T, h []history.Event) []history.Event {
			i := find(t, h, history.Ack, "", 20)
			e := h[i]
			e.Seq = 101
			return slices.Insert(h, i+1, e)
		}},
	}
	for _, bug := range bugs {
		t.Run(bug.name, func(t *testing.T) {
			report := history.Check(bug.plant(t, run(100, 3, 4)))
			if report.Counts[bug.want] == 0 {
				t.Fatalf("want %s, got %v", bug.want, report)
			}
			for _, v := range report.Violations {
				if len(v.Events) == 0 || v.Text == "" || v.Room != "lobby" {
					t.Errorf("violation without evidence: %v", v)
				}
			}
		})
	}
}

// swap exchanges the seqs of two messages everywhere, and keeps every reader's
// view in order.
func swap(h []history.Event, a, b uint64) {
	for i := range h {
		switch e := &h[i]; {
		case e.Kind == history.Deliver || e.Kind == history.Final:
			switch e.ID {
			case fmt.Sprintf("m%d", a):
				e.ID = fmt.Sprintf("m%d", b)
			case fmt.Sprintf("m%d", b):
				e.ID = fmt.Sprintf("m%d", a)
			}
		case e.Seq == a:
			e.Seq = b
		case e.Seq == b:
			e.Seq = a
		}
	}
}

func TestLinearizabilitySearchCatchesWhatTheSweepDoes(t *testing.T) {
	h := run(100, 3, 1)
	swap(h, 70, 71)
	report := &history.Report{}
	if undecided := history.CheckLinearizable(h, 10*time.Second, report); len(undecided) != 0 || report.Counts[history.C1e] != 1 {
		t.Fatalf("undecided %v, %v", undecided, report)
	}
}

// Concurrent publishers: any order of overlapping publishes is allowed.
func TestConcurrentHistoriesPass(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		var mu sync.Mutex
		clock := int64(0)
		rec := history.NewRecorder(func() int64 { mu.Lock(); defer mu.Unlock(); clock++; return clock })
		var log []string
		type flight struct {
			id     string
			client int
			seq    uint64
		}
		var flights []*flight
		busy := map[int]bool{}
		sent := 0
		for sent < 300 || len(flights) > 0 {
			client := rng.IntN(8)
			if sent < 300 && !busy[client] && rng.IntN(2) == 0 {
				sent++
				f := &flight{id: fmt.Sprint(sent), client: client}
				busy[client] = true
				flights = append(flights, f)
				rec.Add(history.Event{Kind: history.Send, Room: "r", Client: fmt.Sprint(client), ID: f.id})
				continue
			}
			if len(flights) == 0 {
				continue
			}
			i := rng.IntN(len(flights))
			if f := flights[i]; f.seq == 0 {
				log = append(log, f.id)
				f.seq = uint64(len(log))
				rec.Add(history.Event{Kind: history.Deliver, Room: "r", Client: "reader", ID: f.id, Seq: f.seq, Epoch: "a"})
			} else {
				flights = slices.Delete(flights, i, i+1)
				busy[f.client] = false
				rec.Add(history.Event{Kind: history.Ack, Room: "r", Client: fmt.Sprint(f.client), ID: f.id, Seq: f.seq, Epoch: "a"})
			}
		}
		rec.Add(history.Event{Kind: history.End, Room: "r", Client: "reader"})
		rec.Add(history.Event{Kind: history.Log, Room: "r", Epoch: "a", First: 1, Last: uint64(len(log))})
		for i, id := range log {
			rec.Add(history.Event{Kind: history.Final, Room: "r", Epoch: "a", Seq: uint64(i + 1), ID: id})
		}
		report := history.Check(rec.Events())
		undecided := history.CheckLinearizable(rec.Events(), 10*time.Second, report)
		if !report.OK() || len(undecided) != 0 {
			t.Fatalf("seed %d: undecided %v, %v", seed, undecided, report)
		}
	}
}

func TestViolationsAreBounded(t *testing.T) {
	h := run(500, 1, 1)
	for i := range h {
		if h[i].Kind == history.Final {
			h[i].Kind = history.Reconnect
		}
	}
	report := history.Check(h)
	if report.Counts[history.C4Lost] != 500 || len(report.Violations) > 40 {
		t.Fatalf("%d violations in full, counts %v", len(report.Violations), report.Counts)
	}
	if s := report.String(); !strings.Contains(s, "C4 lost: 500 violations") {
		t.Error(s)
	}
}

func TestRoomWithoutItsLogIsNamed(t *testing.T) {
	h := run(10, 1, 1)
	h = slices.DeleteFunc(h, func(e history.Event) bool { return e.Kind == history.Log || e.Kind == history.Final })
	if report := history.Check(h); !report.OK() || !slices.Equal(report.NoLog, []string{"lobby"}) {
		t.Error(report)
	}
}

func TestHistorySurvivesItsFile(t *testing.T) {
	h := run(20, 2, 2)
	var file bytes.Buffer
	if err := history.Encode(&file, h); err != nil {
		t.Fatal(err)
	}
	got, err := history.Decode(&file)
	if err != nil || !slices.Equal(got, h) {
		t.Fatalf("%d events, %v", len(got), err)
	}
	if _, err := history.Decode(strings.NewReader("{\"at\":1}\nnonsense\n")); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("got %v", err)
	}
}

func BenchmarkCheck(b *testing.B) {
	h := run(20_000, 10, 10)
	b.ReportAllocs()
	for b.Loop() {
		if report := history.Check(h); !report.OK() {
			b.Fatal(report)
		}
	}
	b.ReportMetric(float64(len(h)*b.N)/b.Elapsed().Seconds(), "events/s")
}

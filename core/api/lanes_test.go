package api

import (
	"context"
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barrage-im/barrage/core/replica"
	"github.com/barrage-im/barrage/core/room"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// testLanes are lanes of a stream without a node: flights are put by hand.
func testLanes(t *testing.T, limit int) *lanes {
	t.Helper()
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return newLanes(&Server{metrics: m}, true, limit)
}

func (l *lanes) fly(key laneKey, f flight) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln := l.laneLocked(key)
	ln.flights = append(ln.flights, f)
	l.bytes += f.cost
}

func results(generation, first uint64, n int) *rpc.ProposalResults {
	r := &rpc.ProposalResults{Shard: 1, Generation: generation, First: first}
	for range n {
		r.Results = append(r.Results, &rpc.Result{})
	}
	return r
}

var key = laneKey{edge: 7, shard: 1}

func TestResultsThatContinueLeaveTogether(t *testing.T) {
	l := testLanes(t, 1000)
	for i := range uint64(3) {
		l.fly(key, flight{generation: 1, first: 1 + 2*i, count: 2, cost: 10})
	}
	l.answer(key, results(1, 1, 2))
	l.answer(key, results(1, 3, 4)) // of two proposals that were merged on their way
	got := l.out.take(nil)
	if len(got) != 1 || got[0].results.GetFirst() != 1 || len(got[0].results.GetResults()) != 6 || got[0].cost != 30 {
		t.Fatalf("%+v", got)
	}
}

func TestResultsOfAGenerationThatWasResetAreDropped(t *testing.T) {
	l := testLanes(t, 1000)
	l.fly(key, flight{generation: 1, first: 1, count: 2, cost: 10})
	l.reset(key, 1, protocol.NoLeader, resetWait())
	l.reset(key, 1, protocol.NoLeader, resetWait()) // told once
	l.answer(key, results(1, 1, 2))
	l.fly(key, flight{generation: 2, first: 1, count: 1, cost: 10})
	l.answer(key, results(1, 1, 1))
	l.answer(key, results(2, 1, 1))
	got := l.out.take(nil)
	if len(got) != 2 || got[0].reset.GetGeneration() != 1 || got[1].results.GetGeneration() != 2 {
		t.Fatalf("%+v", got)
	}
	if w := got[0].reset.GetRetryAfterMs(); w < 50 || w > 200 {
		t.Fatalf("told to wait %d ms", w)
	}
	l.release(got[0].cost + got[1].cost)
	if l.bytes != 0 {
		t.Fatalf("%d bytes are never given back", l.bytes)
	}
}

func TestOutcomesOfASection(t *testing.T) {
	done := &room.Effects{Sections: []room.SectionResult{{}, {Results: results(1, 1, 2).Results}}}
	fenced := &room.Effects{Sections: []room.SectionResult{{Reset: protocol.Fenced}}}
	for name, c := range map[string]struct {
		i       int
		effects any
		err     error
		want    protocol.Code
	}{
		"applied":   {1, done, nil, protocol.OK},
		"fenced":    {0, fenced, nil, protocol.Fenced},
		"unknown":   {0, nil, replica.ErrUnknown, protocol.NoLeader},
		"follower":  {0, nil, replica.ErrNotLeader, protocol.NotLeader},
		"disk full": {0, nil, replica.ErrDiskFull, protocol.DiskFull},
		"overload":  {0, nil, replica.ErrOverloaded, protocol.Overloaded},
	} {
		l := testLanes(t, 1000)
		l.fly(key, flight{generation: 1, first: 1, count: 2, cost: 10})
		l.applied(key, 1, 1, 2, c.i, c.effects, c.err)
		got := l.out.take(nil)
		if len(got) != 1 || (got[0].results != nil) != (c.want == protocol.OK) || protocol.Code(got[0].reset.GetCode()) != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestAStreamWithTooMuchUnansweredIsNotRead(t *testing.T) {
	l := testLanes(t, 100)
	l.fly(key, flight{generation: 1, first: 1, count: 1, cost: 90})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.wait(ctx, 20); !errors.Is(err, context.Canceled) {
		t.Fatalf("did not wait: %v", err)
	}
	waited := make(chan error, 1)
	go func() { waited <- l.wait(t.Context(), 20) }()
	l.answer(key, results(1, 1, 1))
	select {
	case err := <-waited:
		t.Fatal("an answer that has not left yet made room", err)
	default:
	}
	l.release(l.out.take(nil)[0].cost)
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	if err := l.wait(t.Context(), 1000); err != nil {
		t.Fatalf("one proposal always fits: %v", err)
	}
}

func TestLanesOverALostLinkAreReset(t *testing.T) {
	l := testLanes(t, 1000)
	lost, kept := &link{address: "a"}, &link{address: "b"}
	other := laneKey{edge: 7, shard: 2}
	l.fly(key, flight{generation: 3, first: 1, count: 1, cost: 1, via: lost})
	l.fly(other, flight{generation: 4, first: 1, count: 1, cost: 1, via: kept})
	l.fly(laneKey{edge: 7, shard: 3}, flight{generation: 5, first: 1, count: 1, cost: 1})
	l.resetVia(func(via *link) bool { return via == lost }, 0)
	got := l.out.take(nil)
	if len(got) != 1 || got[0].reset.GetShard() != 1 || got[0].reset.GetGeneration() != 3 {
		t.Fatalf("%+v", got)
	}
}

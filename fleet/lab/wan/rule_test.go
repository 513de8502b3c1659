package wan

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func newShaper() *shaper { return &shaper{rng: rand.New(rand.NewPCG(1, 2))} }

func TestDelayAndJitterStayInBoundsAndKeepOrder(t *testing.T) {
	s, r := newShaper(), Rule{Delay: 80 * time.Millisecond, Jitter: 20 * time.Millisecond}
	now := time.Unix(0, 0)
	var last time.Time
	spread := false
	for range 1000 {
		now = now.Add(time.Millisecond)
		at, ok := s.next(r, 1500, now)
		if !ok {
			t.Fatal("lost without loss")
		}
		if d := at.Sub(now); d < r.Delay || d > r.Delay+r.Jitter {
			t.Fatalf("arrives after %s", d)
		}
		spread = spread || at.Sub(now) > r.Delay+r.Jitter/2
		if at.Before(last) {
			t.Fatal("overtakes the packet before")
		}
		last = at
	}
	if !spread {
		t.Fatal("no jitter seen")
	}
}

func TestLossIsTheShareAskedFor(t *testing.T) {
	s := newShaper()
	lost := 0
	const n = 100_000
	for range n {
		if _, ok := s.next(Rule{Loss: 0.05}, 100, time.Unix(0, 0)); !ok {
			lost++
		}
	}
	// Five standard deviations of a binomial.
	if got := float64(lost) / n; math.Abs(got-0.05) > 5*math.Sqrt(0.05*0.95/n) {
		t.Fatalf("lost %v of the packets, want 0.05", got)
	}
	if _, ok := s.next(Rule{Loss: 1}, 100, time.Unix(0, 0)); ok {
		t.Fatal("a packet came through total loss")
	}
}

func TestARateQueuesForATenthOfASecondAndThenDrops(t *testing.T) {
	s, r := newShaper(), Rule{Rate: 100_000} // 1000 bytes take 10 ms
	now := time.Unix(0, 0)
	passed := 0
	for range 100 {
		at, ok := s.next(r, 1000, now)
		if !ok {
			continue
		}
		passed++
		if want := time.Duration(passed) * 10 * time.Millisecond; at.Sub(now) != want {
			t.Fatalf("packet %d arrives after %s, want %s", passed, at.Sub(now), want)
		}
	}
	if passed != 11 { // one on the wire, then 100 ms of queue
		t.Fatalf("%d packets of 100 passed, want 11", passed)
	}
	if at, ok := s.next(r, 1000, now.Add(time.Second)); !ok || at.Sub(now) != time.Second+10*time.Millisecond {
		t.Fatal("an idle link did not recover")
	}
}

func TestRulesAreChecked(t *testing.T) {
	for _, r := range []Rule{{Delay: -1}, {Jitter: -1}, {Delay: time.Hour}, {Loss: 1.01}, {Loss: -0.1}, {Loss: math.NaN()}, {Rate: -1}, {Rate: math.NaN()}} {
		if r.Check() == nil {
			t.Errorf("%+v passes", r)
		}
	}
	if err := (Rule{Delay: time.Second, Jitter: time.Millisecond, Loss: 1, Rate: 1}).Check(); err != nil {
		t.Error(err)
	}
}

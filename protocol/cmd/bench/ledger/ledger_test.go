package ledger

import (
	"strings"
	"testing"
)

// run publishes five messages to two members and gives them to deliver.
func run(t *testing.T, answer func(l *Ledger, n uint32), deliver func(a, b *Track)) Account {
	t.Helper()
	l := New()
	p := l.Publisher(0)
	a, b := l.Member(0), l.Member(0)
	for range 5 {
		answer(l, l.Sent(p))
	}
	deliver(a, b)
	return l.Close()
}

func ack(l *Ledger, n uint32) { l.Acked(0, n, 10, 30) }

func messages(numbers ...uint32) []Delivery {
	var out []Delivery
	for i, n := range numbers {
		out = append(out, Delivery{Seq: uint64(i + 1), N: n, Sent: 10})
	}
	return out
}

func TestAccountCloses(t *testing.T) {
	a := run(t, ack, func(a, b *Track) {
		a.Deliver(messages(1, 2, 3, 4, 5), 40)
		b.Deliver(messages(1, 2), 40)
		b.Deliver([]Delivery{{Seq: 3, N: 3}, {Seq: 4, N: 4}, {Seq: 5, N: 5}}, 50)
	})
	if len(a.Problems) != 0 {
		t.Fatalf("problems: %v", a.Problems)
	}
	if a.Expected != 10 || a.Delivered != 10 || a.Acknowledged != 5 {
		t.Errorf("expected %d, delivered %d, acknowledged %d; want 10, 10, 5", a.Expected, a.Delivered, a.Acknowledged)
	}
}

func TestAccountDoesNotClose(t *testing.T) {
	whole := messages(1, 2, 3, 4, 5)
	cases := map[string]struct {
		answer  func(*Ledger, uint32)
		b       []Delivery
		problem string
	}{
		"lost at the end":   {ack, messages(1, 2, 3, 4), "1 deliveries of acknowledged messages were lost"},
		"lost in between":   {ack, messages(1, 2, 4, 5), "1 deliveries of acknowledged messages were lost"},
		"duplicated":        {ack, append(messages(1, 2, 3, 4, 5), Delivery{N: 3}), "1 deliveries were duplicated"},
		"out of order":      {ack, messages(1, 3, 2, 4, 5), "1 deliveries were out of order"},
		"hole in the order": {ack, []Delivery{{Seq: 1, N: 1}, {Seq: 2, N: 2}, {Seq: 4, N: 3}, {Seq: 5, N: 4}, {Seq: 6, N: 5}}, "1 gaps"},
		"never answered":    {func(*Ledger, uint32) {}, whole, "5 messages were never answered"},
		"refused, and delivered": {func(l *Ledger, n uint32) {
			if n == 2 {
				l.Refused(0, "rate_limited")
			} else {
				ack(l, n)
			}
		}, whole, "2 deliveries of refused messages"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			a := run(t, c.answer, func(first, second *Track) {
				first.Deliver(whole, 40)
				second.Deliver(c.b, 40)
			})
			if !strings.Contains(strings.Join(a.Problems, "; "), c.problem) {
				t.Errorf("problems %q do not name %q", a.Problems, c.problem)
			}
		})
	}
}

func TestUnknownMayArriveOrNot(t *testing.T) {
	a := run(t, func(l *Ledger, n uint32) {
		if n == 3 {
			l.Unknown(0, n, "timeout")
		} else {
			ack(l, n)
		}
	}, func(a, b *Track) {
		a.Deliver(messages(1, 2, 3, 4, 5), 40)
		b.Deliver(messages(1, 2, 4, 5), 40)
	})
	if len(a.Problems) != 0 || a.Delivered != 9 || a.Expected != 8 {
		t.Errorf("delivered %d of %d, problems %v; want 9 of 8 and none", a.Delivered, a.Expected, a.Problems)
	}
}

func TestWarmUpIsNotMeasured(t *testing.T) {
	l := New()
	p := l.Publisher(0)
	m := l.Member(0)
	l.MeasureFrom(100)
	for _, sent := range []int64{50, 150} {
		n := l.Sent(p)
		l.Acked(p, n, sent, sent+2e6)
		m.Deliver([]Delivery{{N: n, Sent: sent}}, sent+4e6)
	}
	a := l.Close()
	if a.Ack.Count != 1 || a.Delivery.Count != 1 || a.Delivered != 2 {
		t.Errorf("measured %d acks and %d of %d deliveries; want 1 and 1 of 2", a.Ack.Count, a.Delivery.Count, a.Delivered)
	}
	if a.Ack.Max < 1.99 || a.Ack.Max > 2.01 {
		t.Errorf("max %v ms; want 2", a.Ack.Max)
	}
}

func FuzzMarker(f *testing.F) {
	f.Add(3, uint32(7), int64(1e9), 128)
	f.Fuzz(func(t *testing.T, publisher int, n uint32, sent int64, size int) {
		if publisher < 0 || publisher > 0xffff || sent < 0 || size > 4096 {
			t.Skip()
		}
		text := AppendMessage(nil, publisher, n, sent, size)
		if len(text) != max(size, MarkerSize) {
			t.Fatalf("%d bytes; want %d", len(text), size)
		}
		p, c, s, ok := ParseMarker(text)
		if !ok || p != publisher || c != n || s != sent {
			t.Fatalf("read back %d %d %d %v", p, c, s, ok)
		}
	})
}

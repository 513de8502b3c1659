package hub

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/barrage-im/barrage/protocol"
)

func run(first uint64, n int) (records []byte) {
	for i := range uint64(n) {
		records = protocol.AppendRecord(records, first+i, 1, protocol.AppendBody(nil, "u", "", "", fmt.Sprint("text ", first+i), nil))
	}
	return records
}

// mixed is a run in which every record may be a shadow message or take back an
// earlier one.
func mixed(t *rapid.T, first uint64, n int) (records []byte) {
	for i := range uint64(n) {
		mark := protocol.RecordMark{}
		switch rapid.IntRange(0, 3).Draw(t, "mark") {
		case 1:
			mark.Shadow = true
		case 2:
			if first+i > 1 {
				mark.Retracts = rapid.Uint64Range(1, first+i-1).Draw(t, "retracts")
			}
		}
		body := protocol.AppendBody(nil, "u", "", "", fmt.Sprint("text ", first+i), nil)
		records = protocol.AppendMarkedRecord(records, first+i, 1, mark, body)
	}
	return records
}

// seqs are the records' numbers; it fails on damage.
func seqs(t rapid.TB, records []byte) (list []uint64) {
	t.Helper()
	err := protocol.ForEachRecord(records, func(seq uint64, _ int64, _ []byte) bool {
		list = append(list, seq)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// Whatever blocks come and whatever is trimmed, a read gives (after, last]
// without holes, and what a tail says it covers it has.
func TestTailReadsWhatItCovers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tl tail
		start := rapid.Uint64Range(0, 1000).Draw(t, "start")
		tl.reset(start)
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				n := rapid.IntRange(1, 9).Draw(t, "n")
				back := min(rapid.Uint64Range(0, 5).Draw(t, "overlap"), tl.head)
				head := tl.head
				added, ok, err := tl.add(head+1-back, n, mixed(t, head+1-back, n))
				if !ok || err != nil || added != max(0, n-int(back)) || tl.head != head+uint64(added) {
					t.Fatalf("added %d, %v, %v; head %d from %d", added, ok, err, tl.head, head)
				}
			},
			"hole": func(t *rapid.T) {
				if _, ok, err := tl.add(tl.head+2, 1, run(tl.head+2, 1)); ok || err != nil {
					t.Fatalf("a hole was taken: %v", err)
				}
			},
			"trim": func(t *rapid.T) {
				keep := rapid.Uint64Range(tl.base, tl.head).Draw(t, "keep")
				base := tl.base
				tl.trim(1<<30, rapid.IntRange(0, 30).Draw(t, "count"), keep)
				if tl.base > max(keep, base) {
					t.Fatalf("base %d beyond %d", tl.base, keep)
				}
			},
			"read": func(t *rapid.T) {
				after := rapid.Uint64Range(tl.base, tl.head).Draw(t, "after")
				to := rapid.Uint64Range(after, tl.head).Draw(t, "to")
				records, last := tl.read(after, to, rapid.IntRange(1, 500).Draw(t, "limit"))
				got := seqs(t, records)
				if len(got) != int(last-after) || last > to || (to > after && last == after) {
					t.Fatalf("(%d, %d] gave %v up to %d", after, to, got, last)
				}
				for i, seq := range got {
					if seq != after+uint64(i)+1 {
						t.Fatalf("(%d, %d] gave %v", after, to, got)
					}
				}
				checkViews(t, &tl, after, last, records)
			},
			"": func(t *rapid.T) {
				size, count := 0, 0
				for i := range tl.chunks {
					size += tl.chunks[i].size()
					count += len(tl.chunks[i].ends)
				}
				if size != tl.bytes || count != tl.count || count != int(tl.head-tl.base) {
					t.Fatalf("%d bytes and %d records of (%d, %d], counted %d and %d", tl.bytes, tl.count, tl.base, tl.head, size, count)
				}
			},
		})
	})
}

// checkViews: what was retracted has no text in any view, a shadow message has
// one for its sender and for moderators only, and everything has its place.
func checkViews(t *rapid.T, tl *tail, after, last uint64, records []byte) {
	t.Helper()
	retracted := map[uint64]bool{}
	for _, mark := range marks(t, tl.all()) {
		if mark.Retracts != 0 {
			retracted[mark.Retracts] = true
		}
	}
	shadows := map[uint64]bool{}
	for _, s := range tl.shadows(after, last) {
		shadows[s.seq] = true
	}
	for name, v := range map[string]viewer{"everybody": {user: "v"}, "sender": {user: "u"}, "moderator": {user: "v", moderates: true}} {
		view := marks(t, v.open(records, tl.shadows(after, last)))
		if len(view) != int(last-after) {
			t.Fatalf("%s gets %d records of (%d, %d]", name, len(view), after, last)
		}
		for seq, mark := range view {
			want := ""
			switch {
			case shadows[seq] && name == "everybody":
				want = protocol.GoneWithheld
			case retracted[seq]:
				want = protocol.GoneRetracted
			}
			if mark.Gone != want || mark.Shadow != (shadows[seq] && name == "moderator") {
				t.Fatalf("%s gets %d as %+v, want gone %q", name, seq, mark, want)
			}
		}
	}
}

func (t *tail) all() (records []byte) {
	for i := range t.chunks {
		records = append(records, t.chunks[i].records...)
	}
	return records
}

func marks(t rapid.TB, records []byte) map[uint64]protocol.RecordMark {
	t.Helper()
	list := map[uint64]protocol.RecordMark{}
	err := protocol.ForEachMarkedRecord(records, func(seq uint64, mark protocol.RecordMark, _ []byte) bool {
		list[seq] = mark
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestTailRefusesDamage(t *testing.T) {
	good := run(1, 3)
	for name, test := range map[string]struct {
		count   int
		records []byte
	}{
		"cut":         {3, good[:len(good)-1]},
		"too few":     {4, good},
		"too many":    {2, good},
		"wrong seq":   {3, run(2, 3)},
		"noise after": {3, append(run(1, 3), 1)},
	} {
		var tl tail
		if _, ok, err := tl.add(1, test.count, test.records); ok || err == nil || tl.head != 0 {
			t.Errorf("%s: taken (%v, %v)", name, ok, err)
		}
	}
}

func TestWindowWidensWithTheRate(t *testing.T) {
	for _, test := range []struct {
		rate     int
		min, max time.Duration
	}{
		{1, 0, 0},
		{20, 0, 0},
		{100, 10 * time.Millisecond, 30 * time.Millisecond},
		{500, 40 * time.Millisecond, MaxWindow},
		{50_000, MaxWindow, MaxWindow},
	} {
		var p pace
		now := time.Unix(1000, 0)
		for range 5 * test.rate {
			now = now.Add(time.Second / time.Duration(test.rate))
			p.add(1, now)
		}
		if w := p.window(); w < test.min || w > test.max {
			t.Errorf("%d messages a second: window %v, want %v to %v", test.rate, w, test.min, test.max)
		}
	}
	var p pace
	now := time.Unix(1000, 0)
	p.add(10_000, now)
	p.add(1, now.Add(time.Minute))
	if w := p.window(); w != 0 {
		t.Errorf("a minute after a burst: window %v", w)
	}
}

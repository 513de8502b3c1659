package screen

import (
	"fmt"
	"testing"

	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// judges is a screen with these sets in force, which nobody feeds.
func judges(t testing.TB, sets ...*set) *Screen {
	t.Helper()
	met, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &Screen{met: met}
	s.inForce.Store(newRules(sets))
	return s
}

func inForce(t testing.TB, name, rooms, mode string, version uint64, entries ...filter.Entry) *set {
	t.Helper()
	f, err := filter.Compile(entries, filter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &set{name: name, rooms: rooms, filter: f, stage: &rpc.FilterStage{Version: version, Mode: mode}}
}

func TestTheStrongestOfAllSetsCounts(t *testing.T) {
	s := judges(
		t,
		inForce(t, "a", "*", modeEnforce, 1, word("apple", filter.Flag), word("grape", filter.Shadow)),
		inForce(t, "b", "lob*", modeEnforce, 2, word("apple", filter.Mask), word("berry", filter.Block)),
		inForce(t, "c", "*", modeReport, 3, word("apple", filter.Hold)),
	)
	for name, c := range map[string]struct {
		room, text string
		policy     *rpc.Policy
		want       filter.Action
		set        string
		reported   filter.Action
	}{
		"clean":                {room: "lobby", text: "nothing"},
		"empty":                {room: "lobby"},
		"both":                 {room: "lobby", text: "an apple", want: filter.Mask, set: "b", reported: filter.Hold},
		"one covers":           {room: "garden", text: "an apple", want: filter.Flag, set: "a", reported: filter.Hold},
		"several words":        {room: "lobby", text: "apple grape berry", want: filter.Block, set: "b", reported: filter.Hold},
		"severity":             {room: "lobby", text: "an apple", policy: &rpc.Policy{FilterSeverity: 3}},
		"severity reached":     {room: "lobby", text: "an apple", policy: &rpc.Policy{FilterSeverity: 2}, want: filter.Mask, set: "b", reported: filter.Hold},
		"severity of no entry": {room: "lobby", text: "an apple", policy: &rpc.Policy{FilterSeverity: 1 << 20}},
		"off":                  {room: "lobby", text: "an apple", policy: &rpc.Policy{Filter: "off"}},
		"report":               {room: "lobby", text: "an apple", policy: &rpc.Policy{Filter: "report"}, reported: filter.Hold},
		"enforce":              {room: "garden", text: "grape", policy: &rpc.Policy{Filter: "enforce"}, want: filter.Shadow, set: "a"},
	} {
		o := s.Judge(c.room, c.policy, []byte(c.text))
		if o.Action != c.want || o.Set != c.set || o.Reported.Action != c.reported {
			t.Errorf("%s: %+v, want %v of %q, reported %v", name, o, c.want, c.set, c.reported)
		}
	}
}

func TestMasksOfSeveralSetsAreLaidOverEachOther(t *testing.T) {
	s := judges(
		t,
		inForce(t, "a", "*", modeEnforce, 1, word("apple", filter.Mask)),
		inForce(t, "b", "*", modeEnforce, 1, word("plepie", filter.Mask), word("ü", filter.Mask)),
		inForce(t, "c", "*", modeReport, 1, word("fresh", filter.Mask)),
	)
	text := []byte("fresh applepie ü…")
	o := s.Judge("lobby", nil, text)
	if got := string(o.AppendMasked([]byte("> "), text)); got != "> fresh ******** *…" {
		t.Errorf("masked: %q", got)
	}
}

func TestJudgingCleanTextAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector empties pools")
	}
	s := judges(t, inForce(t, "a", "*", modeEnforce, 1, word("apple", filter.Block)), inForce(t, "b", "lob*", modeEnforce, 1, word("pear", filter.Block)))
	text := []byte("a quite ordinary message, 你好, such as people send")
	policy := &rpc.Policy{}
	if n := testing.AllocsPerRun(1000, func() { s.Judge("lobby", policy, text) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestRememberedRoomsAreBounded(t *testing.T) {
	s := judges(t, inForce(t, "a", "lob*", modeEnforce, 1, word("apple", filter.Block)))
	for i := range 3 * maxCovers {
		s.Judge(fmt.Sprint("lob", i), nil, []byte("text"))
		s.Judge(fmt.Sprint("garden", i), nil, []byte("text"))
	}
	if n := len(s.inForce.Load().covers); n > maxCovers {
		t.Errorf("%d rooms are remembered", n)
	}
	if s.Judge("lob1", nil, []byte("apple")).Action != filter.Block || s.Judge("garden1", nil, []byte("apple")).Action != filter.Pass {
		t.Error("a forgotten room is judged differently")
	}
}

func TestWithoutAScreenEverythingPasses(t *testing.T) {
	var s *Screen
	if o := s.Judge("lobby", nil, []byte("apple")); o.Action != filter.Pass {
		t.Errorf("%+v", o)
	}
}

func BenchmarkJudge(b *testing.B) {
	for name, rooms := range map[string]string{"every room": "*", "pattern": "lob*"} {
		b.Run(name, func(b *testing.B) {
			s := judges(b, inForce(b, "a", rooms, modeEnforce, 1, word("apple", filter.Block)))
			text := []byte("a quite ordinary message, 你好, such as people send")
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				s.Judge("lobby", nil, text)
			}
		})
	}
}

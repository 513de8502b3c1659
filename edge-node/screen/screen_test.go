package screen

import (
	"crypto/sha256"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/filter/bundle"
	"github.com/barrage-im/barrage/protocol/rpc"
)

func TestARegionHasTheLastStageThatNamesItOrNone(t *testing.T) {
	stage := func(version uint64, regions ...string) *rpc.FilterStage {
		return &rpc.FilterStage{Version: version, Regions: regions}
	}
	for name, c := range map[string]struct {
		stages []*rpc.FilterStage
		want   uint64
	}{
		"none":         {nil, 0},
		"all":          {[]*rpc.FilterStage{stage(1)}, 1},
		"ahead":        {[]*rpc.FilterStage{stage(1), stage(2, "us", "eu")}, 2},
		"others ahead": {[]*rpc.FilterStage{stage(1), stage(2, "us")}, 1},
		"others only":  {[]*rpc.FilterStage{stage(1, "us")}, 0},
		"caught up":    {[]*rpc.FilterStage{stage(1), stage(2, "eu"), stage(3)}, 3},
	} {
		if got := stageFor(c.stages, "eu").GetVersion(); got != c.want {
			t.Errorf("%s: version %d, want %d", name, got, c.want)
		}
	}
}

func TestRulesAreFetchedAndPutInForce(t *testing.T) {
	me := newSigner(t, 'a')
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := startScreen(t, Config{Keys: []string{me.public}}, w)
		defer s.Close()
		settle()
		s.expect("lobby", "so badword it is", filter.Pass)

		w.put(aSet("words", "lob*", w.stage(me, "words", 1, modeEnforce, word("badword", filter.Block))))
		settle()
		s.expect("lobby", "so badword it is", filter.Block)
		s.expect("lobby", "nothing of that kind", filter.Pass)
		s.expect("garden", "so badword it is", filter.Pass)
		o := s.Judge("lobby", nil, []byte("badword"))
		if o.Set != "words" || o.Rules != 1 || o.Severity != 2 || len(o.Categories) != 1 {
			t.Errorf("the finding is %+v", o.Finding)
		}
		if r := w.report("words"); r.GetVersion() != 1 || r.GetMode() != modeEnforce || r.GetWords() != 1 || r.GetEngine() == "" || r.GetProblem() != "" {
			t.Errorf("reported: %v", r)
		}

		two := w.stage(me, "words", 2, modeEnforce, word("other", filter.Mask))
		w.put(aSet("words", "lob*", two))
		settle()
		s.expect("lobby", "badword", filter.Pass)
		s.expect("lobby", "other", filter.Mask)
		if got := s.metric("barrage_filter_version", "words"); got != 2 {
			t.Errorf("the metric says version %v", got)
		}

		fetches := w.fetched()
		trial := &rpc.FilterStage{Version: 2, Digest: two.GetDigest(), Size: two.GetSize(), Mode: modeReport}
		w.put(aSet("words", "*", trial)) // another mode and other rooms: nothing to fetch
		settle()
		if o := s.Judge("garden", nil, []byte("other")); o.Action != filter.Pass || o.Reported.Action != filter.Mask {
			t.Errorf("on trial: %+v", o)
		}
		if w.fetched() != fetches {
			t.Error("the bundle was fetched again")
		}

		w.put()
		settle()
		if o := s.Judge("garden", nil, []byte("other")); o.Reported.Action != filter.Pass {
			t.Errorf("a removed set still says %+v", o)
		}
		if got := s.metric("barrage_filter_words", "words"); got != 0 {
			t.Errorf("the metric still says %v words", got)
		}
	})
}

func TestWhatIsRefusedLeavesWhatWasInForce(t *testing.T) {
	me, stranger := newSigner(t, 'a'), newSigner(t, 'b')
	for name, c := range map[string]struct {
		reason string
		stage  func(w *world) *rpc.FilterStage
	}{
		"signed by a stranger": {reasonSignature, func(w *world) *rpc.FilterStage {
			return w.stage(stranger, "words", 2, modeEnforce, word("new", filter.Block))
		}},
		"signature damaged": {reasonSignature, func(w *world) *rpc.FilterStage {
			s := w.stage(me, "words", 2, modeEnforce, word("new", filter.Block))
			b := append([]byte(nil), w.bundles[string(s.GetDigest())]...)
			b[len(b)-2] ^= 1
			sum := sha256.Sum256(b)
			w.bundles[string(sum[:])] = b
			return &rpc.FilterStage{Version: 2, Digest: sum[:], Size: uint32(len(b)), Mode: modeEnforce}
		}},
		"another version": {reasonVersion, func(w *world) *rpc.FilterStage {
			s := w.stage(me, "words", 3, modeEnforce, word("new", filter.Block))
			s.Version = 2
			return s
		}},
		"another set's": {reasonName, func(w *world) *rpc.FilterStage {
			return w.stage(me, "others", 2, modeEnforce, word("new", filter.Block))
		}},
		"a mode of the future": {reasonMode, func(w *world) *rpc.FilterStage {
			return w.stage(me, "words", 2, "pretend", word("new", filter.Block))
		}},
		"too large": {reasonSize, func(w *world) *rpc.FilterStage {
			s := w.stage(me, "words", 2, modeEnforce, word("new", filter.Block))
			s.Size = bundle.MaxBundle + 1
			return s
		}},
		"words that are none": {reasonWords, func(w *world) *rpc.FilterStage {
			return w.stage(me, "words", 2, modeEnforce, word(strings.Repeat("abc ", 60), filter.Block))
		}},
		"a list that matches everything": {reasonHits, func(w *world) *rpc.FilterStage {
			return w.stage(me, "words", 2, modeEnforce, word("new", filter.Block), word("e", filter.Block), word("a", filter.Block))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				s := startScreen(t, Config{Keys: []string{me.public}}, w)
				defer s.Close()
				w.put(aSet("words", "*", w.stage(me, "words", 1, modeEnforce, word("badword", filter.Block))))
				settle()
				w.put(aSet("words", "*", c.stage(w)))
				settle()
				s.expect("lobby", "badword", filter.Block)
				s.expect("lobby", "new", filter.Pass)
				if r := w.report("words"); r.GetVersion() != 1 || r.GetRefused() != 2 || r.GetProblem() == "" || len(r.GetProblem()) > maxProblem {
					t.Errorf("reported: %v", r)
				}
				if got := s.metric("barrage_filter_refused_total", c.reason); got != 1 {
					t.Errorf("refused_total{%s} is %v\n%s", c.reason, got, s.log)
				}
				if s.metric("barrage_filter_refused_sets", "") != 1 || !strings.Contains(s.log.String(), "level=ERROR") {
					t.Error("no alarm")
				}
				fetches := w.fetched()
				time.Sleep(time.Hour)
				if w.fetched() != fetches {
					t.Error("what is refused for good is tried again")
				}
				w.put(aSet("words", "*", w.stage(me, "words", 4, modeEnforce, word("better", filter.Block))))
				settle()
				s.expect("lobby", "better", filter.Block)
				if r := w.report("words"); r.GetVersion() != 4 || r.GetRefused() != 0 || r.GetProblem() != "" || s.metric("barrage_filter_refused_sets", "") != 0 {
					t.Errorf("the alarm goes on: %v", r)
				}
			})
		})
	}
}

func TestWithoutKeysEverySetIsRefused(t *testing.T) {
	me := newSigner(t, 'a')
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := startScreen(t, Config{}, w)
		defer s.Close()
		w.put(aSet("words", "*", w.stage(me, "words", 1, modeEnforce, word("badword", filter.Block))))
		settle()
		s.expect("lobby", "badword", filter.Pass)
		if r := w.report("words"); r.GetRefused() != 1 || !strings.Contains(r.GetProblem(), "filter.keys") {
			t.Errorf("reported: %v", r)
		}
	})
}

func TestAnOperatorMayAcceptManyHits(t *testing.T) {
	me := newSigner(t, 'a')
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := startScreen(t, Config{Keys: []string{me.public}}, w)
		defer s.Close()
		stage := w.stage(me, "words", 1, modeEnforce, word("e", filter.Flag), word("a", filter.Flag))
		w.put(aSet("words", "*", stage))
		settle()
		s.expect("lobby", "e", filter.Pass)
		meant := &rpc.FilterStage{Version: 1, Digest: stage.GetDigest(), Size: stage.GetSize(), Mode: modeEnforce, AcceptHits: true}
		w.put(aSet("words", "*", meant))
		settle()
		s.expect("lobby", "e", filter.Flag)
		// The next one is measured by what is in force now.
		w.put(aSet("words", "*", w.stage(me, "words", 2, modeEnforce, word("e", filter.Flag), word("a", filter.Flag), word("i", filter.Flag))))
		settle()
		s.expect("lobby", "i", filter.Flag)
	})
}

func TestAFetchThatFailsIsTriedAgain(t *testing.T) {
	me := newSigner(t, 'a')
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.breaks(true)
		s := startScreen(t, Config{Keys: []string{me.public}}, w)
		defer s.Close()
		w.put(
			aSet("a", "*", w.stage(me, "a", 1, modeEnforce, word("badword", filter.Block))),
			aSet("b", "*", w.stage(me, "b", 1, modeEnforce, word("other", filter.Block))),
		)
		time.Sleep(10 * time.Minute)
		if n := w.fetched(); n < 20 || n > 100 {
			t.Errorf("%d attempts in ten minutes", n)
		}
		if r := w.report("a"); r.GetRefused() != 0 || r.GetProblem() == "" {
			t.Errorf("reported: %v", r)
		}
		w.breaks(false)
		time.Sleep(2 * maxRetry)
		s.expect("lobby", "badword", filter.Block)
		s.expect("lobby", "other", filter.Block)
		if r := w.report("a"); r.GetProblem() != "" {
			t.Errorf("reported: %v", r)
		}
	})
}

func TestAPanicWhileLoadingRefusesTheVersionOnly(t *testing.T) {
	me := newSigner(t, 'a')
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := startScreen(t, Config{Keys: []string{me.public}}, w)
		defer s.Close()
		w.put(aSet("words", "*", w.stage(me, "words", 1, modeEnforce, word("badword", filter.Block))))
		settle()
		bad := w.stage(me, "words", 2, modeEnforce, word("new", filter.Block))
		w.poison = string(bad.GetDigest())
		w.put(aSet("words", "*", bad))
		settle()
		s.expect("lobby", "badword", filter.Block)
		if r := w.report("words"); r.GetVersion() != 1 || r.GetRefused() != 2 || s.metric("barrage_filter_refused_total", reasonPanic) != 1 {
			t.Errorf("reported: %v", r)
		}
	})
}

func TestASetThatGoesWhileItIsLoadedDoesNotComeBack(t *testing.T) {
	me := newSigner(t, 'a')
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.slow = time.Minute
		s := startScreen(t, Config{Keys: []string{me.public}}, w)
		defer s.Close()
		w.put(aSet("words", "*", w.stage(me, "words", 1, modeEnforce, word("badword", filter.Block))))
		settle()
		w.put()
		time.Sleep(time.Hour)
		s.expect("lobby", "badword", filter.Pass)
		if r := w.report("words"); r != nil {
			t.Errorf("reported: %v", r)
		}
	})
}

package screen

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/barrage-im/barrage/filter"
)

// kept runs a screen that keeps copies of one set, and ends it.
func kept(t *testing.T, dir string, me signer, w *world) {
	t.Helper()
	s := startScreen(t, Config{Dir: dir, Keys: []string{me.public}}, w)
	defer s.Close()
	w.put(aSet("words", "lob*", w.stage(me, "words", 7, modeEnforce, word("badword", filter.Block))))
	settle()
	s.expect("lobby", "badword", filter.Block)
}

func TestAnEdgeThatStartsWithoutCoreFiltersAtOnce(t *testing.T) {
	me := newSigner(t, 'a')
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "filters")
		kept(t, dir, me, newWorld())
		away := newWorld()
		away.state = nil
		s := startScreen(t, Config{Dir: dir, Keys: []string{me.public}}, away)
		defer s.Close()
		s.expect("lobby", "badword", filter.Block) // before anything else happens
		s.expect("garden", "badword", filter.Pass)
		settle()
		s.expect("lobby", "badword", filter.Block)
		if away.fetched() != 0 || s.metric("barrage_filter_version", "words") != 7 {
			t.Error("the copy is not what is in force")
		}

		away.put(aSet("words", "*", away.stage(me, "words", 7, modeReport, word("badword", filter.Block))))
		settle() // core is back: the same bundle, another stage
		if o := s.Judge("garden", nil, []byte("badword")); o.Reported.Action != filter.Block || away.fetched() != 0 {
			t.Errorf("%+v after %d fetches", o, away.fetched())
		}
		if of, _, err := readCopy(s.copies.path("words")); err != nil || of.GetRooms() != "*" || of.GetStages()[0].GetMode() != modeReport {
			t.Errorf("the copy was not renewed: %v, %v", of, err)
		}

		away.put()
		settle()
		if files, err := s.copies.files(); err != nil || len(files) != 0 {
			t.Errorf("copies of a removed set: %v, %v", files, err)
		}
	})
}

func TestADamagedCopyIsRemovedAndFetchedAgain(t *testing.T) {
	me := newSigner(t, 'a')
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		w := newWorld()
		kept(t, dir, me, w)
		path := filepath.Join(dir, "words.filter")
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		damaged := [][]byte{nil, []byte("barrage"), good[:len(good)/2], good[:len(good)-1], append(append([]byte(nil), good...), 0)}
		for i := range good {
			b := append([]byte(nil), good...)
			b[i] ^= 0x10
			damaged = append(damaged, b)
		}
		away := newWorld()
		away.state = nil
		for i, b := range damaged {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			s := startScreen(t, Config{Dir: dir, Keys: []string{me.public}}, away)
			s.expect("lobby", "badword", filter.Pass)
			if s.metric("barrage_filter_refused_total", reasonCopy) != 1 {
				t.Errorf("case %d is not reported", i)
			}
			if _, err := os.Stat(path); err == nil {
				t.Errorf("case %d is not removed", i)
			}
			s.Close()
		}
		if err := os.WriteFile(path, good[:100], 0o600); err != nil {
			t.Fatal(err)
		}
		s := startScreen(t, Config{Dir: dir, Keys: []string{me.public}}, w)
		defer s.Close()
		settle()
		s.expect("lobby", "badword", filter.Block)
		if now, err := os.ReadFile(path); err != nil || string(now) != string(good) {
			t.Errorf("no good copy again: %v", err)
		}
	})
}

func TestACopyOfAStrangerIsNotUsed(t *testing.T) {
	me, other := newSigner(t, 'a'), newSigner(t, 'b')
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		kept(t, dir, me, newWorld())
		away := newWorld()
		away.state = nil
		s := startScreen(t, Config{Dir: dir, Keys: []string{other.public}}, away)
		defer s.Close()
		s.expect("lobby", "badword", filter.Pass)
		if s.metric("barrage_filter_refused_total", reasonSignature) != 1 {
			t.Error("not reported")
		}
	})
}

func TestAnUnfinishedCopyIsForgotten(t *testing.T) {
	me := newSigner(t, 'a')
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		kept(t, dir, me, newWorld())
		left := filepath.Join(dir, "words.filter.new")
		if err := os.WriteFile(left, []byte("barrage fil"), 0o600); err != nil {
			t.Fatal(err)
		}
		away := newWorld()
		away.state = nil
		s := startScreen(t, Config{Dir: dir, Keys: []string{me.public}}, away)
		defer s.Close()
		s.expect("lobby", "badword", filter.Block)
		if _, err := os.Stat(left); err == nil {
			t.Error("it is still there")
		}
	})
}

func TestACopyThatCannotBeWrittenIsAnAlarmOnly(t *testing.T) {
	me := newSigner(t, 'a')
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "filters")
		w := newWorld()
		s := startScreen(t, Config{Dir: dir, Keys: []string{me.public}}, w)
		defer s.Close()
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		w.put(aSet("words", "*", w.stage(me, "words", 1, modeEnforce, word("badword", filter.Block))))
		settle()
		s.expect("lobby", "badword", filter.Block)
		if s.metric("barrage_filter_copy_errors_total", "") != 1 {
			t.Error("not counted")
		}
	})
}

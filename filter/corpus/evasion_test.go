package corpus

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// evaded calls f with every word of the evaluation list and of many drawn
// words, evaded.
func evaded(e Evasion, f func(word, evaded string, seed uint64)) {
	words := Words(5_000)
	for _, entry := range List() {
		words = append(words, entry.Word)
	}
	for i, w := range words {
		if x, ok := e.Apply(w, uint64(i)); ok {
			f(w, x, uint64(i))
		}
	}
}

func TestEvasionsChangeWords(t *testing.T) {
	const enough = 500 // words for each, so that a share of 99 % means something
	names := map[string]bool{}
	for _, e := range Evasions() {
		if names[e.Name] {
			t.Errorf("two evasions are named %q", e.Name)
		}
		names[e.Name] = true
		n := 0
		evaded(e, func(word, evaded string, seed uint64) {
			n++
			if evaded == word || !utf8.ValidString(evaded) {
				t.Errorf("%s: %q becomes %q", e.Name, word, evaded)
			}
			if again, _ := e.Apply(word, seed); again != evaded {
				t.Errorf("%s: %q becomes %q, then %q", e.Name, word, evaded, again)
			}
			if more := utf8.RuneCountInString(evaded) - utf8.RuneCountInString(word); e.OneToOne != (more == 0) && e.Name != "spaced out" {
				t.Errorf("%s: %q becomes %q: %d more characters, one to one: %v", e.Name, word, evaded, more, e.OneToOne)
			}
		})
		if n < enough {
			t.Errorf("%s applies to %d words, want %d", e.Name, n, enough)
		}
	}
	if len(names) < 16 {
		t.Errorf("there are %d evasions, want 16", len(names))
	}
}

// What is promised of a filter has limits; no evasion goes beyond them.
func TestInsertionsStayWithinWhatIsPromised(t *testing.T) {
	for _, e := range Evasions() {
		if e.OneToOne {
			continue
		}
		evaded(e, func(word, evaded string, _ uint64) {
			gap := 0
			for _, c := range evaded {
				if wordRune(c) {
					gap = 0
				} else if gap++; gap > 3 && !strings.ContainsRune(word, c) {
					t.Errorf("%s: %q becomes %q with a gap of more than three", e.Name, word, evaded)
					return
				}
			}
		})
	}
}

func TestRepeatsAreThreeInShortWords(t *testing.T) {
	for _, c := range []struct {
		word string
		low  int
	}{{"bad", 3}, {"傻逼", 3}, {"idiot", 2}} {
		for seed := range uint64(50) {
			w, ok := repeated(c.word, seed)
			if !ok {
				continue
			}
			for i, r := range w {
				if i > 0 && strings.HasSuffix(w[:i], string(r)) {
					continue
				}
				if run := len([]rune(w[i:])) - len([]rune(strings.TrimLeft(w[i:], string(r)))); run != 1 && (run < c.low || run > 4) {
					t.Errorf("%q becomes %q: %c is there %d times", c.word, w, r, run)
				}
			}
		}
	}
}

func TestEvasionsByExample(t *testing.T) {
	for name, c := range map[string][2]string{
		"full width":             {"vip 666", "ｖｉｐ ６６６"},
		"small capitals":         {"idiot", "ɪᴅɪᴏᴛ"},
		"traditional characters": {"代开发票", "代開發票"},
		"soft hyphens":           {"加v信", "加\u00adv\u00ad信"},
		"spaced out":             {"son of a", "s o n o f a"},
	} {
		for _, e := range Evasions() {
			if e.Name != name {
				continue
			}
			if got, _ := e.Apply(c[0], 1); got != c[1] {
				t.Errorf("%s: %q becomes %q, want %q", name, c[0], got, c[1])
			}
		}
	}
	if _, ok := mixCase("赌博", 1); ok {
		t.Error("a Chinese word has another case")
	}
}

func TestCarryKeepsTheWord(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(200) {
		s := Carry("x", seed)
		if !strings.Contains(s, "x") || s != Carry("x", seed) {
			t.Errorf("%q", s)
		}
		seen[s] = true
	}
	if len(seen) != len(carriers) {
		t.Errorf("%d of %d carriers are used", len(seen), len(carriers))
	}
}

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/barrage-im/barrage/filter/fold"
)

var built = sync.OnceValues(func() (*builder, error) {
	src, err := readSources("data")
	if err != nil {
		return nil, err
	}
	b := newBuilder(src)
	return b, b.foldAll()
})

func build(t *testing.T) *builder {
	t.Helper()
	b, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTheCommittedTablesAreFresh(t *testing.T) {
	files, _, err := generate("data")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		committed, err := os.ReadFile(filepath.Join("..", f.name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(committed, f.content) {
			t.Errorf("%s is stale; run: go generate ./filter/fold", f.name)
		}
	}
}

// What was packed comes out again: package fold answers as the rules do.
func TestFoldAnswersAsTheRules(t *testing.T) {
	b := build(t)
	capitalI := map[rune]bool{}
	for _, r := range b.capitalI {
		capitalI[r] = true
	}
	ids, count := b.syllables()
	if count != fold.SyllableCount {
		t.Errorf("%d syllables, fold has %d", count, fold.SyllableCount)
	}
	for r := rune(0); r <= maxRune; r++ {
		if got, want := fold.Fine(r), b.fine[r]; got != want {
			t.Errorf("Fine(%U) = %U, the rules say %U", r, got, want)
		}
		if got, want := int(fold.KindOf(r)), b.kind(r); got != want {
			t.Errorf("KindOf(%U) = %d, the rules say %d", r, got, want)
		}
		if got, want := fold.LeetSymbol(r), b.symbols[r] != 0; got != want {
			t.Errorf("LeetSymbol(%U) = %v, the rules say %v", r, got, want)
		}
		if got, _ := fold.StandsFor(r, 'l'); b.fine[r] == 'i' && got != capitalI[r] {
			t.Errorf("StandsFor(%U, l) = %v, the rules say %v", r, got, capitalI[r])
		}
		if r >= firstHan && r <= lastHan && int(fold.Syllable(r)) != ids[r-firstHan] {
			t.Errorf("Syllable(%U) = %d, the rules say %d", r, fold.Syllable(r), ids[r-firstHan])
		}
	}
}

func TestEveryRuleIsNeeded(t *testing.T) {
	b := build(t)
	count := map[string]int{}
	for r, name := range b.why {
		if b.fine[r] != r {
			count[name]++
		}
	}
	for _, s := range b.steps {
		if count[s.name] < 10 {
			t.Errorf("rule %q takes %d runes", s.name, count[s.name])
		}
	}
	for r := range numerals {
		if b.fine[r] != numerals[r] {
			t.Errorf("%c counts as %c, the list of numerals says %c", r, b.fine[r], numerals[r])
		}
	}
	for r, to := range alsoAlike {
		if b.fine[r] != to {
			t.Errorf("%c counts as %c, the list of look-alikes says %c", r, b.fine[r], to)
		}
	}
}

func TestSyllablesHaveNoTone(t *testing.T) {
	b := build(t)
	for with, without := range map[string]string{"zhōng": "zhong", "lǜ": "lu\u0308", "le": "le", "ǹg": "ng", "ḿ": "m", "xíng": "xing"} {
		if got := b.toneless(with); got != without {
			t.Errorf("%s without tone is %s, not %s", with, got, without)
		}
	}
}

func TestABadSourceIsNamed(t *testing.T) {
	for name, c := range map[string]struct{ file, content, says string }{
		"missing":   {"", "", "UnicodeData.txt.bz2"},
		"truncated": {"UnicodeData.txt.bz2", "BZh9 and no more", "read "},
		"no pair":   {"TSCharacters.txt", "# a comment\n後\n", "TSCharacters.txt:2: "},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if c.file != "" {
				if err := os.CopyFS(dir, os.DirFS("data")); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, c.file), []byte(c.content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := readSources(dir); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("the error is %v, without %q", err, c.says)
			}
		})
	}
}

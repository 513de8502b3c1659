package filter_test

import (
	"fmt"
	"testing"

	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/filter/corpus"
)

// listed are words as a list without further marks has them.
func listed(tb testing.TB, words []string) []filter.Entry {
	tb.Helper()
	source := []byte("%list 1\n%name words\n%default severity=2 action=mask\n")
	for _, w := range words {
		source = append(append(source, w...), '\n')
	}
	list, problems := filter.ParseList("words", source)
	for _, p := range problems {
		if p.Fatal {
			tb.Fatal(p)
		}
	}
	return list.Entries
}

func compile(tb testing.TB, entries []filter.Entry, engine string) *filter.Filter {
	tb.Helper()
	f, err := filter.Compile(entries, filter.Options{Engine: engine})
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// Shares of evaded words that have to be found.
const (
	evadedWords   = 500
	foundOneToOne = 0.99
	foundOthers   = 0.95
	missesShown   = 5
)

// A listed word is found however it is written, in a sentence.
func TestEvasionsAreSeenThrough(t *testing.T) {
	entries := corpus.List()
	listedWords := len(entries)
	entries = append(entries, listed(t, corpus.Words(5000))...)
	f := compile(t, entries, "")
	for _, e := range corpus.Evasions() {
		words, tried, found := 0, 0, 0
		var missed []string
		// The evaluation list first, then as many of the others as are needed.
		for i := range entries {
			if entries[i].Allow {
				continue
			}
			if i >= listedWords && words >= evadedWords {
				break
			}
			for seed := range uint64(2) {
				evaded, ok := e.Apply(entries[i].Word, seed)
				if !ok {
					break
				}
				if seed == 0 {
					words++
				}
				text := corpus.Carry(evaded, seed+uint64(i))
				tried++
				if len(f.Scan(nil, []byte(text))) > 0 {
					found++
				} else {
					missed = append(missed, fmt.Sprintf("%q as %+q", entries[i].Word, text))
				}
			}
		}
		share, want := float64(found)/float64(tried), foundOthers
		if e.OneToOne {
			want = foundOneToOne
		}
		t.Logf("%-40s %6.2f %% of %d texts with %d words", e.Name, 100*share, tried, words)
		for i, m := range missed {
			if i == missesShown {
				break
			}
			t.Logf("    missed %s", m)
		}
		if words < evadedWords {
			t.Errorf("%s: only %d words, want %d", e.Name, words, evadedWords)
		}
		if share < want {
			t.Errorf("%s: %.2f %% found, want %.0f %%", e.Name, 100*share, 100*want)
		}
	}
}

// Ordinary chat is left alone.
func TestOrdinaryChatIsLeftAlone(t *testing.T) {
	const (
		messages = 100_000
		most     = 0.001
	)
	entries := corpus.List()
	f := compile(t, entries, "")
	hits := 0
	words := map[string]int{}
	example := map[string]string{}
	for _, m := range corpus.Clean(messages, 77) {
		spans := f.Scan(nil, m)
		if len(spans) > 0 {
			hits++
		}
		for _, s := range spans {
			w := entries[s.Entry].Word
			words[w]++
			example[w] = string(m)
		}
	}
	t.Logf("%d of %d messages: %.3f %%", hits, messages, 100*float64(hits)/messages)
	for w, n := range words {
		t.Logf("%4d %q, such as %q", n, w, example[w])
	}
	if float64(hits) > most*messages {
		t.Errorf("%d of %d ordinary messages are hit, want at most %.1f %%", hits, messages, 100*most)
	}
}

package corpus

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/barrage-im/barrage/filter"
)

func TestListIsRealistic(t *testing.T) {
	listed, allowed, latin, han, mixed, wildcards := 0, 0, 0, 0, 0, 0
	for _, e := range List() {
		if e.Allow {
			allowed++
			continue
		}
		listed++
		if e.Severity < filter.MinSeverity || e.Action == filter.Pass || len(e.Categories) == 0 {
			t.Errorf("%q has severity %d, action %v, categories %v", e.Word, e.Severity, e.Action, e.Categories)
		}
		hasHan := strings.ContainsFunc(e.Word, func(r rune) bool { return unicode.Is(unicode.Han, r) })
		switch ascii := strings.IndexFunc(e.Word, func(r rune) bool { return r < utf8.RuneSelf }) >= 0; {
		case hasHan && ascii:
			mixed++
		case hasHan:
			han++
		default:
			latin++
			if !e.Left || !e.Right {
				wildcards++
			}
		}
	}
	within(t, "listed words", float64(listed), 500, 2_000)
	within(t, "allowed words", float64(allowed), 50, 200)
	within(t, "share of Latin words", share(latin, listed), 0.25, 0.45)
	within(t, "share of Han words", share(han, listed), 0.45, 0.65)
	within(t, "share of mixed words", share(mixed, listed), 0.05, 0.15)
	within(t, "words with an open end", float64(wildcards), 40, 150)
}

// The list must not be one that nobody could use: read letter by letter,
// without any folding, it hits next to no clean message. Filters add their own.
func TestListHitsFewCleanMessages(t *testing.T) {
	entries := lowered()
	hits := 0
	clean := Clean(10_000, 11)
	for _, m := range append(Canary(), clean...) {
		if word := firstHit(entries, strings.ToLower(string(m))); word != "" {
			t.Logf("%s: %s", word, m)
			hits++
		}
	}
	within(t, "share of clean messages hit", share(hits, len(clean)), 0, 0.0005)
}

func TestAllowedWordsHoldListedOnes(t *testing.T) {
	entries := lowered()
	listed := slices.DeleteFunc(slices.Clone(entries), func(e filter.Entry) bool { return e.Allow })
	useless := 0
	for _, e := range entries {
		if e.Allow && firstHit(listed, e.Word) == "" {
			useless++
		}
	}
	// English names such as Scunthorpe hold a listed word only for lists that do
	// not ask for word ends; they are on every such list all the same.
	if useless > 10 {
		t.Errorf("%d allowed words hold no listed word", useless)
	}
}

func lowered() []filter.Entry {
	entries := List()
	for i := range entries {
		entries[i].Word = strings.ToLower(entries[i].Word)
	}
	return entries
}

// firstHit looks for lowered entries one by one, as they are written.
func firstHit(entries []filter.Entry, text string) string {
	var allowed [][2]int
	for _, e := range entries {
		if e.Allow {
			each(e, text, func(start, end int) bool {
				allowed = append(allowed, [2]int{start, end})
				return true
			})
		}
	}
	hit := ""
	for _, e := range entries {
		if e.Allow {
			continue
		}
		each(e, text, func(start, end int) bool {
			if !slices.ContainsFunc(allowed, func(a [2]int) bool { return a[0] <= start && end <= a[1] }) {
				hit = e.Word
			}
			return hit == ""
		})
		if hit != "" {
			break
		}
	}
	return hit
}

func each(e filter.Entry, text string, f func(start, end int) bool) {
	letter := func(r rune) bool { return r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)) }
	for from := 0; ; {
		i := strings.Index(text[from:], e.Word)
		if i < 0 {
			return
		}
		start, end := from+i, from+i+len(e.Word)
		before, _ := utf8.DecodeLastRuneInString(text[:start])
		after, _ := utf8.DecodeRuneInString(text[end:])
		if (!e.Left || !letter(before)) && (!e.Right || !letter(after)) && !f(start, end) {
			return
		}
		from = end
	}
}

package filter_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/filter/corpus"
)

func masked(words ...string) (entries []filter.Entry) {
	for _, w := range words {
		entries = append(entries, filter.Entry{Word: w, Severity: 2, Action: filter.Mask})
	}
	return entries
}

func TestCompileRefuses(t *testing.T) {
	signs := make([]string, filter.MaxSymbolWords+1)
	for i := range signs {
		signs[i] = strings.Repeat("?", 1+i%35) + strings.Repeat("#", i/35)
	}
	small := make([]string, filter.MaxSmallWords+1)
	for i := range small {
		small[i] = fmt.Sprint("word", i)
	}
	for _, c := range []struct {
		name    string
		entries []filter.Entry
		engine  string
		want    string
	}{
		{"too many entries", make([]filter.Entry, filter.MaxEntries+1), "", "1000001 entries: at most 1000000"},
		{"no word", masked(""), "", `"": it has no letter, digit or symbol`},
		{"only spaces", masked(" \t\u3000"), "", "it has no letter, digit or symbol"},
		{"only what cannot be seen", masked("\u200b\u0301\ufe0f"), "", "it has no letter, digit or symbol"},
		{"too many letters", masked(strings.Repeat("ab", filter.MaxWordRunes)), "", "more than 64 letters"},
		{"too many symbols", masked(strings.Repeat("😀", filter.MaxWordRunes+1)), "", "more than 64 letters or symbols"},
		{"too many bytes", masked("a" + strings.Repeat("\u200b", filter.MaxWordBytes)), "", "more than 512 bytes"},
		{"damaged", masked("a\xffb"), "", "it is not valid UTF-8"},
		{"an action it does not have", []filter.Entry{{Word: "a", Severity: 1, Action: filter.Pass, Line: 7}}, "", `line 7: "a": action pass: use flag to block`},
		{"another", []filter.Entry{{Word: "a", Severity: 1, Action: filter.Block + 1}}, "", "use flag to block"},
		{"no severity", []filter.Entry{{Word: "a", Action: filter.Block}}, "", "severity 0: use 1 to 4"},
		{"too high a severity", []filter.Entry{{Word: "a", Action: filter.Block, Severity: 5}}, "", "severity 5: use 1 to 4"},
		{"too many words of symbols", masked(signs...), "", "1001 words have no letter or digit: at most 1000"},
		{"too many words for the engine", masked(small...), "cloudflare", "2001 words: the engine cloudflare takes at most 2000"},
		{"an unknown engine", masked("a"), "regexp", `engine "regexp": use folded, cloudflare`},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := filter.Compile(c.entries, filter.Options{Engine: c.engine})
			if err == nil || f != nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("filter %v, error %v, want none and %q", f != nil, err, c.want)
			}
		})
	}
}

func TestNothingIsFoundInNothing(t *testing.T) {
	for _, engine := range []string{"", "folded", "cloudflare"} {
		empty := compile(t, nil, engine)
		one := compile(t, masked("bad"), engine)
		for _, text := range []string{"", "bad", "\xff", "\u200b", strings.Repeat("\u0301", 1000)} {
			if s := empty.Scan(nil, []byte(text)); len(s) > 0 || empty.Judge([]byte(text), 0).Action != filter.Pass {
				t.Errorf("%q: an empty list finds %v", text, s)
			}
			if s := one.Scan(nil, []byte(text)); (len(s) > 0) != (text == "bad") {
				t.Errorf("%q: %v", text, s)
			}
		}
		if got := empty.AppendMasked([]byte("x"), []byte("a\xffb"), 0); string(got) != "xa\xffb" {
			t.Errorf("%q", got)
		}
		if empty.Len() != 0 || one.Len() != 1 {
			t.Errorf("%d and %d entries", empty.Len(), one.Len())
		}
	}
	onlyAllowed := compile(t, []filter.Entry{{Word: "good", Allow: true}}, "")
	if s := onlyAllowed.Scan(nil, []byte("good")); len(s) > 0 {
		t.Errorf("an allowed word is found: %v", s)
	}
}

// The strongest of what says the same counts, wherever it stands in the list; an
// exception beats all of them.
func TestContradictionsEndWithTheStrongest(t *testing.T) {
	list := []filter.Entry{
		{Word: "bad", Severity: 4, Action: filter.Flag},
		{Word: "bad", Severity: 2, Action: filter.Block},
		{Word: "BÀD", Severity: 3, Action: filter.Block},
		{Word: "bad", Severity: 2, Action: filter.Block},
		{Word: "b a d", Severity: 4, Action: filter.Hold},
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		r.Shuffle(len(list), func(i, k int) { list[i], list[k] = list[k], list[i] })
		for _, engine := range []string{"folded", "cloudflare"} {
			f := compile(t, list, engine)
			v := f.Judge([]byte("so bad"), 0)
			if v.Action != filter.Block || v.Severity != 3 || f.Entry(v.Entry).Word != "BÀD" {
				t.Fatalf("verdict %+v by %+v", v, f.Entry(v.Entry))
			}
			if v := f.Judge([]byte("so bad"), 4); v.Action != filter.Hold {
				t.Fatalf("from severity 4: %+v", v)
			}
			if spans := f.Scan(nil, []byte("so bad")); len(spans) != 1 {
				t.Fatalf("%v", spans)
			}
		}
	}
	f := compile(t, append(list, filter.Entry{Word: "so bad", Allow: true}), "")
	if v := f.Judge([]byte("so bad"), 0); v.Action != filter.Pass {
		t.Errorf("what is allowed: %+v", v)
	}
	if v := f.Judge([]byte("so bad, bad"), 0); v.Action != filter.Block {
		t.Errorf("what is beside it: %+v", v)
	}
}

// A strict entry is found by its sound, and that only ever flags.
func TestSoundsOnlyFlag(t *testing.T) {
	f := compile(t, []filter.Entry{{Word: "赌博", Severity: 4, Action: filter.Block, Strict: true}}, "")
	for text, want := range map[string]filter.Action{"去赌博": filter.Block, "去堵搏": filter.Flag, "去睹.驳吧": filter.Flag, "去看博": filter.Pass} {
		if v := f.Judge([]byte(text), 0); v.Action != want || want != filter.Pass && v.Severity != 4 {
			t.Errorf("%s: %+v, want %v", text, v, want)
		}
		if got := f.AppendMasked(nil, []byte(text), 0); want == filter.Flag && string(got) != text {
			t.Errorf("%s is masked for its sound: %s", text, got)
		}
	}
	if s := f.Scan(nil, []byte("去堵搏")); len(s) > 0 {
		t.Errorf("Scan finds a sound: %v", s)
	}
}

func TestSignsAreWords(t *testing.T) {
	f := compile(t, masked("🖕", "☠\ufe0f", "</3", "c++", "5$"), "")
	for text, want := range map[string]string{
		"a🖕b": "a*b", "🖕🏿": "*🏿", "☠": "*", "x☠\ufe0f": "x*\ufe0f", "</3": "</*", "c++": "***", "5$": "**", "c": "c", "</ 4": "</ 4",
	} {
		if got := string(f.AppendMasked(nil, []byte(text), 0)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// everything matches nearly all there is.
func everything() []filter.Entry {
	var words []string
	for c := 'a'; c <= 'z'; c++ {
		words = append(words, string(c), string(c)+string(c))
	}
	for c := '0'; c <= '9'; c++ {
		words = append(words, string(c))
	}
	words = append(words, "的", "一", "是", "我", "你", "了", "不", "人", "在", "有", "这", "ab", "abab", "aba", "😂", ".", " a", "的 的", "il1", strings.Repeat("a", 64), strings.Repeat("ab", 32))
	entries := masked(words...)
	return append(entries, filter.Entry{Word: "a", Allow: true, Left: true, Right: true}, filter.Entry{Word: "的", Allow: true, Left: true})
}

// A text of 64 KB, whatever is in it, takes time by its length: one that grows
// with its square takes a hundred times what is allowed here.
func TestLargeTextsTakeTimeByTheirLength(t *testing.T) {
	size := 64 << 10
	if raced {
		size = 8 << 10
	}
	const (
		// Nanoseconds a byte, for all three calls: of an ordinary list, and of one
		// that has several matches at every letter.
		ordinary, extreme = 400, 20_000
	)
	repeat := func(s string) []byte { return bytes.Repeat([]byte(s), size/len(s)+1)[:size] }
	texts := map[string][]byte{}
	for _, s := range []string{
		"a", "6", "的", "ab", "aa.", "i1l|", "\u0301", "a\u0301", "\u200b", "\xff", "\xe4\xbd", " ", "a ", ".", "😂", "@", "a@", "$!", "的的.", "bad ", "ba", "aaaaaaaab",
		"a" + strings.Repeat("\u200b", 32), "a" + strings.Repeat("\u0301", 33), "a...", "a....", "𝖆𝒷", "ａ", "abcdefghijklmnopqrstuvwxyz", "1234567890", strings.Repeat("a", 25) + strings.Repeat("b", 25),
	} {
		texts[fmt.Sprintf("%.30q…", s)] = repeat(s)
	}
	texts["a word in 64 KB of marks"] = append(append([]byte("b"), repeat("\u0301")...), "ad"...)
	texts["a word, then 64 KB of marks"] = append([]byte("bad"), repeat("\u0301")...)
	filters := []struct {
		name  string
		f     *filter.Filter
		nanos int
	}{
		{"a list that matches everything", compile(t, everything(), "folded"), extreme},
		{"a list that matches everything, by cloudflare's engine", compile(t, everything(), "cloudflare"), extreme},
		{"an ordinary list", compile(t, corpus.List(), ""), ordinary},
		{"10,000 words", compile(t, listed(t, corpus.Words(10_000)), ""), ordinary},
	}
	dst := make([]filter.Span, 0, 1<<20)
	var out []byte
	for _, c := range filters {
		most := time.Duration(c.nanos * size)
		if raced {
			most *= 20
		}
		dearest := ""
		worst := time.Duration(0)
		for what, text := range texts {
			least := time.Duration(1 << 62)
			for range 3 {
				before := usedCPU()
				dst = c.f.Scan(dst[:0], text)
				c.f.Judge(text, 0)
				out = c.f.AppendMasked(out[:0], text, 0)
				if least = min(least, usedCPU()-before); least < most {
					break
				}
			}
			if least > most {
				t.Errorf("%s: %s: %v for Scan, Judge and AppendMasked of %d KB, want at most %v", c.name, what, least, len(text)>>10, most)
			}
			if least > worst {
				worst, dearest = least, what
			}
		}
		t.Logf("%s: %v at most, for %s", c.name, worst, dearest)
	}
}

func TestAListThatMatchesEverythingMatches(t *testing.T) {
	f := compile(t, everything(), "")
	hits := 0
	texts := corpus.Clean(1000, 3)
	for _, text := range texts {
		if f.Judge(text, 0).Action == filter.Mask {
			hits++
		}
	}
	if hits < len(texts)*3/4 {
		t.Errorf("%d of %d messages match", hits, len(texts))
	}
}

// Marks before, in and behind a word do not hide it, up to as many as no honest
// message has.
func TestMarksInsideWords(t *testing.T) {
	f := compile(t, []filter.Entry{{Word: "bad", Severity: 1, Action: filter.Block, Left: true, Right: true}}, "")
	marks := func(n int) string { return strings.Repeat("\u0301", n) }
	for text, want := range map[string]filter.Action{
		marks(32<<10) + "bad" + marks(32<<10):   filter.Block,
		"b" + marks(32) + "a" + marks(32) + "d": filter.Block,
		"b" + marks(33) + "ad":                  filter.Pass,
		"b" + marks(64<<10) + "ad":              filter.Pass,
		"x" + marks(64<<10) + "bad":             filter.Pass, // its word begins with x
		"bad" + marks(64<<10) + "x":             filter.Pass,
	} {
		if v := f.Judge([]byte(text), 0); v.Action != want {
			t.Errorf("%.12q… of %d bytes: %v, want %v", text, len(text), v.Action, want)
		}
	}
}

func TestDamagedTexts(t *testing.T) {
	f := compile(t, masked("bad", "的"), "")
	for text, want := range map[string]string{
		"\xffbad\xff":          "\xff***\xff",
		"b\xffad":              "****", // one symbol between
		"b\xe4\xbdad":          "*****",
		"b\xff\xff\xff\xffad":  "b\xff\xff\xff\xffad",
		"\xe7\x9a\x84\xe7\x9a": "*\xe7\x9a",
		"\xe7\x9a":             "\xe7\x9a",
		"ba\xed\xa0\x80d":      "******",
		"ba\xc0\x80d":          "*****",
	} {
		if got := string(f.AppendMasked(nil, []byte(text), 0)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

package filter_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/filter/corpus"
)

// invented makes lists and messages that meet each other often: few letters,
// words made of one another.
type invented struct {
	r     *rand.Rand
	words []string
}

// alphabets are letters that are mixed up: in each, some fold alike, some are
// told apart only by a close look, some are more than one run when doubled.
var alphabets = []string{
	"ab", "abcAB", "il1|!I", "o0O5s$S", "哈6的", "傻逼bB@a4", "的一壹①1", "aаɑα", "0123", "😀的a", "e3é\u0301t7+", "𠀀𠀁𠄀a", "ab 的", "g9 b8",
}

var fillers = []string{
	" ", ".", "-", "😂", "\u200b", "\u0301", "\ufe0f", "。", "、", "*", "@", "$", "!", "|", "＠", "...", "....", ". .", "\n", "\x00", "\xff", "\xe4\xbd", "\xf0\x9f",
	"\ufffd", "a", "的", "Z", "7", "\u200b\ufe0f\u200d", strings.Repeat("\u200b", 40), strings.Repeat(".", 9), "ⓐ", "Ａ", "ａ", "①", "🔥", "☠", "👩", "👧", "- -", "\ufffd.",
}

func (v *invented) pick(of []string) string { return of[v.r.IntN(len(of))] }

func (v *invented) letters(from []rune, low, high int) string {
	var b strings.Builder
	for range low + v.r.IntN(high-low+1) {
		c := from[v.r.IntN(len(from))]
		b.WriteRune(c)
		for v.r.IntN(5) == 0 {
			b.WriteRune(c)
		}
	}
	return b.String()
}

// list draws entries.
func (v *invented) list() []filter.Entry {
	alphabet := []rune(v.pick(alphabets))
	if v.r.IntN(4) == 0 {
		alphabet = append(alphabet, []rune(v.pick(alphabets))...)
	}
	v.words = v.words[:0]
	var entries []filter.Entry
	for range 1 + v.r.IntN(12) {
		var w string
		switch old := len(v.words) > 0; {
		case old && v.r.IntN(4) == 0: // with an old one's beginning
			o := []rune(v.pick(v.words))
			w = string(o[:1+v.r.IntN(len(o))]) + v.letters(alphabet, 1, 3)
		case old && v.r.IntN(5) == 0: // with its end
			o := []rune(v.pick(v.words))
			w = v.letters(alphabet, 1, 3) + string(o[v.r.IntN(len(o)):])
		case old && v.r.IntN(8) == 0: // the same, written otherwise
			w, _ = v.evade(v.pick(v.words))
		case old && v.r.IntN(8) == 0: // two in one
			w = v.pick(v.words) + v.pick([]string{"", " ", ".", "-"}) + v.pick(v.words)
		case v.r.IntN(6) == 0:
			w = v.letters(alphabet, 1, 1)
		case v.r.IntN(12) == 0:
			w = v.pick([]string{"😀", "🔥🔥", "☠\ufe0f", "👩\u200d👧", "\ufffd.", "- -", "...", "!a", "a!", "$a$", "c++", "5$", "a.b", "a b", "b. a", "i l", "666", "哈哈", "嘻嘻哈哈"})
		default:
			w = v.letters(alphabet, 1, 1+v.r.IntN(6))
		}
		if len([]rune(w)) > filter.MaxWordRunes || strings.TrimSpace(w) == "" {
			continue
		}
		e := filter.Entry{Word: w, Severity: uint8(1 + v.r.IntN(4)), Action: filter.Action(1 + v.r.IntN(5)), Strict: v.r.IntN(4) == 0}
		e.Left, e.Right = v.r.IntN(4) == 0, v.r.IntN(4) == 0
		if v.r.IntN(6) == 0 {
			e = filter.Entry{Word: w, Allow: true, Left: e.Left, Right: e.Right}
		}
		v.words = append(v.words, w)
		entries = append(entries, e)
	}
	return entries
}

var evasions = corpus.Evasions()

func (v *invented) evade(word string) (string, bool) {
	return evasions[v.r.IntN(len(evasions))].Apply(word, v.r.Uint64())
}

// message draws one of pieces.
func (v *invented) message(alphabet []rune) []byte {
	var b []byte
	pieces := 1 + v.r.IntN(6)
	if v.r.IntN(80) == 0 {
		pieces *= 20 // several chunks
	}
	for range pieces {
		switch x := v.r.IntN(16); {
		case x < 4:
			b = append(b, v.pick(v.words)...)
		case x < 7:
			w, _ := v.evade(v.pick(v.words))
			b = append(b, w...)
		case x < 10:
			b = append(b, v.letters(alphabet, 1, 5)...)
		case x < 13:
			b = append(b, v.pick(fillers)...)
		case x < 14: // a word with something in it
			for _, c := range v.pick(v.words) {
				b = append(b, string(c)...)
				if v.r.IntN(3) == 0 {
					b = append(b, v.pick(fillers)...)
				}
			}
		case x < 15 && v.r.IntN(8) == 0: // a long run
			b = append(b, strings.Repeat(string(alphabet[v.r.IntN(len(alphabet))]), v.r.IntN(80))...)
		default:
			for range v.r.IntN(4) {
				b = append(b, byte(v.r.IntN(256)))
			}
		}
	}
	return b
}

// compared is one list in both engines and in the reference.
type compared struct {
	entries       []filter.Entry
	folded, small *filter.Filter
	naive         *filter.Reference
}

func newCompared(entries []filter.Entry) (*compared, error) {
	c := &compared{entries: entries, naive: filter.NewReference(entries)}
	var err error
	if c.folded, err = filter.Compile(entries, filter.Options{Engine: "folded"}); err != nil {
		return nil, err
	}
	c.small, err = filter.Compile(entries, filter.Options{Engine: "cloudflare"})
	return c, err
}

// places compares what the engines find with what is found by looking closely at
// every place.
func (c *compared) places(text []byte) error {
	want := c.folded.Tried(text)
	if got := c.folded.Matches(text); !slices.Equal(got, want) {
		return c.differ("folded engine", text, got, want)
	}
	if got := c.small.Matches(text); !slices.Equal(got, want) {
		return c.differ("cloudflare engine", text, got, want)
	}
	return nil
}

// verdicts compares all that a filter says with the reference.
func (c *compared) verdicts(text []byte, minSeverity uint8) error {
	if got, want := c.folded.Matches(text), c.naive.Matches(text); !slices.Equal(got, want) {
		return c.differ("matches", text, got, want)
	}
	scanned := c.naive.Scan(text)
	for _, f := range []*filter.Filter{c.folded, c.small} {
		if got := f.Scan(nil, text); !slices.Equal(got, scanned) {
			return c.differ(f.Engine()+" engine's Scan", text, got, scanned)
		}
		got, want := f.Judge(text, minSeverity), c.naive.Judge(text, minSeverity)
		if got.Action != want.Action || got.Severity != want.Severity {
			return fmt.Errorf("%s: %q: verdict %+v, want %+v\n%s", f.Engine(), text, got, want, c)
		}
		if got, want := f.AppendMasked(nil, text, minSeverity), c.naive.Masked(text, minSeverity); string(got) != string(want) {
			return fmt.Errorf("%s: %q: masked %q, want %q\n%s", f.Engine(), text, got, want, c)
		}
	}
	return nil
}

func (c *compared) differ(what string, text []byte, got, want []filter.Span) error {
	return fmt.Errorf("%s: %q: %v, want %v\n%s", what, text, got, want, c)
}

func (c *compared) String() string {
	var b strings.Builder
	for i, e := range c.entries {
		fmt.Fprintf(&b, "%3d %q left %v right %v allow %v strict %v %v %d\n", i, e.Word, e.Left, e.Right, e.Allow, e.Strict, e.Action, e.Severity)
	}
	return b.String()
}

// Every engine finds what is found by trying every word at every place, and
// says of it what the rules say.
func TestEnginesFindWhatTheReferenceFinds(t *testing.T) {
	messages, perList, judged := 1_000_000, 1000, 9
	if raced || testing.Short() {
		messages = 20_000
	}
	const seed = 1
	workers := runtime.GOMAXPROCS(0)
	var hits, checked atomic.Int64
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			for n := w; n < messages/perList && !t.Failed(); n += workers {
				v := &invented{r: rand.New(rand.NewPCG(seed, uint64(n)))}
				c, err := newCompared(v.list())
				for err != nil || len(v.words) == 0 {
					c, err = newCompared(v.list())
				}
				alphabet := []rune(strings.Join(v.words, ""))
				for i := range perList {
					text := v.message(alphabet)
					err := c.places(text)
					if err == nil && i%judged == 0 {
						err = c.verdicts(text, uint8(v.r.IntN(5)))
						checked.Add(1)
					}
					if err != nil {
						t.Errorf("list %d, message %d: %v", n, i, err)
						return
					}
					if i%50 == 0 && len(c.folded.Scan(nil, text)) > 0 {
						hits.Add(50)
					}
				}
			}
		})
	}
	wait.Wait()
	t.Logf("%d messages, about %d with a match; %d compared with the rules", messages, hits.Load(), checked.Load())
	if hits.Load() < int64(messages)/4 {
		t.Errorf("about %d of %d messages have a match: too few to prove anything", hits.Load(), messages)
	}
}

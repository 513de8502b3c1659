package cmd

import (
	"cmp"
	"context"
	"math/bits"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/barrage-im/barrage/filter"
)

// worst texts: what somebody would send who knows the list and the engine.

// family makes the text of a family, of n pieces or so, from listed words.
type family struct {
	name  string
	write func(dst []byte, word string) []byte // the next piece
}

var families = []family{
	{"listed words", func(dst []byte, w string) []byte { return append(dst, w...) }},
	{"listed words without their last letter", func(dst []byte, w string) []byte { return append(dst, beginning(w)...) }},
	{"the same, thrice each", func(dst []byte, w string) []byte { return append(dst, strings.Repeat(beginning(w), 3)...) }},
	{"three letters of listed words", func(dst []byte, w string) []byte {
		for i, r := range []rune(w) {
			if i == 3 {
				break
			}
			dst = utf8.AppendRune(dst, r)
		}
		return dst
	}},
	{"listed words with symbols inserted", func(dst []byte, w string) []byte {
		for _, r := range beginning(w) {
			dst = append(utf8.AppendRune(dst, r), "-.-"...)
		}
		return dst
	}},
	{"listed words with each letter trebled", func(dst []byte, w string) []byte {
		for _, r := range beginning(w) {
			dst = append(dst, strings.Repeat(string(r), 3)...)
		}
		return dst
	}},
	{"leetspeak", func(dst []byte, w string) []byte { return append(dst, "@$!|"+beginning(w)+"l33t!"...) }},
	{"one letter", func(dst []byte, _ string) []byte { return append(dst, 'a') }},
	{"combining marks", func(dst []byte, _ string) []byte { return append(dst, "a\u0301\u0308\u0336\u0332\u0301\u0308"...) }},
	{"characters without width", func(dst []byte, w string) []byte {
		for _, r := range beginning(w) {
			dst = append(utf8.AppendRune(dst, r), "\u200b"...)
		}
		return dst
	}},
	{"emoji", func(dst []byte, _ string) []byte { return append(dst, "😂🔥"...) }},
	{"bytes that are no UTF-8", func(dst []byte, _ string) []byte { return append(dst, 0xe4, 0xff, 0x80) }},
}

func beginning(word string) string {
	_, size := utf8.DecodeLastRuneInString(word)
	return word[:len(word)-size]
}

// worstLengths are of short messages and of the longest that core takes by default.
var worstLengths = []int{100, 4096}

const worstTexts = 64 // of each family and length

// worstOf is how much more a byte of a family costs than one of ordinary chat.
type worstOf struct {
	Family string  `json:"family"`
	Bytes  int     `json:"bytes"` // of a text
	MBs    float64 `json:"mb_s"`
	Ratio  float64 `json:"ratio"`
}

// worstCases tries all families, in turns with ordinary chat, and keeps of each
// the length that costs more.
func worstCases(ctx context.Context, f *filter.Filter, words []string, clean [][]byte, seconds float64) ([]worstOf, error) {
	chat := &contestant{scan: f.Scan, filter: f}
	all, out := []*contestant{chat}, []worstOf{}
	texts := [][][]byte{clean}
	for _, fam := range families {
		for _, n := range worstLengths {
			all = append(all, &contestant{scan: f.Scan, filter: f})
			texts = append(texts, fam.texts(words, n))
			out = append(out, worstOf{Family: fam.name, Bytes: n})
		}
	}
	end := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	for first := true; first || time.Now().Before(end); first = false {
		for i, c := range all {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			c.best = c.shorter(c.best, texts[i], c.pass)
		}
	}
	perByte := func(i int) float64 {
		size := 0
		for _, t := range texts[i] {
			size += len(t)
		}
		return float64(all[i].best.Nanoseconds()) / float64(size)
	}
	for i := range out {
		out[i].MBs, out[i].Ratio = 1e3/perByte(i+1), perByte(i+1)/perByte(0)
	}
	slices.SortStableFunc(out, func(a, b worstOf) int { return cmp.Compare(b.Ratio, a.Ratio) })
	seen := map[string]bool{}
	return slices.DeleteFunc(out, func(w worstOf) bool {
		again := seen[w.Family]
		seen[w.Family] = true
		return again
	}), nil
}

func (fam family) texts(words []string, n int) (texts [][]byte) {
	next := 0
	for range worstTexts {
		var text []byte
		for tries := 0; len(text) < n && tries < 2*n; tries++ {
			next = (next + 7919) % len(words) // a prime: words that do not stand together
			text = fam.write(text, words[next])
		}
		texts = append(texts, text[:min(n, len(text))])
	}
	return texts
}

// latency is the time of single calls of Scan.
type latency struct {
	Idle   latencyOf `json:"idle"`
	Reload latencyOf `json:"reload"` // while another list is compiled
}

type latencyOf struct {
	P50  float64 `json:"p50_us"`
	P999 float64 `json:"p999_us"`
}

// reloadRounds are tried, and of each kind the round counts that was disturbed
// the least.
const reloadRounds = 5

// measureLatency times every call, idle and while the entries of a large list
// are compiled in another goroutine.
func measureLatency(ctx context.Context, f *filter.Filter, texts [][]byte, large []filter.Entry) (l latency, err error) {
	keep := func(best *latencyOf, o latencyOf) {
		if best.P999 == 0 || o.P999 < best.P999 {
			*best = o
		}
	}
	for range reloadRounds {
		if err := ctx.Err(); err != nil {
			return l, err
		}
		compiled := make(chan error, 1)
		go func() {
			_, err := filter.Compile(large, filter.Options{})
			compiled <- err
		}()
		var during times
		for done := false; !done; {
			during.measure(f, texts)
			select {
			case err = <-compiled:
				done = true
			default:
			}
		}
		if err != nil {
			return l, err
		}
		keep(&l.Reload, during.summary())
		var idle times
		for idle.n < during.n {
			idle.measure(f, texts)
		}
		keep(&l.Idle, idle.summary())
	}
	return l, nil
}

// times counts durations by their size: 8 steps for each doubling.
type times struct {
	count [64 << timeSteps]int
	n     int
}

const timeSteps = 3

func (t *times) measure(f *filter.Filter, texts [][]byte) {
	var room [256]filter.Span
	for _, text := range texts {
		start := time.Now()
		f.Scan(room[:0], text)
		t.add(uint64(time.Since(start)))
	}
}

func (t *times) add(ns uint64) {
	n := max(0, bits.Len64(ns)-1-timeSteps)
	t.count[min(n<<timeSteps+int(ns>>n), len(t.count)-1)]++
	t.n++
}

func (t *times) summary() latencyOf {
	return latencyOf{P50: t.quantile(0.5), P999: t.quantile(0.999)}
}

// quantile is in microseconds.
func (t *times) quantile(q float64) float64 {
	rest := int(float64(t.n) * (1 - q))
	for i := len(t.count) - 1; i >= 0; i-- {
		if rest -= t.count[i]; rest < 0 {
			n := max(0, i>>timeSteps-1)
			return float64(uint64(i-n<<timeSteps)<<n) / 1e3
		}
	}
	return 0
}

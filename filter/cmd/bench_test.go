package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/filter/corpus"
	"github.com/barrage-im/barrage/protocol/ops"
)

// quickly runs the bench with one pass over small lists.
func quickly(t *testing.T, args ...string) string {
	t.Helper()
	return must(t, append([]string{"bench", "--seconds", "0", "--clean", "500"}, args...)...)
}

func TestBenchMeasuresEverything(t *testing.T) {
	var r benchResult
	if err := json.Unmarshal([]byte(quickly(t, "--words", "300,3000", "-o", "json")), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Lists) != 2 || r.Lists[0].Words != 300 || r.Lists[1].Words != 3000 || r.Messages != benchMessages || r.Bytes < 20*benchMessages {
		t.Fatalf("%+v", r)
	}
	for _, l := range r.Lists {
		var names []string
		for _, c := range l.Engines {
			names = append(names, c.Engine)
			if c.Refused != "" {
				continue
			}
			if c.MBs <= 0 || c.Nanoseconds <= 0 || c.Engine != benchDecode && (c.Bytes == 0 || c.BuildMS <= 0 || c.Hits == 0) {
				t.Errorf("%d words: %+v", l.Words, c)
			}
		}
		if want := []string{benchDecode, benchFolded, benchReference, benchCloudflare}; !slices.Equal(names, want) {
			t.Errorf("%d words: engines %v, want %v", l.Words, names, want)
		}
		if f := l.engine(benchFolded); f.Allocations > 0.01 || f.JudgeNS <= 0 || l.Chosen != benchFolded {
			t.Errorf("%d words: chosen %s, %+v", l.Words, l.Chosen, f)
		}
		if l.Latency.Idle.P50 <= 0 || l.Latency.Idle.P999 < l.Latency.Idle.P50 || l.Latency.Reload.P999 <= 0 {
			t.Errorf("%d words: %+v", l.Words, l.Latency)
		}
		if len(l.Worst) != len(families) || l.Worst[0].Ratio < l.Worst[len(families)-1].Ratio {
			t.Errorf("%d words: %d families of slow texts: %+v", l.Words, len(l.Worst), l.Worst)
		}
	}
	if small, large := r.Lists[0].engine(benchCloudflare), r.Lists[1].engine(benchCloudflare); small.Refused != "" || small.Hits != r.Lists[0].engine(benchFolded).Hits {
		t.Errorf("the engines find different things: %+v", small)
	} else if large.Refused == "" || large.Bytes < 3000*4*cloudflareByte {
		t.Errorf("3000 words of cloudflare: %+v", large)
	}
	if len(r.Evasions) < 12 || r.False.Messages != 500 || r.False.Hits > 5 {
		t.Errorf("%d evasions, false hits %+v", len(r.Evasions), r.False)
	}
	for _, e := range r.Evasions {
		if e.Tried < 500 || e.Caught == 0 {
			t.Errorf("%+v", e)
		}
	}
}

func TestBenchTables(t *testing.T) {
	for format, want := range map[string]string{"table": "Speed on one processor\nwords  engine", "markdown": "### Speed on one processor\n\n| words | engine |"} {
		out := quickly(t, "--words", "100", "--engines", "folded", "-o", format)
		contains(t, out, want, "Memory and building", "Texts made to be slow", "leetspeak", "zero-width characters", "False hits: ", " of 500 ordinary messages")
		if strings.Contains(out, "dfa  ") || strings.Contains(out, "NaN") || strings.Contains(out, "Inf") {
			t.Errorf("%s", out)
		}
	}
}

func TestBenchOfAnOwnList(t *testing.T) {
	out := quickly(t, write(t, "old-words.txt", words), "--words", "100", "--engines", "folded,dfa", "-o", "markdown")
	contains(t, out, "| 2 | folded |", "| 2 | dfa |", "Of old-words, each word", "by the old-words.")
}

func TestBenchRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"--words 0":          "use numbers from 1",
		"--words ten":        "use numbers from 1",
		"--engines fast":     "use folded, dfa and cloudflare",
		"--engines dfa":      "is the one that is measured",
		"--seconds 601":      "use 0 (one pass) to 600",
		"--clean 0":          "use 1 to",
		"-o xml":             "use table, markdown or json",
		"no-such-file.txt":   "no-such-file.txt",
		"--words 10 --speed": "unknown flag --speed",
	} {
		if _, _, err := invoke(t, "", append([]string{"bench"}, strings.Fields(args)...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
	allowed := write(t, "allowed.txt", "%list 1\n!fine\n")
	_, _, err := invoke(t, "", "bench", allowed)
	if usage := (*ops.UsageError)(nil); !errors.As(err, &usage) {
		t.Errorf("a list of allowed words only: %v", err)
	}
}

// The yardstick is held to what a plain search finds.
func TestReferenceFindsEveryWordThatEndsSomewhere(t *testing.T) {
	lists := [][]string{
		{"he", "she", "his", "hers"},
		{"a", "aa", "aaa", "b"},
		{"abcd", "bc", "c", "bcde", "c"},
		{"赌博", "博彩", "赌"},
	}
	texts := []string{"", "ushers and his", "aaaaab", "xabcdexbc", "网络赌博博彩", "abc\xff赌"}
	for _, words := range lists {
		r, err := newReference(words)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			var want []filter.Span
			for end := 1; end <= len(text); end++ {
				longest := 0
				for _, w := range words {
					if strings.HasSuffix(text[:end], w) {
						longest = max(longest, len(w))
					}
				}
				if longest > 0 {
					want = append(want, filter.Span{Start: int32(end - longest), End: int32(end)})
				}
			}
			if got := r.scan(nil, []byte(text)); !slices.Equal(got, want) {
				t.Errorf("%v in %q: got %v, want %v", words, text, got, want)
			}
		}
	}
}

func TestReferenceHasALimit(t *testing.T) {
	var words []string
	for b := range 256 {
		words = append(words, string(bytes.Repeat([]byte{byte(b)}, 10_000)))
	}
	if _, err := newReference(words); err == nil || !strings.Contains(err.Error(), "2147 MB is taken") {
		t.Errorf("%v", err)
	}
}

func TestTimesAreSummedUp(t *testing.T) {
	var s times
	for i := range 1000 {
		s.add(uint64(i + 1))
	}
	for q, want := range map[float64]float64{0.5: 0.5, 0.9: 0.9, 0.999: 1} {
		if got := s.quantile(q); math.Abs(got-want) > want/8 {
			t.Errorf("quantile %g: %g µs, want %g", q, got, want)
		}
	}
	s.add(uint64(time.Hour))
	if got := s.quantile(1); got < 3e9 || got > 4e9 {
		t.Errorf("the slowest: %g µs, want an hour", got)
	}
}

// BenchmarkFoldedAgainstReference: "×" is how many times faster than a plain byte
// automaton the folded engine is. 100,000 words take it 0.4 GB; see "filter bench".
func BenchmarkFoldedAgainstReference(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			entries, err := drawn(n)
			if err != nil {
				b.Fatal(err)
			}
			texts := corpus.Messages(benchMessages, benchSeed, benchWordsOf(entries), benchDirty)
			folded, plain := build(benchFolded, entries, 0), build(benchReference, entries, 0)
			for b.Loop() {
				folded.best = folded.shorter(folded.best, texts, folded.pass)
				plain.best = plain.shorter(plain.best, texts, plain.pass)
			}
			b.ReportMetric(float64(plain.best)/float64(folded.best), "×")
			b.ReportMetric(float64(folded.best.Nanoseconds())/benchMessages, "ns/message")
			b.ReportMetric(0, "ns/op")
		})
	}
}

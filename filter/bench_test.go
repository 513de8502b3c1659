package filter_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/filter/corpus"
)

// "barrage filter bench" measures more, and against a plain byte automaton.

var benchSizes = []int{1000, 10_000, 100_000}

// benchSpans has room for the matches of any message below.
var benchSpans = make([]filter.Span, 0, 256)

// benchRules are n built-in words as a list without further marks has them, and
// messages of which one in 50 has one.
func benchRules(b *testing.B, n int, engine string) (f *filter.Filter, texts [][]byte, size int) {
	b.Helper()
	f, err := filter.Compile(benchEntries(b, n), filter.Options{Engine: engine})
	if err != nil {
		b.Fatal(err)
	}
	texts = corpus.Messages(8000, 1, corpus.Words(n), 0.02)
	for _, t := range texts {
		size += len(t)
	}
	return f, texts, size
}

func benchEntries(b *testing.B, n int) []filter.Entry {
	b.Helper()
	list, problems := filter.ParseList("words", []byte("%list 1\n"+strings.Join(corpus.Words(n), "\n")))
	if filter.Fatal(problems) {
		b.Fatal(problems[0])
	}
	return list.Entries
}

func benchOver(b *testing.B, call func(f *filter.Filter, text []byte)) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f, texts, size := benchRules(b, n, "folded")
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				for _, t := range texts {
					call(f, t)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(texts)), "ns/message")
			b.ReportMetric(float64(f.MemBytes())/1e6, "MB")
		})
	}
}

func BenchmarkScan(b *testing.B) {
	benchOver(b, func(f *filter.Filter, text []byte) { f.Scan(benchSpans[:0], text) })
}

func BenchmarkJudge(b *testing.B) {
	benchOver(b, func(f *filter.Filter, text []byte) { f.Judge(text, filter.MinSeverity) })
}

func BenchmarkCompile(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			entries := benchEntries(b, n)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := filter.Compile(entries, filter.Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFoldedAgainst times the engines in turns, so that a busy neighbour
// slows both: "×" is how many times faster the folded one is at its best.
func BenchmarkFoldedAgainst(b *testing.B) {
	b.Run("cloudflare", func(b *testing.B) {
		folded, texts, _ := benchRules(b, 1000, "folded")
		cloudflare, _, _ := benchRules(b, 1000, "cloudflare")
		benchRatio(b, texts, folded, func(i int) { cloudflare.Scan(benchSpans[:0], texts[i]) })
	})
	for _, n := range benchSizes { // what the machine needs to read UTF-8 at all
		b.Run(fmt.Sprintf("decode-%d", n), func(b *testing.B) {
			folded, texts, _ := benchRules(b, n, "folded")
			written := make([]string, len(texts))
			for i, t := range texts {
				written[i] = string(t)
			}
			letters := 0
			benchRatio(b, texts, folded, func(i int) {
				for _, r := range written[i] {
					letters += int(r & 1)
				}
			})
			if letters == 0 {
				b.Fatal("nothing was read")
			}
		})
	}
}

func benchRatio(b *testing.B, texts [][]byte, folded *filter.Filter, other func(i int)) {
	b.Helper()
	ours, theirs := time.Hour, time.Hour
	for b.Loop() {
		start := time.Now()
		for _, t := range texts {
			folded.Scan(benchSpans[:0], t)
		}
		ours = min(ours, time.Since(start))
		start = time.Now()
		for i := range texts {
			other(i)
		}
		theirs = min(theirs, time.Since(start))
	}
	b.ReportMetric(float64(theirs)/float64(ours), "×")
	b.ReportMetric(float64(ours.Nanoseconds())/float64(len(texts)), "ns/message")
	b.ReportMetric(0, "ns/op")
}

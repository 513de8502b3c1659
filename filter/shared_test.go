package filter_test

import (
	"runtime"
	"runtime/metrics"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/filter/corpus"
)

// Many may use one filter at a time.
func TestAFilterIsSharedByGoroutines(t *testing.T) {
	entries := append(corpus.List(), listed(t, corpus.Words(500))...)
	for _, engine := range []string{"folded", "cloudflare"} {
		f := compile(t, entries, engine)
		texts := corpus.Messages(1500, 4, corpus.Words(500), 0.5)
		want := make([][]filter.Span, len(texts))
		verdicts := make([]filter.Verdict, len(texts))
		hits := 0
		for i, text := range texts {
			want[i], verdicts[i] = f.Scan(nil, text), f.Judge(text, 2)
			hits += len(want[i])
		}
		if hits < len(texts)/3 {
			t.Fatalf("%d matches in %d texts: too few", hits, len(texts))
		}
		var wait sync.WaitGroup
		for w := range 8 {
			wait.Go(func() {
				var dst []filter.Span
				for n := range texts {
					i := (n*7 + w*100) % len(texts)
					if dst = f.Scan(dst[:0], texts[i]); !slices.Equal(dst, want[i]) {
						t.Errorf("%s: %q: %v, alone %v", engine, texts[i], dst, want[i])
						return
					}
					if v := f.Judge(texts[i], 2); v != verdicts[i] {
						t.Errorf("%s: %q: %v, alone %v", engine, texts[i], v, verdicts[i])
						return
					}
				}
			})
		}
		wait.Wait()
	}
}

func TestMessagesCostNoAllocation(t *testing.T) {
	if raced {
		t.Skip("the race detector allocates")
	}
	words := corpus.Words(500)
	entries := append(corpus.List(), listed(t, words)...)
	inFew := listed(t, words[:100])
	clean, dirty := corpus.Clean(200, 6), corpus.Messages(200, 6, words, 1)
	dst := make([]filter.Span, 0, 256)
	out := make([]byte, 0, 4096)
	for _, c := range []struct {
		name, engine string
		texts        [][]byte
		f            func(f *filter.Filter, text []byte)
	}{
		{"clean", "folded", clean, func(f *filter.Filter, text []byte) { dst = f.Scan(dst[:0], text) }},
		{"with words", "folded", dirty, func(f *filter.Filter, text []byte) { dst = f.Scan(dst[:0], text) }},
		{"with words, judged", "folded", dirty, func(f *filter.Filter, text []byte) { f.Judge(text, 0) }},
		{"with words, masked", "folded", dirty, func(f *filter.Filter, text []byte) { out = f.AppendMasked(out[:0], text, 0) }},
		// It returns the words that it found in a slice of its own, which may be
		// dropped then: so this is about texts that it finds nothing in.
		{"clean", "cloudflare", clean, func(f *filter.Filter, text []byte) { dst = f.Scan(dst[:0], text) }},
		{"clean, judged", "cloudflare", clean, func(f *filter.Filter, text []byte) { f.Judge(text, 0) }},
	} {
		f, texts := compile(t, entries, c.engine), c.texts
		if c.engine == "cloudflare" {
			f = compile(t, inFew, c.engine)
		}
		if n := testing.AllocsPerRun(20, func() {
			for _, text := range texts {
				c.f(f, text)
			}
		}); n > 0 {
			t.Errorf("%s engine, %d texts, %s: %v allocations", c.engine, len(texts), c.name, n)
		}
	}
}

// late is the time that all but one of a thousand calls of Scan take at most, of
// those between which nobody else was given the processor.
func late(f *filter.Filter, texts [][]byte, taken []time.Duration, until func(n int) bool) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const batch = 64 // calls that count if the thread kept its processor
	dst := make([]filter.Span, 0, 256)
	taken = taken[:0]
	for n := 0; len(taken)+batch <= cap(taken) && !until(n); {
		before, kept := preempted(), len(taken)
		for range batch {
			text := texts[n%len(texts)]
			start := time.Now()
			dst = f.Scan(dst[:0], text)
			taken = append(taken, time.Since(start))
			n++
		}
		if preempted() != before {
			taken = taken[:kept]
		}
	}
	if len(taken) == 0 {
		return 0
	}
	slices.Sort(taken)
	return taken[len(taken)*999/1000]
}

// preempted counts how often the kernel took the processor from this thread.
func preempted() int64 {
	const thread = 1 // RUSAGE_THREAD, getrusage(2)
	var u syscall.Rusage
	_ = syscall.Getrusage(thread, &u)
	return u.Nivcsw
}

// While a list of 100,000 words is compiled, the one in use scans on.
func TestScanGoesOnDuringAReload(t *testing.T) {
	if raced || testing.Short() {
		t.Skip("times are measured without the race detector")
	}
	const (
		rounds, more = 5, 10 // more: for what seems too long
		most         = 2.0
	)
	words := corpus.Words(100_000)
	entries := listed(t, words)
	f := compile(t, entries, "")
	texts := corpus.Messages(4000, 9, words, 0.02)
	taken := make([]time.Duration, 0, 1_000_000)
	var ratios []float64
	var idle, busy []time.Duration
	for n := 0; n < rounds || n < rounds+more && median(ratios) > most; n++ {
		done := make(chan *filter.Filter)
		go func() {
			next, err := filter.Compile(entries, filter.Options{})
			if err != nil {
				t.Error(err)
			}
			done <- next
		}()
		during := late(f, texts, taken, func(int) bool {
			select {
			case f = <-done:
				return true
			default:
				return false
			}
		})
		alone := late(f, texts, taken, func(n int) bool { return n == 200_000 })
		if alone == 0 || during == 0 {
			continue // the machine was never ours
		}
		idle, busy = append(idle, alone), append(busy, during)
		ratios = append(ratios, float64(during)/float64(alone))
	}
	if len(ratios) == 0 {
		t.Skip("other processes took the processor in every batch: nothing was measured")
	}
	t.Logf("p99.9 of Scan %v alone, %v during a reload (the least of each): %.2f times as long (the median; all: %.2f)", slices.Min(idle), slices.Min(busy), median(ratios), ratios)
	if got := median(ratios); got > most {
		t.Errorf("during a reload p99.9 of Scan is %.2f times as long as before, want at most %.0f", got, most)
	}
}

// median is 0 without any.
func median(of []float64) float64 {
	if len(of) == 0 {
		return 0
	}
	of = slices.Sorted(slices.Values(of))
	return of[len(of)/2]
}

// A garbage collection has little to do with a large filter.
func TestALargeFilterIsLittleGarbageCollectorsWork(t *testing.T) {
	if raced {
		t.Skip("times are measured without the race detector")
	}
	const most = 5 * time.Millisecond
	entries := listed(t, corpus.Words(100_000))
	// The least of some collections: another process can only make one longer.
	const tries, more = 9, 60
	mark := func(enough time.Duration) time.Duration {
		least := time.Duration(1 << 62)
		for n := 0; n < tries || n < more && least > enough; n++ {
			least = min(least, marking(runtime.GC))
		}
		return least
	}
	f := compile(t, entries, "")
	with := mark(most)
	memory := f.MemBytes()
	runtime.KeepAlive(f)
	f = nil
	without := mark(most)
	runtime.KeepAlive(f)
	runtime.KeepAlive(entries)
	t.Logf("marking takes %v with a filter of 100,000 words (%d MB) and %v without", with, memory>>20, without)
	if with-without > most {
		t.Errorf("the filter costs a garbage collection %v of marking, want at most %v", with-without, most)
	}
}

// marking is the processor time that is spent on marking while f runs.
func marking(f func()) time.Duration {
	names := []string{
		"/cpu/classes/gc/mark/assist:cpu-seconds", "/cpu/classes/gc/mark/dedicated:cpu-seconds", "/cpu/classes/gc/mark/idle:cpu-seconds",
	}
	read := func() (sum float64) {
		samples := make([]metrics.Sample, len(names))
		for i := range names {
			samples[i].Name = names[i]
		}
		metrics.Read(samples)
		for _, s := range samples {
			sum += s.Value.Float64()
		}
		return sum
	}
	before := read()
	f()
	return time.Duration((read() - before) * float64(time.Second))
}

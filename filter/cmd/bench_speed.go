package cmd

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/barrage-im/barrage/filter"
)

// Names of what is measured.
const (
	benchDecode     = "decode" // range over the text: what reading UTF-8 costs here
	benchFolded     = "folded"
	benchReference  = "dfa"
	benchCloudflare = "cloudflare"
)

// cloudflareByte is what github.com/cloudflare/ahocorasick allocates for one
// byte of its dictionary, before it looks at what words share.
const cloudflareByte = 4168

// contestant is one way to scan, and what it takes.
type contestant struct {
	Engine  string  `json:"engine"`
	Refused string  `json:"refused,omitempty"` // why it is not measured
	Bytes   int     `json:"bytes"`             // by its own count
	Heap    int64   `json:"heap"`              // by the runtime's
	BuildMS float64 `json:"build_ms"`
	GCMS    float64 `json:"gc_ms"` // what a collection takes longer while it is there

	MBs         float64 `json:"mb_s"`
	Nanoseconds float64 `json:"ns_message"`
	JudgeNS     float64 `json:"judge_ns_message,omitempty"`
	Hits        int     `json:"hits"`
	Allocations float64 `json:"allocations_message"`

	filter *filter.Filter // nil of those that are no engine of ours
	texts  []string       // of benchDecode
	scan   func(dst []filter.Span, text []byte) []filter.Span
	best   time.Duration // of a pass over all texts
	judge  time.Duration
}

// decodeOnly reads texts as UTF-8 and does nothing with them: machines differ,
// and this says by how much.
func decodeOnly(texts []string) {
	sum := rune(0)
	for _, t := range texts {
		for _, r := range t {
			sum += r
		}
	}
	runtime.KeepAlive(sum) // or the loop would be optimised away
}

// build makes a contestant for a list and weighs it.
func build(engine string, entries []filter.Entry, seconds float64) *contestant {
	c := &contestant{Engine: engine}
	if engine == benchDecode {
		return c
	}
	lower, size := lowered(entries)
	if engine == benchCloudflare && len(lower) > filter.MaxSmallWords {
		c.Bytes = cloudflareByte * size
		c.Refused = fmt.Sprintf("more than %d words", filter.MaxSmallWords)
		return c
	}
	gc, heap := collection(seconds), live()
	var hold any
	var err error
	c.BuildMS, err = c.quickest(engine, func() (err error) {
		if engine == benchReference {
			var r *reference
			if r, err = newReference(lower); err == nil {
				hold, c.scan, c.Bytes = r, r.scan, r.bytes()
			}
			return err
		}
		var f *filter.Filter
		if f, err = filter.Compile(entries, filter.Options{Engine: engine}); err == nil {
			hold, c.filter, c.scan, c.Bytes = f, f, f.Scan, f.MemBytes()
		}
		return err
	})
	if err != nil {
		c.Refused = err.Error()
		return c
	}
	c.Heap = live() - heap
	c.GCMS = milliseconds(max(0, collection(seconds)-gc))
	runtime.KeepAlive(hold)
	return c
}

// quickest builds: the engine that is chosen for large lists several times, the
// others, which take long, once.
func (c *contestant) quickest(engine string, once func() error) (ms float64, err error) {
	const builds = 5
	for i := range builds {
		runtime.GC() // what was built before is not this build's burden
		start := startWatch()
		if err := once(); err != nil {
			return 0, err
		}
		if took := milliseconds(start.elapsed()); i == 0 || took < ms {
			ms = took
		}
		if engine != benchFolded {
			break
		}
	}
	return ms, nil
}

// lowered are the words that the reference looks for, and their bytes.
func lowered(entries []filter.Entry) (words []string, size int) {
	for i := range entries {
		if !entries[i].Allow {
			words = append(words, strings.ToLower(entries[i].Word))
			size += len(entries[i].Word)
		}
	}
	return words, size
}

// live is the bytes of the heap that are in use.
func live() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools held
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// collection is what a garbage collection takes, at best of all in some time:
// most are held up by whatever else the machine does.
func collection(seconds float64) time.Duration {
	best := time.Hour
	end := time.Now().Add(time.Duration(min(1, seconds/4) * float64(time.Second)))
	for best == time.Hour || time.Now().Before(end) {
		start := startWatch()
		runtime.GC()
		best = min(best, start.elapsed())
	}
	return best
}

// race has all contestants scan the texts in turns for some time. The best
// pass of each counts: neighbours on the machine only ever make one slower.
func race(ctx context.Context, all []*contestant, texts [][]byte, seconds float64) error {
	size := 0
	for _, t := range texts {
		size += len(t)
	}
	all = slices.DeleteFunc(slices.Clone(all), func(c *contestant) bool { return c.Refused != "" })
	for _, c := range all {
		if c.Engine == benchDecode {
			for _, t := range texts {
				c.texts = append(c.texts, string(t))
			}
		}
		c.countAllocations(texts)
	}
	end := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	for first := true; first || time.Now().Before(end); first = false {
		for _, c := range all {
			if err := ctx.Err(); err != nil {
				return err
			}
			c.best = c.shorter(c.best, texts, c.pass)
			if c.filter != nil {
				c.judge = c.shorter(c.judge, texts, c.judgeAll)
			}
		}
	}
	for _, c := range all {
		c.MBs = float64(size) / c.best.Seconds() / 1e6
		c.Nanoseconds = float64(c.best.Nanoseconds()) / float64(len(texts))
		c.JudgeNS = float64(c.judge.Nanoseconds()) / float64(len(texts))
	}
	return nil
}

// shorter is the shortest of the best so far (0: none) and two passes. The
// first of them brings its tables back into the processor's caches.
func (c *contestant) shorter(best time.Duration, texts [][]byte, pass func([][]byte)) time.Duration {
	for range 2 {
		start := startWatch()
		pass(texts)
		if took := start.elapsed(); best == 0 || took < best {
			best = took
		}
	}
	return best
}

func (c *contestant) pass(texts [][]byte) {
	if c.texts != nil {
		decodeOnly(c.texts)
		return
	}
	var room [256]filter.Span
	c.Hits = 0
	for _, t := range texts {
		c.Hits += len(c.scan(room[:0], t))
	}
}

func (c *contestant) judgeAll(texts [][]byte) {
	for _, t := range texts {
		c.filter.Judge(t, filter.MinSeverity)
	}
}

func (c *contestant) countAllocations(texts [][]byte) {
	const passes = 10 // the runtime itself allocates now and then
	c.pass(texts)     // fills pools
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range passes {
		c.pass(texts)
	}
	runtime.ReadMemStats(&after)
	c.Allocations = float64(after.Mallocs-before.Mallocs) / passes / float64(len(texts))
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

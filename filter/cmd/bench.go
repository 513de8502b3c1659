package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/filter/corpus"
	"github.com/barrage-im/barrage/protocol/ops"
)

// What is measured with.
const (
	benchMessages = 8000
	benchSeed     = 1
	benchDirty    = 0.02 // of the messages hold a listed word
	benchClean    = 100_000
	benchReload   = 100_000 // words of the list that is compiled meanwhile
	benchEvaded   = 5000    // drawn words, besides the evaluation list, that are evaded
	maxBenchWords = 200_000
)

type benchOptions struct {
	Words   []string `yaml:"words" help:"sizes of the built-in lists; without a list of your own"`
	Engines []string `yaml:"engines" help:"of folded, dfa (a plain byte automaton, 0.4 GB for 100,000 words) and cloudflare"`
	Seconds float64  `yaml:"seconds" help:"for the passes over each list"`
	Clean   int      `yaml:"clean" help:"ordinary messages in which nothing should be found"`
	Output  string   `yaml:"output" short:"o" help:"table, markdown or json"`

	sizes []int
}

// Validate refuses what cannot be measured.
func (o *benchOptions) Validate() error {
	for _, w := range o.Words {
		n, err := strconv.Atoi(w)
		if err != nil || n < 1 || n > maxBenchWords {
			return fmt.Errorf("words %.40q: use numbers from 1 to %d", w, maxBenchWords)
		}
		o.sizes = append(o.sizes, n)
	}
	for _, e := range o.Engines {
		if e != benchFolded && e != benchReference && e != benchCloudflare {
			return fmt.Errorf("engine %.40q: use %s, %s and %s", e, benchFolded, benchReference, benchCloudflare)
		}
	}
	switch {
	case len(o.sizes) == 0:
		return errors.New("words: give one size or more, such as 1000,10000")
	case !slices.Contains(o.Engines, benchFolded):
		return fmt.Errorf("engines without %s: it is the one that is measured; the others are for comparison", benchFolded)
	case !(o.Seconds >= 0 && o.Seconds <= 600):
		return fmt.Errorf("seconds %g: use 0 (one pass) to 600", o.Seconds)
	case o.Clean < 1 || o.Clean > 10_000_000:
		return fmt.Errorf("clean %d: use 1 to 10000000", o.Clean)
	case o.Output != "table" && o.Output != "markdown" && o.Output != "json":
		return fmt.Errorf("output %.40q: use table, markdown or json", o.Output)
	}
	return nil
}

// benchList is a list that is measured.
type benchList struct {
	name    string
	entries []filter.Entry
}

// benchResult is all that was measured.
type benchResult struct {
	Machine  string    `json:"machine"`
	Time     time.Time `json:"time"`
	Busy     *float64  `json:"busy_percent,omitempty"`   // of the machine's processors
	Stolen   *float64  `json:"stolen_percent,omitempty"` // by other guests of it
	Messages int       `json:"messages"`
	Bytes    int       `json:"bytes"`

	Lists    []listResult `json:"lists"`
	Evaded   string       `json:"evaded"` // the list that evasions are tried on
	Evasions []evasionOf  `json:"evasions"`
	False    falseResult  `json:"false_hits"`
}

type listResult struct {
	List    string        `json:"list"`
	Words   int           `json:"words"`
	Chosen  string        `json:"chosen"` // the engine that the list gets by its size
	Engines []*contestant `json:"engines"`
	Latency latency       `json:"latency"`
	Worst   []worstOf     `json:"worst"`
}

type falseResult struct {
	List     string `json:"list"`
	Messages int    `json:"messages"`
	Hits     int    `json:"hits"`
}

func bench(ctx context.Context, s streams, args []string) error {
	o := benchOptions{
		Words: []string{"1000", "10000", "100000"}, Engines: []string{benchFolded, benchReference, benchCloudflare},
		Seconds: 5, Clean: benchClean, Output: "table",
	}
	const usage = "filter bench [flags] [LIST...|BUNDLE]   (without a list: the built-in ones)"
	paths, err := ops.Flags(usage, &o, args)
	if err != nil {
		return err
	}
	lists, err := benchLists(s, o, paths)
	if err != nil {
		return err
	}
	r := benchResult{Machine: machine(), Time: time.Now(), Messages: benchMessages}
	before := processorTimes()
	for _, l := range lists {
		result, err := measureList(ctx, s, o, l, &r)
		if err != nil {
			return err
		}
		r.Lists = append(r.Lists, result)
	}
	if err := measureFinds(ctx, s, o, lists, paths, &r); err != nil {
		return err
	}
	if busy, stolen, ok := processorTimes().since(before); ok {
		r.Busy, r.Stolen = &busy, &stolen
	}
	return r.write(s.out, o.Output)
}

// benchLists are the lists to measure: those given, as one, or the built-in ones.
func benchLists(s streams, o benchOptions, paths []string) ([]benchList, error) {
	var lists []benchList
	if len(paths) == 0 {
		for _, n := range o.sizes {
			entries, err := drawn(n)
			if err != nil {
				return nil, err
			}
			lists = append(lists, benchList{"built-in", entries})
		}
		return lists, nil
	}
	all, err := load(paths, "")
	if err != nil {
		return nil, err
	}
	if all.fatal == 0 {
		if _, err := filter.Compile(all.entries, filter.Options{}); err != nil {
			all.uncompilable(err)
		}
	}
	if err := all.writeProblems(s.err); err != nil {
		return nil, err
	}
	if len(benchWordsOf(all.entries)) == 0 {
		return nil, ops.Usagef("%s: there is no word to be found", paths[0])
	}
	return []benchList{{listName(paths[0]), all.entries}}, nil
}

// drawn is a list of n built-in words, as one without further marks is read.
func drawn(n int) ([]filter.Entry, error) {
	source := []byte("%list 1\n")
	for _, w := range corpus.Words(n) {
		source = append(append(source, w...), '\n')
	}
	l, problems := filter.ParseList("built-in", source)
	if filter.Fatal(problems) {
		return nil, fmt.Errorf("the built-in words: %s", problems[0])
	}
	return l.Entries, nil
}

func benchWordsOf(entries []filter.Entry) (words []string) {
	for i := range entries {
		if !entries[i].Allow {
			words = append(words, entries[i].Word)
		}
	}
	return words
}

func measureList(ctx context.Context, s streams, o benchOptions, l benchList, r *benchResult) (listResult, error) {
	words := benchWordsOf(l.entries)
	texts := corpus.Messages(benchMessages, benchSeed, words, benchDirty)
	clean := corpus.Clean(benchMessages, benchSeed)
	r.Bytes = 0
	for _, t := range texts {
		r.Bytes += len(t)
	}
	out := listResult{List: l.name, Words: len(words)}
	chosen, err := filter.Compile(l.entries, filter.Options{})
	if err != nil {
		return out, err
	}
	out.Chosen = chosen.Engine()
	for _, engine := range append([]string{benchDecode}, o.Engines...) {
		if engine == benchReference {
			lower, _ := lowered(l.entries)
			slices.Sort(lower)
			states, width := referenceShape(lower)
			remark(s, "%d words: the automaton that they are compared with takes %s", len(words), megabytes(4*states*width))
		}
		out.Engines = append(out.Engines, build(engine, l.entries, o.Seconds))
	}
	remark(s, "%d words: measuring", len(words))
	if err := race(ctx, out.Engines, texts, o.Seconds); err != nil {
		return out, err
	}
	for _, c := range out.Engines {
		c.scan, c.texts = nil, nil // their memory is not needed any longer
	}
	large := l.entries
	if len(large) < benchReload {
		if large, err = drawn(o.reload()); err != nil {
			return out, err
		}
	}
	folded := out.engine(benchFolded).filter
	if out.Latency, err = measureLatency(ctx, folded, texts, large); err != nil {
		return out, err
	}
	out.Worst, err = worstCases(ctx, folded, words, clean, o.Seconds)
	return out, err
}

// reload is how many words the list has that is compiled meanwhile: fewer only
// where a quick run of small lists is asked for.
func (o *benchOptions) reload() int {
	if o.Seconds == 0 {
		return slices.Max(o.sizes)
	}
	return benchReload
}

func (l *listResult) engine(name string) *contestant {
	for _, c := range l.Engines {
		if c.Engine == name {
			return c
		}
	}
	return nil
}

// measureFinds measures what is found that should be, and what should not.
func measureFinds(ctx context.Context, s streams, o benchOptions, lists []benchList, paths []string, r *benchResult) error {
	remark(s, "evasions and false hits")
	name, entries := "evaluation list", corpus.List()
	more, err := drawn(benchEvaded)
	if err != nil {
		return err
	}
	r.Evaded = fmt.Sprintf("the evaluation list and %d built-in words", benchEvaded)
	if len(paths) > 0 {
		name, entries, more = lists[0].name, lists[0].entries, nil
		r.Evaded = name
	}
	f, err := filter.Compile(entries, filter.Options{})
	if err != nil {
		return err
	}
	clean := corpus.Clean(o.Clean, benchSeed)
	r.False = falseResult{List: name, Messages: len(clean), Hits: falseHits(f, clean)}
	entries = slices.Concat(entries, more)
	if f, err = filter.Compile(entries, filter.Options{}); err != nil {
		return err
	}
	r.Evasions, err = evasions(ctx, f, entries)
	return err
}

// remark tells how far it is; nothing depends on whether it can be read.
func remark(s streams, format string, args ...any) {
	_, _ = fmt.Fprintf(s.err, format+"\n", args...)
}

package cmd

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/filter/corpus"
)

// Limits of what is told.
const (
	maxTold  = 20 // of one kind of remark
	maxWorst = 10 // entries that hit ordinary messages most
)

// report is what became of a set that was compiled.
type report struct {
	filter   *filter.Filter
	built    time.Duration
	messages int // of the canary corpus
	hit      int // those in which something was found
	worst    []worst
}

// worst is an entry that hits ordinary messages.
type worst struct {
	entry   uint32
	hits    int
	example []byte // the first
}

// percent of the ordinary messages in which something was found.
func (r *report) percent() float64 { return 100 * float64(r.hit) / float64(max(1, r.messages)) }

// compileSet compiles and tries a set. What is wrong is added to its problems;
// without a filter there is no report.
func (s *set) compileSet() *report {
	if s.fatal > 0 {
		return nil
	}
	if len(s.entries) == 0 {
		s.fatal++
		s.problems = append(s.problems, "there are no entries: nothing would be found")
		return nil
	}
	start := time.Now()
	f, err := filter.Compile(s.entries, filter.Options{})
	r := &report{filter: f, built: time.Since(start)}
	if err != nil {
		s.uncompilable(err)
		return nil
	}
	s.findThemselves(f)
	r.canary()
	return r
}

// uncompilable names each entry that alone cannot be compiled. They are few
// among many, so that halves without one are passed over at once.
func (s *set) uncompilable(whole error) {
	told := 0
	var look func(from, to int)
	look = func(from, to int) {
		if told >= maxTold || from == to {
			return
		}
		_, err := filter.Compile(s.entries[from:to], filter.Options{})
		switch {
		case err == nil:
		case to-from == 1:
			e := s.entries[from]
			e.Line = 0 // where says it
			if _, err = filter.Compile([]filter.Entry{e}, filter.Options{}); err == nil {
				return
			}
			told++
			s.problems = append(s.problems, fmt.Sprintf("%s: %v", s.where(uint32(from)), err))
		default:
			middle := (from + to) / 2
			look(from, middle)
			look(middle, to)
		}
	}
	look(0, len(s.entries))
	if told == 0 { // it is not one entry's fault
		s.problems = append(s.problems, whole.Error())
	}
	s.fatal += max(1, told)
}

// findThemselves tries every word on itself: one that is found as another
// folds to the same, one that is not found at all is allowed.
func (s *set) findThemselves(f *filter.Filter) {
	told := 0
	var spans []filter.Span
	for i := range s.entries {
		e := &s.entries[i]
		if e.Allow {
			continue
		}
		spans = f.Scan(spans[:0], []byte(e.Word))
		if slices.ContainsFunc(spans, func(m filter.Span) bool { return m.Entry == uint32(i) }) {
			continue
		}
		if told++; told > maxTold {
			continue
		}
		remark := "an allowed word covers it: it never counts on its own"
		if len(spans) > 0 {
			other := spans[0].Entry
			o := &s.entries[other]
			remark = fmt.Sprintf("counts as the same as %q (%s)", clip(o.Word, 40), s.where(other))
			if o.Action != e.Action || o.Severity != e.Severity {
				remark += fmt.Sprintf(", of which the stronger counts: %s, severity %d, or %s, severity %d", o.Action, o.Severity, e.Action, e.Severity)
			}
		}
		s.problems = append(s.problems, fmt.Sprintf("%s: warning: %q: %s", s.where(uint32(i)), clip(e.Word, 40), remark))
	}
	if told > maxTold {
		s.problems = append(s.problems, fmt.Sprintf("warning: and %d more words that are not found as themselves", told-maxTold))
	}
}

// canary tries the filter on ordinary messages.
func (r *report) canary() {
	byEntry := map[uint32]*worst{}
	var spans []filter.Span
	for _, message := range corpus.Canary() {
		r.messages++
		spans = r.filter.Scan(spans[:0], message)
		if len(spans) == 0 {
			continue
		}
		r.hit++
		for i, m := range spans {
			if slices.ContainsFunc(spans[:i], func(before filter.Span) bool { return before.Entry == m.Entry }) {
				continue // an entry hits a message once
			}
			w := byEntry[m.Entry]
			if w == nil {
				w = &worst{entry: m.Entry, example: message}
				byEntry[m.Entry] = w
			}
			w.hits++
		}
	}
	for _, w := range byEntry {
		r.worst = append(r.worst, *w)
	}
	slices.SortFunc(r.worst, func(a, b worst) int {
		return cmp.Or(cmp.Compare(b.hits, a.hits), cmp.Compare(a.entry, b.entry))
	})
	r.worst = r.worst[:min(len(r.worst), maxWorst)]
}

// tooMany says whether a set hits more ordinary messages than it may: a list
// that matches nearly everything is a mistake, whoever signed it.
func (s *set) tooMany(r *report, limit float64) {
	if r.percent() > limit {
		s.fatal++
		s.problems = append(s.problems, fmt.Sprintf("%.1f %% of ordinary messages are hit, and %g %% may be; look at the worst entries, or raise --max-hits", r.percent(), limit))
	}
}

// write tells the report.
func (r *report) write(w io.Writer, s *set) error {
	_, err := fmt.Fprintf(w, "%s of %s: engine %s, %s, built in %s\n%d of %d ordinary messages hit (%.2f %%)\n",
		count(r.filter.Len(), "entry", "entries"), count(len(s.lists), "list", "lists"), r.filter.Engine(), size(r.filter.MemBytes()),
		r.built.Round(10*time.Microsecond), r.hit, r.messages, r.percent())
	for _, entry := range r.worst {
		if err != nil {
			return err
		}
		e := &s.entries[entry.entry]
		_, err = fmt.Fprintf(w, "%6d  %s (%s), as in: %s\n", entry.hits, printable(clip(e.Word, 40)), s.where(entry.entry), printable(clip(string(entry.example), 60)))
	}
	return err
}

// writeProblems tells them, and returns an error if one is fatal.
func (s *set) writeProblems(w io.Writer) error {
	for _, p := range s.problems {
		if _, err := fmt.Fprintln(w, printable(p)); err != nil {
			return err
		}
	}
	if s.fatal > 0 {
		return fmt.Errorf("%s to be repaired", count(s.fatal, "mistake", "mistakes"))
	}
	return nil
}

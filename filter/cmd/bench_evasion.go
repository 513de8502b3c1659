package cmd

import (
	"context"

	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/filter/corpus"
)

// evasionOf is how many words are found although they are written otherwise.
type evasionOf struct {
	Name     string `json:"name"`
	OneToOne bool   `json:"one_to_one"`
	Tried    int    `json:"tried"`
	Caught   int    `json:"caught"`
	Missed   string `json:"missed,omitempty"` // the first
}

func (e evasionOf) percent() float64 { return 100 * float64(e.Caught) / float64(max(1, e.Tried)) }

// maxEvaded bounds the words that one evasion is tried on.
const maxEvaded = 2000

// evasions writes listed words in all ways that people do, into a sentence, and
// counts those that are found. Words that are not found as they are written in
// the list (an allowed one covers them) are left out.
func evasions(ctx context.Context, f *filter.Filter, entries []filter.Entry) ([]evasionOf, error) {
	found := func(text string) bool { return f.Judge([]byte(text), filter.MinSeverity).Action != filter.Pass }
	var words []string
	for i := range entries {
		if !entries[i].Allow && found(corpus.Carry(entries[i].Word, uint64(i))) {
			words = append(words, entries[i].Word)
		}
	}
	var out []evasionOf
	for _, e := range corpus.Evasions() {
		of := evasionOf{Name: e.Name, OneToOne: e.OneToOne}
		for i, w := range words {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			evaded, ok := e.Apply(w, uint64(i))
			if !ok {
				continue
			}
			if of.Tried++; found(corpus.Carry(evaded, uint64(i))) {
				of.Caught++
			} else if of.Missed == "" {
				of.Missed = w + " → " + evaded
			}
			if of.Tried == maxEvaded {
				break
			}
		}
		out = append(out, of)
	}
	return out, nil
}

// falseHits counts the messages of ordinary chat in which something is found.
func falseHits(f *filter.Filter, clean [][]byte) (n int) {
	for _, m := range clean {
		if f.Judge(m, filter.MinSeverity).Action != filter.Pass {
			n++
		}
	}
	return n
}

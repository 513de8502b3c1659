package corpus

import (
	_ "embed"
	"fmt"
	"slices"
	"sync"

	"github.com/barrage-im/barrage/filter"
)

// listData is the list that evasions and false hits are measured with.
//
//go:embed data/evaluation.list
var listData []byte

var list = sync.OnceValue(func() []filter.Entry {
	l, problems := filter.ParseList("evaluation", listData)
	if len(problems) > 0 {
		panic(fmt.Sprintf("corpus: the built-in evaluation list: %v", problems[0]))
	}
	return l.Entries
})

// List returns the evaluation list: what a careful moderator of a room in
// Chinese and English would list, and the innocent words that hold it.
func List() []filter.Entry { return slices.Clone(list()) }

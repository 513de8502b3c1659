// Package corpus has texts, word lists and evasions to measure and test with.
//
// Everything is made from its arguments alone: the same seed gives the same
// bytes everywhere. The vocabulary behind it is public data with frequencies
// (see README.md), the chat templates and the evaluation list are written here.
// Nothing is arranged so that a filter finds it easy: words stand next to each
// other as they happen to, and what ordinary chat has in common with what is
// listed stays in.
package corpus

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
	"sync"
)

//go:embed data/chinese.txt.gz
var chineseData []byte

//go:embed data/english.txt.gz
var englishData []byte

// A vocabulary is words by frequency.
type vocabulary struct {
	common []string
	upTo   []float64 // sum of the frequencies of common[:i+1]
	rare   []string
}

var (
	chinese = sync.OnceValue(func() *vocabulary { return unpack("chinese", chineseData) })
	english = sync.OnceValue(func() *vocabulary { return unpack("english", englishData) })
)

// unpack reads what the command gen wrote: lines of a frequency and the words
// that have it, a line "rare", and such lines of rarer words.
func unpack(name string, data []byte) *vocabulary {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		panic(fmt.Sprintf("corpus: the built-in %s vocabulary: %v", name, err))
	}
	text, err := io.ReadAll(z)
	if err != nil {
		panic(fmt.Sprintf("corpus: the built-in %s vocabulary: %v", name, err))
	}
	v := &vocabulary{}
	sum, rare := 0.0, false
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if fields[0] == "rare" {
			rare = true
			continue
		}
		if rare {
			v.rare = append(v.rare, fields[1:]...)
			continue
		}
		count, err := strconv.ParseFloat(fields[0], 64)
		if err != nil {
			panic(fmt.Sprintf("corpus: the built-in %s vocabulary: %v", name, err))
		}
		for _, word := range fields[1:] {
			sum += count
			v.common = append(v.common, word)
			v.upTo = append(v.upTo, sum)
		}
	}
	return v
}

// draw returns a common word, each as often as its frequency says.
func (v *vocabulary) draw(r *random) string {
	x := r.float() * v.upTo[len(v.upTo)-1]
	return v.common[sort.SearchFloat64s(v.upTo, x)]
}

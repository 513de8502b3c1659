package filter

import (
	"slices"
	"strings"
)

// rules is what the entries say, packed: pointers would have to be followed by
// every garbage collection.
type rules struct {
	text  string // of all words
	meta  []meta
	kinds []kind // languages and categories, each combination once
}

type meta struct {
	at       uint32 // in text
	line     uint32
	size     uint16
	kind     uint16
	action   Action
	severity uint8
	flags    uint8
}

const (
	metaLeft = 1 << iota
	metaRight
	metaAllow
	metaStrict
)

type kind struct {
	language   string
	categories []string
}

// maxKinds bounds combinations of language and categories; entries of further
// ones keep their words and lose these.
const maxKinds = 1 << 16

func newRules(entries []Entry) rules {
	size := 0
	for i := range entries {
		size += min(len(entries[i].Word), MaxWordBytes)
	}
	var text strings.Builder
	text.Grow(size)
	r := rules{meta: make([]meta, len(entries)), kinds: []kind{{}}}
	known := map[string]uint16{"": 0}
	for i := range entries {
		e := &entries[i]
		word := e.Word[:min(len(e.Word), MaxWordBytes)]
		m := meta{at: uint32(text.Len()), size: uint16(len(word)), line: uint32(e.Line), action: e.Action, severity: e.Severity}
		text.WriteString(word)
		for bit, on := range map[uint8]bool{metaLeft: e.Left, metaRight: e.Right, metaAllow: e.Allow, metaStrict: e.Strict} {
			if on {
				m.flags |= bit
			}
		}
		if e.Language != "" || len(e.Categories) > 0 {
			name := e.Language + "\x00" + strings.Join(e.Categories, "\x00")
			k, ok := known[name]
			if !ok && len(r.kinds) < maxKinds {
				k = uint16(len(r.kinds))
				known[name] = k
				r.kinds = append(r.kinds, kind{strings.Clone(e.Language), slices.Clone(e.Categories)})
			}
			m.kind = k
		}
		r.meta[i] = m
	}
	r.text = text.String()
	return r
}

func (r *rules) entry(i uint32) Entry {
	m := &r.meta[i]
	k := &r.kinds[m.kind]
	return Entry{
		Word: r.text[m.at : m.at+uint32(m.size)], Language: k.language, Categories: k.categories,
		Severity: m.severity, Action: m.action, Line: int(m.line),
		Left: m.flags&metaLeft != 0, Right: m.flags&metaRight != 0, Allow: m.flags&metaAllow != 0, Strict: m.flags&metaStrict != 0,
	}
}

func (r *rules) bytes() int { return len(r.text) + 20*len(r.meta) + 40*len(r.kinds) }

package filter

import (
	"slices"
	"strings"
)

// AppendList appends the canonical form of a list: what ParseList reads back as
// the same entries, with the lines of this form. Comments are not kept.
func AppendList(dst []byte, l *List) []byte {
	dst = append(dst, "%list "+ListVersion+"\n%name "...)
	dst = append(dst, l.Name...)
	dst = append(dst, '\n')
	if l.Language != "" {
		dst = append(append(append(dst, "%language "...), l.Language...), '\n')
	}
	if l.License != "" {
		dst = append(append(append(dst, "%license "...), l.License...), '\n')
	}
	fallback := Entry{Severity: builtin.severity, Action: builtin.action, Language: l.Language}
	for i := range l.Entries {
		e := &l.Entries[i]
		// A default pays where the next entry has use for it too.
		if next := i + 1; next < len(l.Entries) && !e.Allow && !sameOptions(e, &fallback) &&
			!l.Entries[next].Allow && sameOptions(e, &l.Entries[next]) {
			fallback = *e
			base := Entry{Severity: builtin.severity, Action: builtin.action, Language: l.Language}
			dst = append(appendOptions(append(dst, "%default"...), ' ', e, &base), '\n')
		}
		dst = append(appendEntry(dst, e, &fallback), '\n')
	}
	return dst
}

func sameOptions(a, b *Entry) bool {
	return a.Severity == b.Severity && a.Action == b.Action && a.Strict == b.Strict && a.Language == b.Language &&
		slices.Equal(a.Categories, b.Categories)
}

func appendEntry(dst []byte, e, fallback *Entry) []byte {
	if e.Allow {
		dst = append(dst, '!')
	}
	left, right := boundaries(e.Word)
	dst = appendEnd(dst, e.Left, left)
	for i := range len(e.Word) {
		if strings.IndexByte(marks, e.Word[i]) >= 0 {
			dst = append(dst, '\\')
		}
		dst = append(dst, e.Word[i])
	}
	dst = appendEnd(dst, e.Right, right)
	if e.Allow {
		bare := *fallback
		bare.Language = e.Language // the only option of an allowed word
		e = &bare
	}
	return appendOptions(dst, '\t', e, fallback)
}

func appendEnd(dst []byte, boundary, byDefault bool) []byte {
	switch {
	case boundary == byDefault:
		return dst
	case boundary:
		return append(dst, '|')
	}
	return append(dst, '*')
}

// appendOptions appends what e has other than fallback, the first behind
// separator.
func appendOptions(dst []byte, separator byte, e, fallback *Entry) []byte {
	option := func(name, value string) {
		dst = append(append(append(append(dst, separator), name...), '='), value...)
		separator = ' '
	}
	if e.Severity != fallback.Severity {
		option("severity", string(rune('0'+e.Severity)))
	}
	if e.Action != fallback.Action {
		option("action", e.Action.String())
	}
	if !slices.Equal(e.Categories, fallback.Categories) {
		option("category", strings.Join(e.Categories, ","))
	}
	if e.Strict != fallback.Strict {
		option("strict", map[bool]string{true: "yes", false: "no"}[e.Strict])
	}
	if e.Language != fallback.Language {
		option("language", e.Language)
	}
	return dst
}

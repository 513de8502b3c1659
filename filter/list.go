package filter

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ListVersion is the version of the list format that ParseList reads and
// AppendList writes.
const ListVersion = "1"

// MaxLicense bounds a list's %license line, in bytes.
const MaxLicense = 256

// ParseList reads a list. Its name is the one that its %name line gives, or
// else name. The list has every entry that was understood, each word once;
// it must not be used when one of the problems is fatal.
//
// The words share the memory of one copy of the source.
func ParseList(name string, source []byte) (*List, []Problem) {
	p := &listParser{
		list:     &List{Name: name},
		fallback: builtin,
		options:  map[string]lineOptions{},
	}
	if len(source) > MaxSource {
		p.fatal("the list has %d bytes, and at most %d are allowed: split it", len(source), MaxSource)
		return p.list, p.problems.all()
	}
	source = bytes.TrimPrefix(source, []byte("\ufeff"))
	p.first = make(map[string]int32, min(bytes.Count(source, []byte("\n"))+1, MaxEntries))
	for text := string(source); text != "" && !p.stop; {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		p.line++
		p.parseLine(strings.TrimSuffix(line, "\r"))
	}
	p.line = 0
	p.finish()
	return p.list, p.problems.all()
}

type listParser struct {
	list     *List
	line     int // where it reads; 0: before or behind all lines
	stop     bool
	seen     map[string]int // line of each directive that may come once
	began    bool           // a directive or an entry was read
	fallback lineOptions    // of %default
	options  map[string]lineOptions
	first    map[string]int32 // sameWord of an entry → its place in list.Entries
	problems problems
}

func (p *listParser) fatal(format string, args ...any) {
	p.problems.add(p.line, true, format, args...)
}

func (p *listParser) warn(format string, args ...any) {
	p.problems.add(p.line, false, format, args...)
}

func (p *listParser) parseLine(line string) {
	if bad, ok := unprintable(line); ok {
		p.fatal("%s", bad)
		return
	}
	trimmed := strings.TrimLeft(line, " \t")
	if trimmed == "" || trimmed[0] == '#' {
		return
	}
	directive := trimmed[0] == '%'
	if !p.began {
		p.began = true
		if !directive || !strings.HasPrefix(trimmed, "%list") {
			p.fatal("the list must begin with the line \"%%list %s\"", ListVersion)
		}
	}
	if directive {
		p.parseDirective(trimmed)
		return
	}
	p.parseEntry(line)
}

// unprintable says what a line may not have at all. Tabs are seen by those who
// read its parts.
func unprintable(line string) (string, bool) {
	ascii := true
	for i := range len(line) {
		c := line[i]
		if c < ' ' && c != '\t' || c == 0x7f {
			return fmt.Sprintf("control character %U", c), true
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	if ascii {
		return "", false
	}
	for i, r := range line {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(line[i:]); size == 1 {
				return fmt.Sprintf("byte %d of the line is not UTF-8: save the list as UTF-8", i+1), true
			}
		}
		// Separators of lines and paragraphs would look like two entries.
		if r >= 0x80 && r <= 0x9f || r == '\u2028' || r == '\u2029' {
			return fmt.Sprintf("control character %U", r), true
		}
	}
	return "", false
}

func (p *listParser) parseEntry(line string) {
	text, options, tab := strings.Cut(line, "\t")
	w, problem := parseWord(text)
	switch {
	case problem != "":
		p.fatal("%s", problem)
		return
	case w.trimmed:
		p.warn("spaces at an end of %.40q do not count", w.text)
	case w.comment:
		p.warn("%.60q is all one phrase: a comment behind a word needs a tab before its #", w.text)
	}
	if r, ok := turns(w.text); ok {
		p.warn("%.40q has %U, which changes the direction of writing: readers of the list see something else", w.text, r)
	}
	o := p.fallback
	if tab {
		if o, problem = p.parseOptions(options); problem != "" {
			p.fatal("%s", problem)
			return
		}
	}
	e := Entry{Word: w.text, Language: p.list.Language, Left: w.left, Right: w.right, Allow: w.allow, Line: p.line}
	if o.language != nil {
		e.Language = *o.language
	}
	if e.Allow {
		if o.own {
			p.fatal("%.40q is an allowed word: it takes no option but language", e.Word)
			return
		}
	} else {
		e.Severity, e.Action, e.Categories, e.Strict = o.severity, o.action, o.categories, o.strict
	}
	p.addEntry(e)
}

// turns finds characters that make text look like another.
func turns(text string) (rune, bool) {
	i := strings.IndexFunc(text, func(r rune) bool { return r > 0x600 && unicode.Is(unicode.Bidi_Control, r) })
	if i < 0 {
		return 0, false
	}
	r, _ := utf8.DecodeRuneInString(text[i:])
	return r, true
}

func (p *listParser) addEntry(e Entry) {
	key := sameWord(e.Word)
	if at, ok := p.first[key]; ok {
		other := &p.list.Entries[at]
		if difference := contradiction(other, &e); difference != "" {
			p.fatal("%.40q contradicts line %d: %s; keep one of the two", e.Word, other.Line, difference)
		} else {
			p.warn("%.40q stands in line %d already", e.Word, other.Line)
		}
		return
	}
	if len(p.list.Entries) == MaxEntries {
		p.fatal("more than %d entries: split the list into several sets", MaxEntries)
		p.stop = true
		return
	}
	p.first[key] = int32(len(p.list.Entries))
	p.list.Entries = append(p.list.Entries, e)
}

func (p *listParser) finish() {
	if !p.began {
		p.fatal("the list is empty: it must begin with the line \"%%list %s\"", ListVersion)
	} else if len(p.list.Entries) == 0 && len(p.problems.fatal) == 0 {
		p.warn("the list has no entries")
	}
	if err := CheckName(p.list.Name); err != nil {
		p.fatal("name of the list: %v; give it one with a line %%name", err)
	}
}

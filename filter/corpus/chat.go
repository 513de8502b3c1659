package corpus

import (
	_ "embed"
	"strings"
	"sync"
)

// chatData has the hand-written half of the messages: a section for each kind
// of message and each thing that a gap in a template can be filled with.
//
//go:embed data/chat.txt
var chatData string

// chat is what chatData holds, by section.
var chat = sync.OnceValue(func() map[string][]string {
	sections := map[string][]string{}
	name := ""
	for line := range strings.Lines(chatData) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			name = strings.Trim(line, "[]")
		default:
			sections[name] = append(sections[name], line)
		}
	}
	return sections
})

// fill appends a template: {zh} and {en} stand for a common word, {n} for a
// number, and each other {name} for a line of that section.
func fill(dst []byte, r *random, template string) []byte {
	for {
		before, after, found := strings.Cut(template, "{")
		dst = append(dst, before...)
		if !found {
			return dst
		}
		name, rest, closed := strings.Cut(after, "}")
		section := chat()[name]
		switch {
		case !closed:
			panic("corpus: chat.txt: a { without its }: " + template)
		case name == "zh":
			dst = append(dst, chinese().draw(r)...)
		case name == "en":
			dst = append(dst, english().draw(r)...)
		case name == "n":
			dst = append(dst, digits(r, 1, 3)...)
		case len(section) == 0:
			panic("corpus: chat.txt has no section " + name)
		default:
			dst = fill(dst, r, pick(r, section))
		}
		template = rest
	}
}

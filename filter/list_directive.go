package filter

import (
	"fmt"
	"strings"
)

// MaxName bounds the name of a list or set, in bytes.
const MaxName = 64

// CheckName checks the name of a list or set: names go into file names, metrics
// and command lines.
func CheckName(name string) error {
	if name == "" || len(name) > MaxName {
		return fmt.Errorf("%.40q has %d bytes; use 1 to %d", name, len(name), MaxName)
	}
	for _, c := range []byte(name) {
		if !wordByte(c) && c != '.' {
			return fmt.Errorf("%.40q has a character other than a-z, A-Z, 0-9 and \"-_.\"", name)
		}
	}
	return nil
}

// wordByte: letters, digits and "-_", of which names and categories are made.
func wordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// maxLanguage is enough for every tag that RFC 5646, section 4.4.1, expects.
const maxLanguage = 35

// checkLanguage checks the form of a BCP 47 tag, not whether it is registered.
func checkLanguage(tag string) bool {
	if tag == "" || len(tag) > maxLanguage {
		return false
	}
	for part := range strings.SplitSeq(tag, "-") {
		if part == "" || len(part) > 8 {
			return false
		}
		for _, c := range []byte(part) {
			if !wordByte(c) || c == '_' {
				return false
			}
		}
	}
	return true
}

var directives = []string{"list", "name", "language", "license", "default"}

// parseDirective reads a line that begins with %.
func (p *listParser) parseDirective(line string) {
	name, value := line[1:], ""
	if i := strings.IndexAny(name, " \t"); i >= 0 {
		name, value = name[:i], strings.Trim(name[i:], " \t")
	}
	switch name {
	case "default":
		p.setDefault(value)
		return
	case "list", "name", "language", "license":
	default:
		p.fatal("%%%.40s is no directive: use one of %v, or \\%% for a word that begins with %%", name, directives)
		return
	}
	if line, ok := p.seen[name]; ok {
		p.fatal("%%%s stands in line %d already", name, line)
		return
	}
	if p.seen == nil {
		p.seen = map[string]int{}
	}
	p.seen[name] = p.line
	if len(p.list.Entries) > 0 {
		p.fatal("%%%s must stand before the first entry", name)
		return
	}
	p.setMetadata(name, value)
}

func (p *listParser) setMetadata(name, value string) {
	switch name {
	case "list":
		if value != ListVersion {
			// What follows cannot be understood.
			p.fatal("the list is of format version %.40q, and this program reads version %s", value, ListVersion)
			p.stop = true
		}
	case "name":
		if err := CheckName(value); err != nil {
			p.fatal("%%name: %v", err)
			return
		}
		p.list.Name = value
	case "language":
		if !checkLanguage(value) {
			p.fatal("%%language: %.40q is no language tag such as en or zh-Hans", value)
			return
		}
		p.list.Language = value
	case "license":
		if value == "" || len(value) > MaxLicense {
			p.fatal("%%license: %d bytes; use 1 to %d, such as CC0-1.0", len(value), MaxLicense)
			return
		}
		p.list.License = value
	}
}

// setDefault begins with the built-in values: what a %default line means can be
// read from it alone.
func (p *listParser) setDefault(value string) {
	p.fallback = builtin
	clear(p.options) // they were built on the former one
	o, problem := p.parseOptions(value)
	if problem != "" {
		p.fatal("%%default: %s", problem)
		return
	}
	o.own = false
	p.fallback = o
}

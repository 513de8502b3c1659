package filter

import (
	"fmt"
	"slices"
	"strings"
)

// lineOptions are what stands behind an entry's tab, or in a %default line.
type lineOptions struct {
	severity   uint8
	action     Action
	categories []string // sorted, each once; shared by many entries
	strict     bool
	language   *string // nil: the list's
	own        bool    // an option other than language is given in the line itself
}

// builtin holds until the first %default.
var builtin = lineOptions{severity: 2, action: Mask}

var optionNames = []string{"severity", "action", "category", "strict", "language"}

// maxOptionTexts bounds how many different option texts are remembered.
const maxOptionTexts = 4096

// parseOptions reads options upon the defaults. Lists have few different
// texts of options on many lines, so that each is read once.
func (p *listParser) parseOptions(text string) (o lineOptions, problem string) {
	if o, ok := p.options[text]; ok {
		return o, ""
	}
	o = p.fallback
	var given []string
	for field := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ' ' || r == '\t' }) {
		if field[0] == '#' {
			break
		}
		name, value, ok := strings.Cut(field, "=")
		if !ok {
			return o, fmt.Sprintf("%.40q is no option: write name=value, with the names %v", field, optionNames)
		}
		if slices.Contains(given, name) {
			return o, fmt.Sprintf("%s is given twice", name)
		}
		given = append(given, name)
		if problem := o.set(name, value); problem != "" {
			return o, problem
		}
	}
	if len(p.options) < maxOptionTexts {
		p.options[text] = o
	}
	return o, ""
}

func (o *lineOptions) set(name, value string) (problem string) {
	o.own = o.own || name != "language"
	switch name {
	case "severity":
		if len(value) != 1 || value[0] < '0'+MinSeverity || value[0] > '0'+MaxSeverity {
			return fmt.Sprintf("severity %.40q: use %d to %d", value, MinSeverity, MaxSeverity)
		}
		o.severity = value[0] - '0'
	case "action":
		action, err := ParseAction(value)
		if err != nil {
			return err.Error()
		}
		if action == Pass {
			return "action=pass: write ! before a word that is allowed"
		}
		o.action = action
	case "category":
		return o.setCategories(value)
	case "strict":
		if value != "yes" && value != "no" {
			return fmt.Sprintf("strict %.40q: use yes or no", value)
		}
		o.strict = value == "yes"
	case "language":
		if value != "" && !checkLanguage(value) {
			return fmt.Sprintf("language %.40q is no tag such as en or zh-Hans", value)
		}
		o.language = &value
	default:
		return fmt.Sprintf("%.40q is no option: use one of %v", name, optionNames)
	}
	return ""
}

func (o *lineOptions) setCategories(value string) (problem string) {
	o.categories = nil
	if value == "" {
		return ""
	}
	if n := strings.Count(value, ",") + 1; n > MaxCategories {
		return fmt.Sprintf("%d categories; use at most %d", n, MaxCategories)
	}
	all := strings.Split(value, ",")
	for _, c := range all {
		if c == "" || len(c) > MaxCategory || strings.ContainsFunc(c, func(r rune) bool { return r > 0x7f || !wordByte(byte(r)) }) {
			return fmt.Sprintf("category %.40q: use 1 to %d of a-z, A-Z, 0-9 and \"-_\"", c, MaxCategory)
		}
	}
	slices.Sort(all)
	o.categories = slices.Compact(all)
	return ""
}

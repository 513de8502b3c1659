package filter

import (
	"cmp"
	"fmt"
	"slices"
)

// MaxProblems bounds how many problems of a list are told one by one.
const MaxProblems = 100

// Problem is something wrong with a list. One that is not fatal is a warning:
// the list can be used.
type Problem struct {
	Line    int // from 1; 0: the list as a whole
	Fatal   bool
	Message string
}

func (p Problem) String() string {
	where := ""
	if p.Line > 0 {
		where = fmt.Sprintf("line %d: ", p.Line)
	}
	if !p.Fatal {
		where += "warning: "
	}
	return where + p.Message
}

// Fatal says whether one of the problems is fatal.
func Fatal(problems []Problem) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool { return p.Fatal })
}

// problems keeps the first of both kinds, so that many warnings do not hide
// what is fatal.
type problems struct {
	fatal, warnings []Problem
	more            int
	moreFatal       bool
}

func (p *problems) add(line int, fatal bool, format string, args ...any) {
	kind := &p.warnings
	if fatal {
		kind = &p.fatal
	}
	if len(*kind) < MaxProblems {
		*kind = append(*kind, Problem{Line: line, Fatal: fatal, Message: fmt.Sprintf(format, args...)})
		return
	}
	p.more++
	p.moreFatal = p.moreFatal || fatal
}

// all are at most MaxProblems in the order of lines, and one that counts the
// rest.
func (p *problems) all() []Problem {
	room := MaxProblems - len(p.fatal)
	if rest := len(p.warnings) - room; rest > 0 {
		p.warnings, p.more = p.warnings[:room], p.more+rest
	}
	all := slices.Concat(p.fatal, p.warnings)
	slices.SortStableFunc(all, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	if p.more > 0 {
		all = append(all, Problem{Fatal: p.moreFatal, Message: fmt.Sprintf("and %d more", p.more)})
	}
	return all
}

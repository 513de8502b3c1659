package screen

import (
	"time"
	"unicode/utf8"

	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// What a policy says of rules.
const (
	policyOff    = "off"
	policyReport = "report"
)

// A Finding is the strongest thing that sets say of a text.
type Finding struct {
	Action     filter.Action
	Severity   uint8
	Set        string
	Categories []string
	Rules      uint64 // version of Set's bundle
}

// An Outcome is what is to become of a message.
type Outcome struct {
	Finding // of the sets that are enforced
	// Reported is what sets that only report would have had done; Pass if
	// nothing.
	Reported Finding
	// Report: the room's policy says that nothing is enforced here.
	Report bool

	sets     []*set
	severity uint8
}

// Judge says what is to become of a text in a room. It is safe to call at any
// time, by anybody, and allocates nothing for text that passes. Data is a
// document whose form only clients know; it is the hook's to look at.
func (s *Screen) Judge(room string, policy *rpc.Policy, text []byte) (o Outcome) {
	o.Report = policy.GetFilter() == policyReport
	if s == nil || len(text) == 0 || policy.GetFilter() == policyOff {
		return o
	}
	r := s.inForce.Load()
	if len(r.sets) == 0 {
		return o
	}
	o.sets = r.covering(room)
	if len(o.sets) == 0 {
		return o
	}
	o.severity = uint8(min(policy.GetFilterSeverity(), filter.MaxSeverity+1))
	timed := s.judged.Add(1)%timedOf == 0
	var began time.Time
	if timed {
		began = time.Now()
	}
	for _, set := range o.sets {
		to := &o.Finding
		if o.Report || set.reports() {
			to = &o.Reported
		}
		v := set.filter.Judge(text, o.severity)
		switch {
		case v.Action > to.Action:
			entry := set.filter.Entry(v.Entry)
			*to = Finding{Action: v.Action, Severity: v.Severity, Set: set.name, Categories: entry.Categories, Rules: set.version()}
		case to.Action == filter.Pass: // versions of several sets do not compare; the highest says most
			to.Rules = max(to.Rules, set.version())
		}
	}
	if timed {
		s.met.scan.Observe(time.Since(began).Seconds())
	}
	s.met.messages[o.Action].Inc()
	if o.Reported.Action != filter.Pass {
		s.met.reported[o.Reported.Action].Inc()
	}
	return o
}

// AppendMasked appends text with asterisks in place of what the enforced sets
// hide. It is for a text in the judged room: the judged one or one that the
// hook put in its place.
func (o *Outcome) AppendMasked(dst, text []byte) []byte {
	start := len(dst)
	first := true
	var other []byte
	for _, set := range o.sets {
		if o.Report || set.reports() {
			continue
		}
		if first {
			dst, first = set.filter.AppendMasked(dst, text, o.severity), false
			continue
		}
		// Each looks at the text itself: asterisks of one would break or make
		// words of another.
		other = set.filter.AppendMasked(other[:0], text, o.severity)
		dst = append(dst[:start], merge(dst[start:], other)...)
	}
	if first {
		return append(dst, text...)
	}
	return dst
}

// merge hides every rune that a or b hide. Both have the runes of one text.
func merge(a, b []byte) []byte {
	out := make([]byte, 0, min(len(a), len(b)))
	for len(a) > 0 && len(b) > 0 {
		_, n := utf8.DecodeRune(a)
		_, m := utf8.DecodeRune(b)
		if a[0] == '*' || b[0] == '*' {
			out = append(out, '*')
		} else {
			out = append(out, a[:n]...)
		}
		a, b = a[n:], b[m:]
	}
	return out
}

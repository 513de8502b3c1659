package hub

import (
	"github.com/barrage-im/barrage/protocol"
)

// A shadow message is for its sender and for moderators only. The tail has it as
// everybody else gets it, withheld, so that everybody shares one image, and
// keeps the message itself aside for those few.

// A shadow is one such message.
type shadow struct {
	seq    uint64
	sender string
	record []byte // whole, with its mark
}

// A viewer is who a run of records is for.
type viewer struct {
	user      string
	moderates bool
}

// sees says whether the viewer gets more of a shadow message than its place.
func (v viewer) sees(sender string) bool { return v.moderates || sender == v.user }

// seesAny says the same of some.
func (v viewer) seesAny(list []shadow) bool {
	if v.moderates {
		return len(list) > 0
	}
	for i := range list {
		if list[i].sender == v.user {
			return true
		}
	}
	return false
}

// append appends a shadow message's record as the viewer gets it: moderators
// with its mark, the sender without, everybody else its place.
func (v viewer) append(dst, record []byte) ([]byte, error) {
	switch {
	case v.moderates:
		return append(dst, record...), nil
	case v.sees(string(protocol.RecordSender(record))):
		return protocol.AppendUnmarked(dst, record)
	}
	return protocol.AppendWithheld(dst, record)
}

// open puts what the viewer may see of the shadows, in ascending order, into a
// run from the tail. Records of a tail were checked when they came.
func (v viewer) open(records []byte, shadows []shadow) []byte {
	if !v.seesAny(shadows) {
		return records
	}
	var out []byte
	_ = protocol.ForEachRecord(records, func(seq uint64, _ int64, record []byte) bool {
		for len(shadows) > 0 && shadows[0].seq < seq {
			shadows = shadows[1:]
		}
		if len(shadows) > 0 && shadows[0].seq == seq && v.sees(shadows[0].sender) {
			out, _ = v.append(out, shadows[0].record)
			return true
		}
		out = append(out, record...)
		return true
	})
	return out
}

// View makes a page of history, which core gives out whole, into what a user may
// see of it. A page without shadow messages, and a moderator's, comes back as it
// is. An error is Corrupt.
func View(records []byte, user string, moderates bool) ([]byte, error) {
	if moderates {
		return records, nil
	}
	v := viewer{user: user}
	var out []byte
	var failed error
	at := 0 // records[:at] is fine as it is, or in out
	changed := false
	err := protocol.ForEachMarkedRecord(records, func(_ uint64, mark protocol.RecordMark, record []byte) bool {
		switch {
		case mark.Shadow:
			if !changed {
				out, changed = append(make([]byte, 0, len(records)), records[:at]...), true
			}
			out, failed = v.append(out, record)
		case changed:
			out = append(out, record...)
		}
		at += len(record)
		return failed == nil
	})
	switch {
	case err != nil:
		return nil, err
	case failed != nil:
		return nil, failed
	case !changed:
		return records, nil
	}
	return out, nil
}

package history

import (
	"fmt"
	"slices"
	"strings"
)

// Promise names what was promised and the way in which it can be broken.
type Promise string

// The promises.
const (
	// C1a: within an epoch no seq is acknowledged for two messages, no message
	// with two seqs, and the log has no holes.
	C1a Promise = "C1a"
	// C1b: acknowledgements, every reader and the log agree which message has
	// which seq, and nobody sees a message that nobody sent.
	C1b Promise = "C1b"
	// C1c: a message sent after another was acknowledged comes after it, and
	// nothing is seen before it was sent.
	C1c Promise = "C1c"
	// C1d: one publisher's messages are in the order in which it sent them.
	C1d Promise = "C1d"
	// C1e: the room as a whole is linearizable (CheckLinearizable).
	C1e Promise = "C1e"
	// C2Twice: a message is in the log, or reached a reader, twice.
	C2Twice Promise = "C2 twice"
	// C2Hole: a reader's messages have a hole, or go back, and no gap was named.
	C2Hole Promise = "C2 hole"
	// C2Epoch: a reader was taken to another epoch, or back, without a gap.
	C2Epoch Promise = "C2 epoch"
	// C2Tail: a reader that had time to catch up did not get the last messages.
	C2Tail Promise = "C2 tail"
	// C4Lost: an acknowledged message is not in the log.
	C4Lost Promise = "C4 lost"
	// C4Refused: a message that was refused definitely is in the log.
	C4Refused Promise = "C4 refused"
)

// maxPerPromise bounds the violations reported in full, per promise: the first
// few tell the story.
const maxPerPromise = 20

// Violation is one broken promise with the events that show it.
type Violation struct {
	Promise Promise
	Room    string
	Text    string
	Events  []Event
}

func (v Violation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: room %s: %s", v.Promise, v.Room, v.Text)
	for _, e := range v.Events {
		fmt.Fprintf(&b, "\n    %s", e)
	}
	return b.String()
}

// Report is what Check found.
type Report struct {
	Rooms, Sends, Acks, Refused, Unknown, Deliveries, Gaps, Logged int

	Violations []Violation     // at most 20 of each promise
	Counts     map[Promise]int // all of them
	NoLog      []string        // rooms whose log was not read: C4 says nothing of them
}

// OK reports that no promise was broken.
func (r *Report) OK() bool { return len(r.Counts) == 0 }

func (r *Report) add(promise Promise, room string, events []Event, format string, args ...any) {
	if r.Counts == nil {
		r.Counts = map[Promise]int{}
	}
	r.Counts[promise]++
	if r.Counts[promise] <= maxPerPromise {
		r.Violations = append(r.Violations, Violation{Promise: promise, Room: room, Text: fmt.Sprintf(format, args...), Events: events})
	}
}

func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d rooms: %d sent, %d acknowledged, %d refused, %d unknown; %d deliveries, %d gaps; %d messages in the logs",
		r.Rooms, r.Sends, r.Acks, r.Refused, r.Unknown, r.Deliveries, r.Gaps, r.Logged)
	if len(r.NoLog) > 0 {
		fmt.Fprintf(&b, "; %d rooms without a log", len(r.NoLog))
	}
	if r.OK() {
		b.WriteString("; every check passed")
		return b.String()
	}
	var broken []Promise
	for c := range r.Counts {
		broken = append(broken, c)
	}
	slices.Sort(broken)
	for _, c := range broken {
		fmt.Fprintf(&b, "\n%s: %d violations", c, r.Counts[c])
	}
	for _, v := range r.Violations {
		b.WriteString("\n" + v.String())
	}
	return b.String()
}

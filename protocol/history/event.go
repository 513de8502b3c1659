// Package history is what the clients of a run saw, and the checker of
// Barrage's promises over it: one order (C1), exactly once without a silent gap
// (C2), and nothing acknowledged is lost (C4). The numbers are those of the
// project's fault matrix. The package does no I/O beyond the readers and
// writers it is given, and knows nothing of how a history came about.
package history

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// Kind says what happened.
type Kind string

// The kinds, and the fields each one needs besides At and Room.
const (
	Send    Kind = "send"    // Client, ID; before the publish call
	Ack     Kind = "ack"     // Client, ID, Seq, Epoch; after it returned
	Refused Kind = "refused" // Client, ID: refused definitely, must not be in the log
	Unknown Kind = "unknown" // Client, ID: the outcome is not known

	Join      Kind = "join"      // Client: begins to read the room anew, from anywhere
	Reconnect Kind = "reconnect" // Client: a marker for people; promises hold across it
	Deliver   Kind = "deliver"   // Client, Epoch, Seq, ID
	Gap       Kind = "gap"       // Client, Epoch, First, Last, Reason
	End       Kind = "end"       // Client: had time to catch up with everything

	Log   Kind = "log"   // Epoch, First, Last: the log as it was read after the run
	Final Kind = "final" // Epoch, Seq, ID: one message of it
)

// Event is one line of a history. At is a time in nanoseconds on one clock for
// the whole history. ID names a message for ever, over all its retries: the
// publisher puts it into the message. Client names a publisher or a reader;
// events of one client are in the order in which they happened to it.
type Event struct {
	At     int64  `json:"at"`
	Kind   Kind   `json:"kind"`
	Client string `json:"client,omitempty"`
	Room   string `json:"room"`
	User   string `json:"user,omitempty"`
	Key    string `json:"key,omitempty"`
	ID     string `json:"id,omitempty"`
	Epoch  string `json:"epoch,omitempty"`
	Seq    uint64 `json:"seq,omitempty"`
	First  uint64 `json:"first,omitempty"`
	Last   uint64 `json:"last,omitempty"`
	Reason string `json:"reason,omitempty"`
}

func (e Event) String() string {
	b, err := json.Marshal(e)
	if err != nil {
		return fmt.Sprintf("%#v", e)
	}
	return string(b)
}

// Recorder gathers the events of many goroutines.
type Recorder struct {
	now func() int64

	mu     sync.Mutex // guards the field below
	events []Event
}

// NewRecorder makes a recorder whose clock is now, in nanoseconds.
func NewRecorder(now func() int64) *Recorder { return &Recorder{now: now} }

// Add records e as of now. A Send must be added before the publish is called,
// everything else after it is known.
func (r *Recorder) Add(e Event) {
	e.At = r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// Events is what was recorded so far.
func (r *Recorder) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events[:len(r.events):len(r.events)]
}

// Encode writes a history, one JSON object a line.
func Encode(w io.Writer, events []Event) error {
	buf := bufio.NewWriter(w)
	enc := json.NewEncoder(buf)
	for i := range events {
		if err := enc.Encode(&events[i]); err != nil {
			return fmt.Errorf("encode event %d: %w", i+1, err)
		}
	}
	return buf.Flush()
}

// maxLine bounds a line of a history, in bytes.
const maxLine = 64 << 10

// Decode reads what Encode wrote.
func Decode(r io.Reader) ([]Event, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	var events []Event
	for lines.Scan() {
		var e Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("line %d: %w", len(events)+1, err)
		}
		events = append(events, e)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", len(events)+1, err)
	}
	return events, nil
}

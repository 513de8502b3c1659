// Package machine is the contract between a replicated log and the state
// machines it drives: core/replica on one side, core/room and core/control on
// the other. It is pure and knows neither.
package machine

// Machine is a deterministic state machine. Apply and Load are called by one
// goroutine; everything else that reads it does so under the replica's View,
// never while Apply runs.
//
// All state that must survive lives in the key space it writes through Batch:
// a Machine that Loads what another one wrote equals it.
type Machine interface {
	// Load replaces the state by what r holds: at start, and after a snapshot
	// from a peer was put in place.
	Load(r Reader) error

	// Apply applies one committed entry and writes what changed to b; b and
	// the entry's index are stored atomically. It is total: whatever the
	// payload holds, it neither panics nor depends on anything but the state
	// and its arguments. It returns what happened, for those who wait for it.
	//
	// An error means that the payload is of a newer schema or damaged: the
	// replica stops applying and the process says why; it never skips.
	Apply(index uint64, payload []byte, b Batch) (effects any, err error)

	// Due is the time (Unix milliseconds, the log's clock) at which the leader
	// should propose a tick; 0 for never.
	Due() int64
}

// Batch collects the writes of one Apply, in order. Arguments are copied.
type Batch interface {
	Set(key, value []byte)
	Delete(key []byte)
	DeleteRange(lo, hi []byte) // lo <= k < hi
}

// Reader reads a consistent key space.
type Reader interface {
	// Get returns a copy of the value, or ok = false.
	Get(key []byte) (value []byte, ok bool, err error)
	// Scan visits lo <= k < hi in order (or backwards) until visit returns
	// false. The slices are valid during the call only.
	Scan(lo, hi []byte, reverse bool, visit func(key, value []byte) bool) error
}

package filter

import "fmt"

// Action is what becomes of a message, in ascending strength: of several the
// strongest counts.
type Action uint8

const (
	Pass   Action = iota
	Flag          // relayed; moderators are told
	Mask          // relayed with asterisks in place of what matched
	Shadow        // committed, but only its sender and moderators get it
	Hold          // not relayed until a moderator approves of it
	Block         // refused
)

var actions = [...]string{"pass", "flag", "mask", "shadow", "hold", "block"}

func (a Action) String() string {
	if int(a) < len(actions) {
		return actions[a]
	}
	return fmt.Sprintf("action(%d)", uint8(a))
}

// ParseAction reads the name of an action.
func ParseAction(name string) (Action, error) {
	for i, n := range actions {
		if n == name {
			return Action(i), nil
		}
	}
	return Pass, fmt.Errorf("%.40q is no action: use one of %v", name, actions)
}

// Severities of an entry.
const (
	MinSeverity = 1
	MaxSeverity = 4
)

// Entry is one word or phrase of a list.
type Entry struct {
	Word       string
	Language   string // BCP 47, such as zh or en; may be empty
	Severity   uint8  // MinSeverity to MaxSeverity; 0 of an allowed one
	Categories []string
	Action     Action // Flag to Block; Pass of an allowed one
	// Left and Right say that a match must begin, or end, where a word does.
	Left, Right bool
	// Allow makes the entry an exception: a match that lies inside a match of
	// this entry does not count.
	Allow bool
	// Strict has the entry be found by sound too (pinyin). Such a find only
	// ever flags.
	Strict bool
	Line   int // in its list's source, from 1; 0: none
}

// List is the entries of one source, in their order.
type List struct {
	Name     string
	Language string
	License  string
	Entries  []Entry
}

// Limits of rules.
const (
	// MaxWordRunes bounds a word after folding, and with it the work at one
	// place of a text.
	MaxWordRunes = 64
	// MaxWordBytes bounds a word as written.
	MaxWordBytes = 512
	// MaxEntries bounds one compiled filter: about 250 MB.
	MaxEntries = 1_000_000
	// MaxSource bounds a list's source, in bytes.
	MaxSource = 64 << 20
	// MaxCategories bounds the categories of an entry; a category has 1 to
	// MaxCategory letters, digits and "-_".
	MaxCategories = 8
	MaxCategory   = 32
	// MaxGap is how many symbols may be inserted between two letters of a word.
	MaxGap = 3
)

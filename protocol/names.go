package protocol

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxMarks bounds combining marks in a row: written languages need up to four,
// more only climb out of their line.
const maxMarks = 4

const (
	roomPunctuation = "-_.:~@+="
	userPunctuation = roomPunctuation + "|" // identity providers write "auth0|…"
)

// Canonical brings a room or user name into the one form that the server
// accepts (Unicode NFC). Clients call it before they send a name; the server
// never changes one.
func Canonical(name string) string { return norm.NFC.String(name) }

// CanonicalRoom checks a room name: 1 to MaxRoomName bytes of UTF-8 in NFC,
// made of letters, digits and their marks in any script and of "-_.:~@+=",
// beginning with a letter or a digit. There is one form only, so that two names
// are the same room exactly if their bytes are equal. It returns name, or a
// BadRoom error that tells what to change.
func CanonicalRoom(name string) (string, error) {
	if fault := checkName(name, MaxRoomName, roomPunctuation); fault != "" {
		return "", Errorf(BadRoom, "a room name %s", fault)
	}
	return name, nil
}

// CheckUser checks a user id like CanonicalRoom does a room name, with MaxUser
// as its limit and "|" allowed too. An error is TokenInvalid, because user ids
// come from tokens.
func CheckUser(user string) error {
	if fault := checkName(user, MaxUser, userPunctuation); fault != "" {
		return Errorf(TokenInvalid, "a user id %s", fault)
	}
	return nil
}

// CheckName checks a display name: up to MaxName bytes of UTF-8 that is all
// printable, with single spaces inside. It may be empty. An error is TokenInvalid.
func CheckName(name string) error {
	switch {
	case len(name) > MaxName:
		return Errorf(TokenInvalid, "a display name must have at most %d bytes", MaxName)
	case !utf8.ValidString(name):
		return Errorf(TokenInvalid, "a display name must be valid UTF-8")
	case strings.TrimSpace(name) != name || strings.Contains(name, "  "):
		return Errorf(TokenInvalid, "a display name must not have spaces around it or two in a row")
	}
	marks := 0
	for _, r := range name {
		marks = countMarks(marks, r)
		if !unicode.IsPrint(r) && r != zeroWidthJoiner || marks > maxMarks {
			return Errorf(TokenInvalid, "a display name must be printable, with at most %d combining marks in a row", maxMarks)
		}
	}
	return nil
}

// zeroWidthJoiner holds emoji of several parts together.
const zeroWidthJoiner = '\u200d'

// CheckKey checks a publish key: 1 to MaxKey bytes of printable ASCII without
// the space. An error is BadKey.
func CheckKey[T string | []byte](key T) error {
	if len(key) == 0 || len(key) > MaxKey {
		return Errorf(BadKey, "a key must have 1 to %d bytes; make a new one (a UUID, say) for each message", MaxKey)
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return Errorf(BadKey, "a key must be printable ASCII without spaces")
		}
	}
	return nil
}

// CheckKind checks a message kind: up to MaxKind ASCII letters, digits and
// "-_.:/". It may be empty, which is plain text. An error is BadArgument.
func CheckKind[T string | []byte](kind T) error {
	if len(kind) > MaxKind {
		return Errorf(BadArgument, "a kind must have at most %d bytes", MaxKind)
	}
	for i := range len(kind) {
		c := kind[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && strings.IndexByte("-_.:/", c) < 0 {
			return Errorf(BadArgument, `a kind must be made of ASCII letters, digits and "-_.:/"`)
		}
	}
	return nil
}

// checkName returns what is wrong with a name, or "". It is bounded by limit,
// whatever the length of name.
func checkName(name string, limit int, punctuation string) string {
	switch {
	case name == "":
		return "must not be empty"
	case len(name) > limit:
		return fmt.Sprintf("must have at most %d bytes", limit)
	case !utf8.ValidString(name):
		return "must be valid UTF-8"
	}
	marks := 0
	for i, r := range name {
		letter := r < utf8.RuneSelf && (r|0x20 >= 'a' && r|0x20 <= 'z' || r >= '0' && r <= '9') ||
			r >= utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r))
		marks = countMarks(marks, r)
		switch {
		case i == 0 && !letter:
			return "must begin with a letter or a digit"
		case marks > maxMarks:
			return "must not have more than 4 combining marks in a row"
		case !letter && marks == 0 && !strings.ContainsRune(punctuation, r):
			return "may have letters, digits and " + punctuation + " only"
		}
	}
	if !norm.NFC.IsNormalString(name) {
		return "must be in Unicode normalisation form C; send " + norm.NFC.String(name)
	}
	return ""
}

// countMarks returns how many combining marks in a row end with r.
func countMarks(before int, r rune) int {
	if r >= utf8.RuneSelf && unicode.IsMark(r) {
		return before + 1
	}
	return 0
}

// MatchPattern reports whether pattern covers name: "*" stands for any run of
// characters, an empty one included, everything else for itself. Policies and
// permissions use it for rooms.
func MatchPattern(pattern, name string) bool {
	p, n := 0, 0
	star, mark := -1, 0 // the last star, and where its run ends for now
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, n
			p++
		case p < len(pattern) && pattern[p] == name[n]:
			p++
			n++
		case star >= 0:
			mark++
			p, n = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

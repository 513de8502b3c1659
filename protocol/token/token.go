// Package token is what an issuer of client tokens and an edge agree on: the
// claims of a Barrage token, their bounds and the permissions in them. It also
// makes keys and signs, for the barrage command and for tests. Checking
// signatures is the edge's affair.
package token

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/barrage-im/barrage/protocol"
)

// Algorithms that tokens may be signed with. A key is pinned to exactly one.
const (
	EdDSA = "EdDSA"
	ES256 = "ES256"
	RS256 = "RS256"
	HS256 = "HS256"
)

// Algorithms lists them, the recommended one first.
func Algorithms() []string { return []string{EdDSA, ES256, RS256, HS256} }

// Verbs that a grant may hold.
const (
	Join    = "join"    // receive the room's messages
	Publish = "publish" // append to it
	History = "history" // read what was
	Members = "members" // see who is there
)

// Verbs lists them.
func Verbs() []string { return []string{Join, Publish, History, Members} }

// MaxGrants bounds the grants of one token: they are held per session and
// looked through at every join.
const MaxGrants = 64

// Grant allows verbs on every room whose name matches Pattern, in which '*'
// stands for any run of characters. Verbs that this version does not know
// allow nothing.
type Grant struct {
	Pattern string   `json:"pattern"`
	Verbs   []string `json:"verbs"`
}

// Claims is a token's payload: RFC 7519's registered claims, of which sub is
// the user, and ours.
type Claims struct {
	jwt.RegisteredClaims
	Name  string  `json:"name,omitempty"`  // display name
	Rooms []Grant `json:"rooms,omitempty"` // what the user may do beyond the rooms' own policies
}

// Check says what is wrong with the claims' sizes and names, if anything.
func (c *Claims) Check() error {
	if c.Subject == "" {
		return errors.New("sub (the user) is missing")
	}
	if err := protocol.CheckUser(c.Subject); err != nil {
		return fmt.Errorf("sub: %w", err)
	}
	if err := protocol.CheckName(c.Name); err != nil {
		return fmt.Errorf("name: %w", err)
	}
	if len(c.Rooms) > MaxGrants {
		return fmt.Errorf("rooms has %d grants; at most %d", len(c.Rooms), MaxGrants)
	}
	for _, g := range c.Rooms {
		if g.Pattern == "" || len(g.Pattern) > protocol.MaxRoomName {
			return fmt.Errorf("rooms: a pattern has 1 to %d bytes, not %d", protocol.MaxRoomName, len(g.Pattern))
		}
		if len(g.Verbs) > 2*len(Verbs()) {
			return fmt.Errorf("rooms: a grant has at most %d verbs", 2*len(Verbs()))
		}
	}
	for name, date := range map[string]*jwt.NumericDate{"exp": c.ExpiresAt, "nbf": c.NotBefore} {
		if date != nil && (date.Before(time.Unix(0, 0)) || date.After(latest)) {
			return fmt.Errorf("%s is not a date between 1970 and 9999 in seconds", name)
		}
	}
	return nil
}

var latest = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// May reports whether one of the grants allows the verb on the room.
func May(grants []Grant, verb, room string) bool {
	for _, g := range grants {
		if slices.Contains(g.Verbs, verb) && protocol.MatchPattern(g.Pattern, room) {
			return true
		}
	}
	return false
}

// Sign makes a token. id goes into its header as kid, if not empty.
func Sign(c Claims, algorithm string, key any, id string) (string, error) {
	if err := c.Check(); err != nil {
		return "", err
	}
	method := jwt.GetSigningMethod(algorithm)
	if method == nil || !slices.Contains(Algorithms(), algorithm) {
		return "", fmt.Errorf("algorithm %q: use one of %v", algorithm, Algorithms())
	}
	t := jwt.NewWithClaims(method, &c)
	if id != "" {
		t.Header["kid"] = id
	}
	signed, err := t.SignedString(key)
	if err != nil {
		return "", fmt.Errorf("sign with %s: %w", algorithm, err)
	}
	if len(signed) > protocol.MaxToken {
		return "", fmt.Errorf("the token has %d bytes; edges take at most %d: grant fewer rooms", len(signed), protocol.MaxToken)
	}
	return signed, nil
}

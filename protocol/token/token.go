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
	// Moderate is to take messages back and to sanction members, with the rank of
	// a moderator.
	Moderate = "moderate"
)

// Verbs lists them.
func Verbs() []string { return []string{Join, Publish, History, Members, Moderate} }

// implied is asked for at every publish: nothing is made for it.
var implied = map[string][]string{
	protocol.RoleOwner:     Verbs(),
	protocol.RoleModerator: Verbs(),
	protocol.RoleMember:    {Join, Publish, History, Members},
	protocol.RoleMuted:     {Join, History, Members},
}

// Implied are the verbs that a role brings with it, not to be changed; nil for a
// role that this version does not know.
func Implied(role string) []string { return implied[role] }

// MaxGrants bounds the grants of one token: they are held per session and
// looked through at every join.
const MaxGrants = 64

// maxRole bounds a role, in bytes: later versions may know longer names.
const maxRole = 32

// Grant allows verbs on every room whose name matches Pattern, in which '*'
// stands for any run of characters, and may give a role there (protocol.Roles),
// which implies verbs. Verbs that this version does not know allow nothing; a
// role that it does not know may be meant to forbid something, so that its whole
// grant allows nothing.
type Grant struct {
	Pattern string   `json:"pattern"`
	Verbs   []string `json:"verbs,omitempty"`
	Role    string   `json:"role,omitempty"`
}

// Allows reports whether the grant allows the verb on the rooms it is for.
func (g *Grant) Allows(verb string) bool {
	implied := Implied(g.Role)
	if g.Role != "" && implied == nil {
		return false
	}
	return slices.Contains(g.Verbs, verb) || slices.Contains(implied, verb)
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
		if len(g.Role) > maxRole {
			return fmt.Errorf("rooms: a role has at most %d bytes", maxRole)
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
	for i := range grants {
		if grants[i].Allows(verb) && protocol.MatchPattern(grants[i].Pattern, room) {
			return true
		}
	}
	return false
}

// Role is what the grants make of the user in the room: owner, moderator, muted
// or, when they say nothing of it, empty; the first of these that one of them
// gives. It does not look at who may join.
func Role(grants []Grant, room string) string {
	muted := ""
	owner, moderator := false, false
	for i := range grants {
		if g := &grants[i]; protocol.MatchPattern(g.Pattern, room) {
			owner = owner || g.Role == protocol.RoleOwner
			moderator = moderator || g.Allows(Moderate)
			if g.Role == protocol.RoleMuted {
				muted = protocol.RoleMuted
			}
		}
	}
	switch {
	case owner:
		return protocol.RoleOwner
	case moderator:
		return protocol.RoleModerator
	}
	return muted
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

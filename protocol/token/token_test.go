package token_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/token"
)

func TestKeysAreReadBack(t *testing.T) {
	for _, algorithm := range token.Algorithms() {
		private, public, err := token.NewKey(algorithm)
		if err != nil {
			t.Fatal(err)
		}
		_, is, err := token.ParsePrivate(private)
		if err != nil || is != algorithm {
			t.Errorf("%s: the private key is read as %s: %v", algorithm, is, err)
		}
		if algorithm == token.HS256 {
			public = private
		}
		for _, other := range token.Algorithms() {
			if _, err := token.ParsePublic(public, other); (err == nil) != (other == algorithm) {
				t.Errorf("the public key of %s as %s: %v", algorithm, other, err)
			}
		}
	}
	if _, _, err := token.NewKey("none"); err == nil {
		t.Error("a key for none")
	}
}

func TestSignRefusesWhatAnEdgeWould(t *testing.T) {
	private, _, err := token.NewKey(token.EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	key, _, err := token.ParsePrivate(private)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", protocol.MaxRoomName)
	many := make([]token.Grant, token.MaxGrants)
	for i := range many {
		many[i] = token.Grant{Pattern: long, Verbs: []string{long, long}}
	}
	for name, c := range map[string]struct {
		claims token.Claims
		want   string
	}{
		"no user":        {token.Claims{}, "sub (the user) is missing"},
		"odd user":       {token.Claims{RegisteredClaims: jwt.RegisteredClaims{Subject: "a b"}}, "sub:"},
		"odd name":       {token.Claims{RegisteredClaims: jwt.RegisteredClaims{Subject: "a"}, Name: "a\tb"}, "name:"},
		"long pattern":   {token.Claims{RegisteredClaims: jwt.RegisteredClaims{Subject: "a"}, Rooms: []token.Grant{{Pattern: long + "x"}}}, "pattern"},
		"many verbs":     {token.Claims{RegisteredClaims: jwt.RegisteredClaims{Subject: "a"}, Rooms: []token.Grant{{Pattern: "*", Verbs: make([]string, 11)}}}, "verbs"},
		"date before":    {token.Claims{RegisteredClaims: jwt.RegisteredClaims{Subject: "a", ExpiresAt: jwt.NewNumericDate(time.Unix(-1, 0))}}, "exp"},
		"long role":      {token.Claims{RegisteredClaims: jwt.RegisteredClaims{Subject: "a"}, Rooms: []token.Grant{{Pattern: "*", Role: long}}}, "role"},
		"large in total": {token.Claims{RegisteredClaims: jwt.RegisteredClaims{Subject: "a"}, Rooms: many}, "grant fewer rooms"},
	} {
		if _, err := token.Sign(c.claims, token.EdDSA, key, ""); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	good := token.Claims{RegisteredClaims: jwt.RegisteredClaims{Subject: "a"}}
	if _, err := token.Sign(good, token.RS256, key, ""); err == nil {
		t.Error("an Ed25519 key signed as RS256")
	}
	if _, err := token.Sign(good, "none", key, ""); err == nil {
		t.Error("none signed")
	}
}

func TestRolesImplyVerbs(t *testing.T) {
	for why, c := range map[string]struct {
		grants []token.Grant
		role   string
		may    []string
	}{
		"nothing":                   {nil, "", nil},
		"owner":                     {[]token.Grant{{Pattern: "*", Role: "owner"}}, "owner", token.Verbs()},
		"moderator":                 {[]token.Grant{{Pattern: "lob*", Role: "moderator"}}, "moderator", token.Verbs()},
		"moderator elsewhere":       {[]token.Grant{{Pattern: "a*", Role: "moderator"}, {Pattern: "*", Role: "member"}}, "", []string{"join", "publish", "history", "members"}},
		"the verb makes one":        {[]token.Grant{{Pattern: "*", Verbs: []string{"join", "moderate"}}}, "moderator", []string{"join", "moderate"}},
		"muted":                     {[]token.Grant{{Pattern: "*", Role: "muted"}}, "muted", []string{"join", "history", "members"}},
		"muted, with a verb":        {[]token.Grant{{Pattern: "*", Role: "muted", Verbs: []string{"publish"}}}, "muted", []string{"join", "publish", "history", "members"}},
		"the strongest":             {[]token.Grant{{Pattern: "*", Role: "muted"}, {Pattern: "*", Role: "moderator"}, {Pattern: "lobby", Role: "owner"}}, "owner", token.Verbs()},
		"a role of a later version": {[]token.Grant{{Pattern: "*", Role: "guest", Verbs: []string{"join", "moderate"}}}, "", nil},
	} {
		if got := token.Role(c.grants, "lobby"); got != c.role {
			t.Errorf("%s: role %q, want %q", why, got, c.role)
		}
		for _, verb := range append(token.Verbs(), "dance") {
			if got, want := token.May(c.grants, verb, "lobby"), slices.Contains(c.may, verb); got != want {
				t.Errorf("%s: may %s: %v", why, verb, got)
			}
		}
	}
}

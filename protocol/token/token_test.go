package token_test

import (
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
		"many verbs":     {token.Claims{RegisteredClaims: jwt.RegisteredClaims{Subject: "a"}, Rooms: []token.Grant{{Pattern: "*", Verbs: make([]string, 9)}}}, "verbs"},
		"date before":    {token.Claims{RegisteredClaims: jwt.RegisteredClaims{Subject: "a", ExpiresAt: jwt.NewNumericDate(time.Unix(-1, 0))}}, "exp"},
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

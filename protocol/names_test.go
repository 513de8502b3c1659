package protocol_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/barrage-im/barrage/protocol"
)

func TestRoomNames(t *testing.T) {
	for _, name := range []string{"lobby", "a", "live:42", "eu.room_1~x", "42", "群聊", "Ünïcode", "हिन्दी", "a@b+c=d", strings.Repeat("a", 128)} {
		if got, err := protocol.CanonicalRoom(name); err != nil || got != name {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	bad := map[string]string{
		"empty": "", "too long": strings.Repeat("a", 129), "huge": strings.Repeat("é", 1<<19),
		"path": "../etc", "slash": "a/b", "backslash": `a\b`, "star": "a*", "subject wildcard": "a.>", "percent": "a%2fb", "hash": "a#b", "query": "a?b",
		"space": "a b", "no-break space": "a\u00a0b", "NUL": "a\x00", "newline": "a\n", "escape": "a\x1b[1m",
		"bidi override": "a\u202eb", "zero width joiner": "a\u200db", "byte order mark": "\ufeffa", "emoji": "🎉",
		"invalid UTF-8": "a\xff", "surrogate": "a\xed\xa0\x80", "dot first": ".a", "mark first": "\u0301a",
		"not normalised": "a\u0301", "Kelvin sign": "\u212a", "marks": "x\u0316\u0317\u0318\u0319\u031a",
	}
	for why, name := range bad {
		if _, err := protocol.CanonicalRoom(name); !errors.Is(err, &protocol.Error{Code: protocol.BadRoom}) {
			t.Errorf("%s: %v", why, err)
		}
	}
}

func TestARefusedNameNamesItsCanonicalForm(t *testing.T) {
	_, err := protocol.CanonicalRoom("cafe\u0301")
	if err == nil || !strings.Contains(err.Error(), "caf\u00e9") {
		t.Errorf("%v", err)
	}
	if _, err := protocol.CanonicalRoom(protocol.Canonical("cafe\u0301")); err != nil {
		t.Errorf("the canonical form is refused: %v", err)
	}
}

func TestUsersKeysKindsAndDisplayNames(t *testing.T) {
	check := func(what string, err error, code protocol.Code) {
		t.Helper()
		if code == protocol.OK && err != nil || code != protocol.OK && !errors.Is(err, &protocol.Error{Code: code}) {
			t.Errorf("%s: %v, want %s", what, err, code)
		}
	}
	check("user", protocol.CheckUser("auth0|5f7c"), protocol.OK)
	check("user with a slash", protocol.CheckUser("a/b"), protocol.TokenInvalid)
	check("no user", protocol.CheckUser(""), protocol.TokenInvalid)
	check("key", protocol.CheckKey("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), protocol.OK)
	check("longest key", protocol.CheckKey(strings.Repeat("k", 64)), protocol.OK)
	check("no key", protocol.CheckKey(""), protocol.BadKey)
	check("long key", protocol.CheckKey(strings.Repeat("k", 65)), protocol.BadKey)
	check("huge key", protocol.CheckKey(strings.Repeat("k", 1<<20)), protocol.BadKey)
	check("key with a space", protocol.CheckKey("a b"), protocol.BadKey)
	check("key of other letters", protocol.CheckKey("é"), protocol.BadKey)
	check("no kind", protocol.CheckKind(""), protocol.OK)
	check("kind", protocol.CheckKind("app/sticker.v1"), protocol.OK)
	check("kind with a newline", protocol.CheckKind("a\n"), protocol.BadArgument)
	check("long kind", protocol.CheckKind(strings.Repeat("k", 33)), protocol.BadArgument)
	check("no name", protocol.CheckName(""), protocol.OK)
	check("name", protocol.CheckName("Ada L. 👩‍🚀"), protocol.OK)
	check("name with a bidi override", protocol.CheckName("a\u202eb"), protocol.TokenInvalid)
	check("name with spaces around", protocol.CheckName(" a"), protocol.TokenInvalid)
	check("name of marks", protocol.CheckName("a\u0316\u0317\u0318\u0319\u031a"), protocol.TokenInvalid)
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "", true},
		{"*", "x", true},
		{"", "", true},
		{"", "x", false},
		{"a", "a", true},
		{"a", "ab", false},
		{"live:*", "live:", true},
		{"live:*", "live:1", true},
		{"live:*", "liv", false},
		{"*:1", "live:1", true},
		{"*:1", "live:12", false},
		{"a*b*c", "abc", true},
		{"a*b*c", "axxbyyc", true},
		{"a*b*c", "axxbyy", false},
		{"a**b", "ab", true},
		{"*ab", "aab", true},
		{strings.Repeat("a*", 40) + "b", strings.Repeat("a", 128), false},
	} {
		if got := protocol.MatchPattern(c.pattern, c.name); got != c.want {
			t.Errorf("MatchPattern(%q, %q) = %v", c.pattern, c.name, got)
		}
	}
}

func TestEpochs(t *testing.T) {
	for _, epoch := range []uint64{0, 1, 100, 1<<64 - 1} {
		if got, err := protocol.ParseEpoch(protocol.FormatEpoch(epoch)); err != nil || got != epoch {
			t.Errorf("%d comes back as %d, %v", epoch, got, err)
		}
	}
	for _, s := range []string{"", "2S", "02s", "+1", "-1", "1.0", "zzzzzzzzzzzzzz", " 1"} {
		if _, err := protocol.ParseEpoch(s); !errors.Is(err, &protocol.Error{Code: protocol.BadArgument}) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

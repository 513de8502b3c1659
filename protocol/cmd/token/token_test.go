package token_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	command "github.com/barrage-im/barrage/protocol/cmd/token"
	"github.com/barrage-im/barrage/protocol/ops"
	"github.com/barrage-im/barrage/protocol/token"
)

func run(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, diagnostics bytes.Buffer
	err = command.Run(t.Context(), args, &out, &diagnostics)
	return out.String(), diagnostics.String(), err
}

func TestNewKeySignShow(t *testing.T) {
	for _, algorithm := range token.Algorithms() {
		path := filepath.Join(t.TempDir(), "key.pem")
		out, _, err := run(t, "new-key", "--alg", algorithm, "--out", path)
		if err != nil {
			t.Fatal(err)
		}
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", algorithm, st.Mode(), err)
		}
		signed, _, err := run(t, "sign", "--key", path, "--user", "ann", "--name", "Ann", "--room", "lobby:*=join,publish",
			"--room", "a=b=history", "--room", "studio=moderator,join", "--iss", "me", "--aud", "chat", "--ttl", "1h", "--kid", "k1")
		if err != nil {
			t.Fatal(err)
		}
		signed = strings.TrimSpace(signed)

		// The public file that new-key names verifies what sign made.
		public := path
		if algorithm != token.HS256 {
			public = strings.TrimSuffix(path, ".pem") + ".pub.pem"
		}
		if !strings.Contains(out, algorithm+":"+public) {
			t.Errorf("new-key does not say how to use the key:\n%s", out)
		}
		text, err := os.ReadFile(public)
		if err != nil {
			t.Fatal(err)
		}
		var c token.Claims
		if _, err := jwt.ParseWithClaims(signed, &c, func(*jwt.Token) (any, error) { return token.ParsePublic(text, algorithm) }); err != nil {
			t.Fatal(err)
		}
		if c.Subject != "ann" || c.Name != "Ann" || c.Issuer != "me" || len(c.Rooms) != 3 || c.Rooms[1].Pattern != "a=b" || c.Rooms[2].Role != "moderator" ||
			!slices.Equal(c.Rooms[0].Verbs, []string{"join", "publish"}) {
			t.Errorf("signed %+v", c)
		}

		shown, warning, err := run(t, "show", signed)
		if err != nil {
			t.Fatal(err)
		}
		var parts struct{ Header, Claims map[string]any }
		if err := json.Unmarshal([]byte(shown), &parts); err != nil {
			t.Fatal(err)
		}
		if parts.Header["kid"] != "k1" || parts.Header["alg"] != algorithm || parts.Claims["sub"] != "ann" {
			t.Errorf("shown: %s", shown)
		}
		if !strings.Contains(warning, "NOT verified") || !strings.Contains(warning, "expires in") {
			t.Errorf("show says %q", warning)
		}
	}
}

func TestKeysAreNotOverwritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	if _, _, err := run(t, "new-key", "--out", path); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := run(t, "new-key", "--out", path); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("got %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Error("the key was changed")
	}
}

func TestUsageErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	if _, _, err := run(t, "new-key", "--out", path); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"mint"},
		{"new-key", "--alg", "none", "--out", path + "2"},
		{"sign", "--key", path},
		{"sign", "--key", path, "--user", "ann", "--room", "lobby"},
		{"sign", "--key", path, "--user", "ann", "--room", "lobby=shout"},
		{"sign", "--key", path, "--user", "ann", "--room", "lobby=owner,muted"},
		{"sign", "--key", path, "--user", "ann", "--ttl", "60"},
		{"sign", "--key", path, "--user", "ann", "extra"},
		{"show"},
	} {
		_, _, err := run(t, args...)
		var usage *ops.UsageError
		if !errors.As(err, &usage) {
			t.Errorf("%q: got %v, want a usage error", args, err)
		}
	}
	var help *ops.HelpRequested
	if _, _, err := run(t); !errors.As(err, &help) {
		t.Errorf("no arguments: %v", err)
	}
	for _, bad := range []string{"x", "a.b", "!.!.!", "e30.W10.", "bnVsbA"} {
		if out, _, err := run(t, "show", bad); err == nil {
			t.Errorf("%q is shown as %s", bad, out)
		}
	}
}

package cert_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/barrage-im/barrage/protocol/cmd/cert"
	"github.com/barrage-im/barrage/protocol/ops"
	"github.com/barrage-im/barrage/protocol/pki"
)

func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := cert.Run(t.Context(), args, &out, &out)
	return out.String(), err
}

func TestInitThenIssue(t *testing.T) {
	dir := t.TempDir()
	authority, out := filepath.Join(dir, "pki"), filepath.Join(dir, "c1")
	if _, err := run(t, "issue", "--dir", authority, "--role", "core", "--name", "c1", "--out", out); err == nil || !strings.Contains(err.Error(), "barrage cert init") {
		t.Errorf("without an authority: %v", err)
	}
	if _, err := run(t, "init", "--dir", authority, "--cluster", "live"); err != nil {
		t.Fatal(err)
	}
	said, err := run(t, "issue", "--dir", authority, "--role", "core", "--name", "c1", "--host", "127.0.0.1", "--out", out)
	if err != nil {
		t.Fatal(err)
	}
	creds, err := pki.Load(out, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if want := "spiffe://barrage/live/core/c1"; creds.Identity().String() != want || !strings.Contains(said, want) {
		t.Errorf("identity %s, said %q", creds.Identity(), said)
	}
	if st, err := os.Stat(filepath.Join(out, pki.FileKey)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v %v", st, err)
	}
	if _, err := os.Stat(filepath.Join(out, pki.FileCAKey)); !errors.Is(err, os.ErrNotExist) {
		t.Error("the authority's key was given to a process")
	}
}

func TestAuthorityIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	if _, err := run(t, "init", "--dir", dir); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, "init", "--dir", dir); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("got %v", err)
	}
}

func TestUsageErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := run(t, "init", "--dir", dir); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"make"},
		{"init", "--dir", filepath.Join(dir, "x"), "--cluster", "a/b"},
		{"issue", "--dir", dir, "--role", "king", "--name", "a"},
		{"issue", "--dir", dir, "--role", "core"},
		{"issue", "--dir", dir, "--role", "core", "--name", "../a"},
		{"issue", "--dir", dir, "--role", "core", "--name", "a", "--ttl", "0"},
		{"issue", "--dir", dir, "--role", "core", "--name", "a", "--ttl", "365"},
	} {
		_, err := run(t, args...)
		var usage *ops.UsageError
		if !errors.As(err, &usage) {
			t.Errorf("%q: got %v, want a usage error", args, err)
		}
	}
}

package rollout

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// remote is a bare repository with one commit on main.
func remote(t *testing.T) string {
	t.Helper()
	for _, v := range [][2]string{
		{"GIT_AUTHOR_NAME", "t"},
		{"GIT_AUTHOR_EMAIL", "t@example.com"},
		{"GIT_COMMITTER_NAME", "t"},
		{"GIT_COMMITTER_EMAIL", "t@example.com"},
		{"GIT_CONFIG_GLOBAL", "/dev/null"},
		{"GIT_CONFIG_SYSTEM", "/dev/null"},
	} {
		t.Setenv(v[0], v[1])
	}
	dir := t.TempDir()
	bare, work := filepath.Join(dir, "fleet.git"), filepath.Join(dir, "work")
	sh(t, dir, "init", "--quiet", "--bare", "--initial-branch=main", bare)
	sh(t, dir, "init", "--quiet", "--initial-branch=main", work)
	put(t, work, "clusters/eu/eu-1/a.yaml", "v1\n")
	put(t, work, "clusters/us/us-1/a.yaml", "v1\n")
	sh(t, work, "add", ".")
	sh(t, work, "commit", "--quiet", "-m", "first")
	sh(t, work, "push", "--quiet", bare, "main")
	return bare
}

func sh(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := git(t.Context(), dir, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	at := filepath.Join(dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func clone(t *testing.T, url, sign string) *Repo {
	t.Helper()
	r, err := Clone(t.Context(), url, "main", filepath.Join(t.TempDir(), "clone"), sign)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func first(version string) Change {
	return Change{
		Folders: []string{"clusters/eu/eu-1"}, Files: map[string][]byte{"clusters/eu/eu-1/b.yaml": []byte(version + "\n")},
		Subject: "fleet: eu gets " + version, Rollout: "r-" + version, Version: version, Wave: 0, Waves: 2,
	}
}

func TestWavesAreCommitsAndComeBack(t *testing.T) {
	url := remote(t)
	r := clone(t, url, "")
	base, err := r.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	one, err := r.Move(t.Context(), first("v2"))
	if err != nil {
		t.Fatal(err)
	}
	if got := sh(t, r.Dir(), "diff", "--name-status", base, one); got != "R100\tclusters/eu/eu-1/a.yaml\tclusters/eu/eu-1/b.yaml" && got != "D\tclusters/eu/eu-1/a.yaml\nA\tclusters/eu/eu-1/b.yaml" {
		t.Errorf("the commit: %s", got)
	}
	// Somebody else changes another region: ours is as it was.
	put(t, r.Dir(), "clusters/us/us-1/a.yaml", "by hand\n")
	sh(t, r.Dir(), "commit", "--quiet", "-am", "other")
	sh(t, r.Dir(), "push", "--quiet", "origin", "HEAD:main")
	other, _ := r.Head(t.Context())
	if got, err := r.Revisions(t.Context(), one, []string{"clusters/eu/eu-1"}); err != nil || !slices.Equal(got, []string{"main@sha1:" + one, "main@sha1:" + other}) {
		t.Errorf("%v %v", got, err)
	}
	if got, err := r.Revisions(t.Context(), one, []string{"clusters/us/us-1"}); err != nil || len(got) != 1 {
		t.Errorf("%v %v", got, err)
	}

	// Whoever starts anew reads the same.
	again := clone(t, url, "")
	records, err := again.Rollouts(t.Context())
	if err != nil || len(records) != 1 {
		t.Fatal(records, err)
	}
	rec := records[0]
	if rec.ID != "r-v2" || rec.Version != "v2" || rec.Base != base || len(rec.Moved) != 1 || rec.Moved[0].Commit != one || rec.Moved[0].At.IsZero() || !rec.UnderWay() {
		t.Errorf("%+v", rec)
	}
	back := Change{Folders: []string{"clusters/eu/eu-1"}, Subject: "fleet: eu goes back", Body: "eu-1: 12 % of publishes are refused", Rollout: rec.ID, Version: rec.Version}
	undone, err := again.Restore(t.Context(), rec.Base, back)
	if err != nil {
		t.Fatal(err)
	}
	sh(t, again.Dir(), "diff", "--quiet", base, undone, "--", "clusters/eu")
	if text := sh(t, again.Dir(), "log", "-1", "--format=%B"); !strings.Contains(text, "12 % of publishes") {
		t.Error(text)
	}
	if got := sh(t, again.Dir(), "show", undone+":clusters/us/us-1/a.yaml"); got != "by hand" {
		t.Errorf("what somebody else did is %q", got)
	}
	if records, err = again.Rollouts(t.Context()); err != nil || records[0].Reverted != undone || records[0].UnderWay() {
		t.Errorf("%+v %v", records[0], err)
	}
}

// Two that begin at once: one of them is told, and has changed nothing.
func TestTwoAtOnce(t *testing.T) {
	url := remote(t)
	a, b := clone(t, url, ""), clone(t, url, "")
	if _, err := a.Move(t.Context(), first("v2")); err != nil {
		t.Fatal(err)
	}
	before, _ := b.Head(t.Context())
	if _, err := b.Move(t.Context(), first("v3")); !errors.Is(err, ErrConflict) {
		t.Fatalf("%v", err)
	}
	if head, _ := b.Head(t.Context()); head != before {
		t.Error("the loser's clone has a commit that is nowhere else")
	}
	if err := b.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	records, err := b.Rollouts(t.Context())
	if err != nil || len(records) != 1 || records[0].Version != "v2" || !records[0].UnderWay() {
		t.Errorf("%+v %v", records, err)
	}
}

func TestWhatGitSays(t *testing.T) {
	url := remote(t)
	r := clone(t, url, "")
	if _, err := Clone(t.Context(), url, "mian", filepath.Join(t.TempDir(), "x"), ""); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "mian") {
		t.Errorf("no such branch: %v", err)
	}
	if _, err := Clone(t.Context(), url+"x", "main", filepath.Join(t.TempDir(), "x"), ""); !errors.Is(err, ErrUnreachable) {
		t.Errorf("no such repository: %v", err)
	}
	c := first("v2")
	c.Files["clusters/us/us-1/x.yaml"] = nil
	if _, err := r.Move(t.Context(), c); err == nil || !strings.Contains(err.Error(), "in none of") {
		t.Errorf("a file of another region: %v", err)
	}
	if err := r.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	same := first("v1")
	same.Files = map[string][]byte{"clusters/eu/eu-1/a.yaml": []byte("v1\n")}
	if _, err := r.Move(t.Context(), same); !errors.Is(err, ErrNothing) {
		t.Errorf("the same again: %v", err)
	}
	hook := filepath.Join(url, "hooks/pre-receive")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\necho commits must be signed >&2\nexit 1\n"), 0o700); err != nil { //nolint:gosec // a hook is a program
		t.Fatal(err)
	}
	if _, err := r.Move(t.Context(), first("v2")); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "commits must be signed") {
		t.Errorf("a hook: %v", err)
	}
	if out := sh(t, r.Dir(), "status", "--porcelain"); out != "" {
		t.Errorf("half of it is left: %s", out)
	}
	put(t, r.Dir(), "clusters/x", "y")
	sh(t, r.Dir(), "add", ".")
	sh(t, r.Dir(), "commit", "--quiet", "-m", "by hand\n\nFleet-Rollout: r9\nFleet-Wave: three\n")
	if _, err := r.Rollouts(t.Context()); err == nil || !strings.Contains(err.Error(), "was it written by hand?") {
		t.Errorf("%v", err)
	}
}

// Commits are signed by the key that is given, and verified as Flux would.
func TestCommitsAreSigned(t *testing.T) {
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("SKIPPED: there is no ssh-keygen")
	}
	url := remote(t)
	key := filepath.Join(t.TempDir(), "key")
	if out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("%s %v", out, err)
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	signers := filepath.Join(t.TempDir(), "signers")
	if err := os.WriteFile(signers, append([]byte("t@example.com "), public...), 0o600); err != nil {
		t.Fatal(err)
	}
	r := clone(t, url, key)
	commit, err := r.Move(t.Context(), first("v2"))
	if err != nil {
		t.Fatal(err)
	}
	sh(t, r.Dir(), "-c", "gpg.ssh.allowedSignersFile="+signers, "verify-commit", commit)
	if _, err := git(t.Context(), r.Dir(), "-c", "gpg.ssh.allowedSignersFile="+signers, "verify-commit", commit+"^"); err == nil {
		t.Error("a commit without a signature is verified")
	}
}

package fleet

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := Command(t.Context(), args, &out, nil)
	return out.String(), err
}

func must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := run(t, args...)
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return out
}

// From nothing to a repository, and through a change.
func TestARepositoryIsWritten(t *testing.T) {
	dir := t.TempDir()
	desc := filepath.Join(dir, "fleet.yaml")
	save := func(text string) {
		if err := os.WriteFile(desc, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := must(t, "init", "--name", "party")
	save(text)
	if _, err := run(t, "validate", desc); err == nil || !strings.Contains(err.Error(), "edge.keys[0].pem: want a public key") || strings.Contains(err.Error(), "\n") {
		t.Errorf("with the key that has to be replaced, and nothing else: %v", err)
	}
	text = strings.Replace(text, "replace this by tokens.pub.pem", "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=", 1)
	save(text)
	if out := must(t, "validate", desc); !strings.Contains(out, "fleet party is in order: 3 regions, 3 clusters, 3 core nodes (3 vote), up to 60 edges, 3 waves") {
		t.Error(out)
	}
	if out := must(t, "diff", desc, "--out", dir); !strings.Contains(out, "+++ b/clusters/eu/eu-1/barrage.yaml") || strings.Contains(out, "0 files new") {
		t.Error(out)
	}
	if _, err := os.Stat(filepath.Join(dir, "clusters")); err == nil {
		t.Error("diff wrote something")
	}
	if out := must(t, "render", desc, "--out", dir); !strings.Contains(out, "0 changed, 0 removed") {
		t.Error(out)
	}
	if out := must(t, "diff", desc, "--out", dir); out != "0 files new, 0 changed, 0 not rendered any more\n" {
		t.Error(out)
	}
	save(strings.Replace(text, "voters: 1, min: 2, max: 20}\n  - name: us", "voters: 1, min: 2, max: 21}\n  - name: us", 1))
	if out := must(t, "diff", desc, "--out", dir); !strings.Contains(out, "-  maxReplicas: 20\n+  maxReplicas: 21\n") || !strings.Contains(out, "0 files new, 1 changed") {
		t.Error(out)
	}
	must(t, "render", desc, "--out", dir)

	// What is not of the description is not removed unless that is said.
	mine := filepath.Join(dir, "clusters/eu/eu-1/mine.yaml")
	if err := os.WriteFile(mine, []byte("a: b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, "render", desc, "--out", dir); err == nil || !strings.Contains(err.Error(), "clusters/eu/eu-1/mine.yaml") || !strings.Contains(err.Error(), "--prune") {
		t.Error(err)
	}
	if out := must(t, "render", desc, "--out", dir, "--prune"); !strings.Contains(out, "1 removed") {
		t.Error(out)
	}
	if _, err := os.Stat(mine); err == nil {
		t.Error("it is still there")
	}
}

func TestWhatCannotBeDone(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("nam: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"rendr"}, "did you mean render?"},
		{[]string{"validate"}, "name the description"},
		{[]string{"validate", filepath.Join(dir, "none.yaml")}, "barrage fleet init"},
		{[]string{"validate", bad}, "bad.yaml:1: nam: unknown key; did you mean name?"},
		{[]string{"render", bad}, "bad.yaml:1"},
		{[]string{"init", "x"}, "unexpected argument"},
	} {
		_, err := run(t, c.args...)
		var coded interface{ ExitCode() int }
		if err == nil || !strings.Contains(err.Error(), c.says) || !errors.As(err, &coded) || coded.ExitCode() != 2 {
			t.Errorf("%v: %v", c.args, err)
		}
	}
}

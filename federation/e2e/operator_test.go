package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// An operator runs commands of the real binary, each in a process of its own.
type operator struct {
	bin    string
	server string // a core node
	dir    string // with its certificate and, of "barrage dev", the key that signs rules
}

// commandTime bounds one command on a busy machine.
const commandTime = 30 * time.Second

// try runs a command and returns what it says, on both streams.
func (o operator) try(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return o.local(t, append(args, "--server", o.server, "--tls", o.dir)...)
}

// local runs a command that asks no core node.
func (o operator) local(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, o.bin, args...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// run runs a command that must succeed.
func (o operator) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := o.try(t, args...)
	if err != nil {
		t.Fatalf("barrage %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// fail runs a command that must be refused, for a reason that names all of
// these.
func (o operator) fail(t *testing.T, reasons []string, args ...string) {
	t.Helper()
	out, err := o.try(t, args...)
	if err == nil {
		t.Errorf("barrage %s was not refused:\n%s", strings.Join(args, " "), out)
	}
	says(t, out, reasons...)
}

func says(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("does not say %q:\n%s", want, text)
		}
	}
}

// file writes a file for a command to read.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// wordList is a list of words that are all treated alike.
func wordList(t *testing.T, action string, words ...string) string {
	t.Helper()
	return file(t, "words.txt", "%list 1\n%default severity=4 action="+action+"\n"+strings.Join(words, "\n")+"\n")
}

// A dev is a running "barrage dev".
type dev struct {
	*process
	operator operator
	pages    []string // host:port of each region's page
}

var (
	devPage   = regexp.MustCompile(`http://(127\.0\.0\.1:\d+)/`)
	devAccess = regexp.MustCompile(`BARRAGE_CORE_SERVER=(\S+) BARRAGE_OPERATOR_TLS=([^;\s]+)`)
)

// startDev starts "barrage dev" and returns when it has said where everything is.
func startDev(t *testing.T, args ...string) *dev {
	t.Helper()
	bin := barrage(t, "")
	args = append([]string{"dev", "--http", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--data", t.TempDir()}, args...)
	d := &dev{process: newProcess(t, "dev", bin, "", args...)}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(settle)
	for !strings.Contains(d.said(t), "Ctrl-C") {
		if !d.running() || time.Now().After(deadline) {
			t.Fatalf("barrage dev does not greet:\n%s", d.tail(20))
		}
		time.Sleep(20 * time.Millisecond) // real processes, real time
	}
	for _, m := range devPage.FindAllStringSubmatch(d.said(t), -1) {
		d.pages = append(d.pages, m[1])
	}
	access := devAccess.FindStringSubmatch(d.said(t))
	if len(d.pages) == 0 || access == nil {
		t.Fatalf("the greeting names no page or no core node:\n%s", d.said(t))
	}
	d.operator = operator{bin: bin, server: access[1], dir: access[2]}
	return d
}

// said is what the process has written so far.
func (p *process) said(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(p.logs)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// moderator makes mia the moderator of all rooms, in which one may publish as
// fast as one can, and waits until every edge knows.
func (d *dev) moderator(t *testing.T) {
	t.Helper()
	d.operator.run(t, "room", "policy", "set", file(t, "policies.yaml", `policies:
  - {pattern: "*", moderators: [mia], publish_rate: 100000, publish_burst: 100000, user_rate: 100000, user_burst: 100000}
`))
	for i := range d.pages {
		deadline := time.Now().Add(settle)
		for {
			v := d.enter(t, i, "mia", "policy-check")
			role := v.roleNow()
			v.leave()
			if role == "moderator" {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("edge %d says mia is %q", i, role)
			}
		}
	}
}

func (d *dev) endpoint(i int) string { return fmt.Sprintf("ws://%s/v1/ws", d.pages[i]) }

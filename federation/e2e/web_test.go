package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const (
	webDir = "web"
	// chromium is where Debian's package puts it; CHROMIUM names another one.
	chromium = "/usr/bin/chromium"
	// scriptTime bounds one script on a busy machine.
	scriptTime = 3 * time.Minute
)

// script runs one of the scripts and expects it to pass all of its steps.
func script(t *testing.T, command string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), scriptTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, command, args...)
	cmd.Dir = webDir
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("%s %s: %v", command, strings.Join(args, " "), err)
	}
	if !strings.Contains(string(out), " passed, 0 failed") {
		t.Fatal("it did not say how many steps it passed")
	}
}

// need finds a program, or installs it where apt-get can. Without it a short
// run skips; a full one fails, since nothing would have been tested.
func need(t *testing.T, program, debian string) string {
	t.Helper()
	if path, err := exec.LookPath(program); err == nil {
		return path
	}
	if !testing.Short() && os.Geteuid() == 0 {
		for _, args := range [][]string{{"update"}, {"install", "-y", "--no-install-recommends", debian}} {
			if out, err := exec.CommandContext(t.Context(), "apt-get", args...).CombinedOutput(); err != nil {
				t.Logf("apt-get %s: %v\n%s", args[0], err, out)
			}
		}
		if path, err := exec.LookPath(program); err == nil {
			return path
		}
	}
	missing(t, fmt.Sprintf("%s is missing: apt-get install %s", program, debian))
	return ""
}

func missing(t *testing.T, what string) {
	t.Helper()
	if testing.Short() {
		t.Skip("SKIPPED: " + what)
	}
	t.Fatal(what)
}

func TestIndependentClient(t *testing.T) {
	node := need(t, "node", "nodejs")
	d := startDev(t)
	d.moderator(t)
	script(t, node, "--no-warnings", "--experimental-websocket", "client.mjs", d.endpoint(0), "mia")
}

// TestBrowser drives the page with Chromium. With BARRAGE_SCREENSHOT it also
// writes the README's picture there.
func TestBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: starts a browser several times")
	}
	node := need(t, "node", "nodejs")
	if os.Getenv("CHROMIUM") == "" {
		need(t, chromium, "chromium")
	}
	npm := need(t, "npm", "npm")
	if _, err := os.Stat(webDir + "/node_modules/playwright-core"); err != nil {
		cmd := exec.CommandContext(t.Context(), npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
		cmd.Dir = webDir
		if out, err := cmd.CombinedOutput(); err != nil {
			missing(t, fmt.Sprintf("npm ci: %v\n%s", err, out))
		}
	}
	d := startDev(t)
	d.moderator(t)
	args := []string{"browser.mjs", "http://" + d.pages[0] + "/", "mia"}
	if picture := os.Getenv("BARRAGE_SCREENSHOT"); picture != "" {
		args = append(args, picture)
	}
	script(t, node, args...)
}

package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/barrage-im/barrage/core"
	"github.com/barrage-im/barrage/protocol/ops"
)

func TestExitCodes(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"done":          {nil, 0},
		"help":          {&ops.HelpRequested{Text: "usage"}, 0},
		"library help":  {fmt.Errorf("bench: %w", flag.ErrHelp), 0},
		"went wrong":    {errors.New("no"), 1},
		"usage":         {ops.Usagef("no"), 2},
		"wrapped usage": {fmt.Errorf("core: %w", ops.Usagef("no")), 2},
		"disk":          {fmt.Errorf("core: %w", &core.Fault{Err: errors.New("torn")}), 3},
	} {
		if got := exitCode("x", c.err, io.Discard, io.Discard); got != c.want {
			t.Errorf("%s: exit code %d, want %d", name, got, c.want)
		}
	}
}

func TestDispatch(t *testing.T) {
	for _, c := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{nil, 0, "Usage: barrage COMMAND", ""},
		{[]string{"help"}, 0, "edge-node", ""},
		{[]string{"--version"}, 0, "barrage ", ""},
		{[]string{"version", "--output=xml"}, 2, "", "barrage version: "},
		{[]string{"edgenode"}, 2, "", "did you mean edge-node?"},
		{[]string{"frobnicate"}, 2, "", "barrage help"},
		{[]string{"token", "--help"}, 0, "new-key", ""},
		{[]string{"core", "--nonsense"}, 2, "", "unknown flag --nonsense"},
		{[]string{"dev", "--help"}, 0, "--regions", ""},
	} {
		var out, diagnostics bytes.Buffer
		code := run(context.Background(), c.args, &out, &diagnostics)
		if code != c.code || !strings.Contains(out.String(), c.stdout) || !strings.Contains(diagnostics.String(), c.stderr) {
			t.Errorf("%q: exit code %d\n%s\n%s", c.args, code, out.String(), diagnostics.String())
		}
	}
}

func TestEveryProcessShowsItsDefaults(t *testing.T) {
	for name, prototype := range processes {
		// Whatever a process demands to be told, its defaults are shown.
		var out bytes.Buffer
		run(context.Background(), []string{"config", "show", "--for", name}, &out, io.Discard)
		if !strings.Contains(out.String(), "default") || prototype() == prototype() {
			t.Errorf("%s: %s", name, out.String())
		}
	}
}

func TestEveryCommandHasOneLine(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range commands {
		if c.summary == "" || len(c.name)+len(c.summary) > 90 || strings.Contains(c.summary, "\n") || seen[c.name] {
			t.Errorf("%s: %q", c.name, c.summary)
		}
		seen[c.name] = true
	}
}

// Package cmd is "barrage filter": make, check, test and roll out word lists.
package cmd

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/barrage-im/barrage/protocol/ops"
)

// streams are what a sub-command reads and writes. What it was asked for goes
// to out, remarks go to err.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

type subcommand struct {
	name, summary, example string
	run                    func(ctx context.Context, s streams, args []string) error
}

// subcommands, in the order in which an operator needs them.
var subcommands = []subcommand{
	{"key", "make a pair of signing keys", "key --out keys", key},
	{"check", "look for mistakes in lists", "check words.txt", check},
	{"test", "try texts", "test words.txt 'some text'", test},
	{"bench", "measure speed, memory and what is found", "bench --words 1000,10000", bench},
	{"compile", "make a signed bundle of lists", "compile words.txt --key keys/filter.key -o rules.bundle", compile},
	{"show", "what a bundle is", "show rules.bundle --pub keys/filter.pub", show},
	{"push", "put rules in force, and see whether edges take them", "push rules.bundle --mode report", push},
	{"status", "what is in force where", "status", status},
	{"remove", "end a set", "remove default", remove},
}

// Run runs one of the sub-commands.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	return run(ctx, streams{os.Stdin, stdout, stderr}, args)
}

func run(ctx context.Context, s streams, args []string) error {
	if len(args) == 0 || args[0] == "-h" || args[0] == "--help" {
		return &ops.HelpRequested{Text: usage()}
	}
	var names []string
	for _, c := range subcommands {
		if c.name == args[0] {
			return c.run(ctx, s, args[1:])
		}
		names = append(names, c.name)
	}
	return ops.Usagef("filter %s: use one of %s", args[0], strings.Join(names, ", "))
}

func usage() string {
	var b strings.Builder
	b.WriteString("Usage: barrage filter COMMAND [flags]\n\n")
	for _, c := range subcommands {
		fmt.Fprintf(&b, "  %-8s %s:\n           barrage filter %s\n", c.name, c.summary, c.example)
	}
	b.WriteString("\nThe format of lists is in docs/filter.md. \"barrage filter COMMAND --help\" tells more.\n")
	return b.String()
}

// printable keeps what lists and users wrote from steering the terminal.
func printable(s string) string {
	quoted := fmt.Sprintf("%q", s)
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(quoted[1 : len(quoted)-1])
}

// clip keeps lines short, for people.
func clip(s string, runes int) string {
	n := 0
	for i := range s {
		if n++; n > runes {
			return s[:i] + "…"
		}
	}
	return s
}

// size writes a number of bytes for people.
func size(n int) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}

// count writes "1 entry", "2 entries".
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Command barrage is Barrage: every process and every tool is one of its
// subcommands. This file only dispatches.
//
// Exit codes: 0 done, 1 went wrong, 2 the command line or the configuration
// cannot be used, 3 the disk cannot be trusted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/barrage-im/barrage/core"
	edgenode "github.com/barrage-im/barrage/edge-node"
	"github.com/barrage-im/barrage/federation/dev"
	filtercmd "github.com/barrage-im/barrage/filter/cmd"
	"github.com/barrage-im/barrage/fleet"
	"github.com/barrage-im/barrage/predictor"
	predictorcmd "github.com/barrage-im/barrage/predictor/cmd"
	"github.com/barrage-im/barrage/protocol/cmd/bench"
	"github.com/barrage-im/barrage/protocol/cmd/cert"
	"github.com/barrage-im/barrage/protocol/cmd/chat"
	"github.com/barrage-im/barrage/protocol/cmd/config"
	"github.com/barrage-im/barrage/protocol/cmd/room"
	"github.com/barrage-im/barrage/protocol/cmd/token"
	"github.com/barrage-im/barrage/protocol/cmd/version"
	"github.com/barrage-im/barrage/protocol/ops"
)

type command struct {
	name    string
	summary string
	run     func(ctx context.Context, args []string, stdout, stderr io.Writer) error
}

// processes are those whose configuration "barrage config" can show.
var processes = config.Prototypes{
	"core":      func() any { c := core.Default(); return &c },
	"dev":       func() any { c := dev.Default(); return &c },
	"edge-node": func() any { c := edgenode.Default(); return &c },
	"predictor": func() any { c := predictor.Default(); return &c },
}

var commands = []command{
	{"dev", "everything in one process, to try and to develop against", dev.Command},
	{"core", "a core node: replicated rooms", core.Command},
	{"edge-node", "an edge: where clients connect", edgenode.Command},
	{"chat", "talk in a room from a terminal", talk},
	{"bench", "load a running service, measure it, account for every message", bench.Run},
	{"room", "look at rooms, moderate them, change their policies", room.Run},
	{"filter", "make, check, test and roll out word lists", filtercmd.Run},
	{"fleet", "make, check and show what a fleet of clusters runs", fleet.Command},
	{"predictor", "a region's load ahead of time, for autoscalers; and how good that is", predictorcmd.Run(predictor.Command)},
	{"token", "make signing keys and tokens, and look into tokens", token.Run},
	{"cert", "make the certificates by which processes know each other", cert.Run},
	{"config", "check or show a process's configuration", config.Command(processes)},
	{"version", "which build this is", version.Run},
}

// talk is chat, which also reads.
func talk(ctx context.Context, args []string, stdout, _ io.Writer) error {
	return chat.Run(ctx, args, os.Stdin, stdout)
}

func main() {
	ctx, stop := ops.Signals(context.Background())
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run dispatches and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		_, _ = io.WriteString(stdout, help()) // nobody is left to tell
		return 0
	}
	if args[0] == "--version" {
		args[0] = "version"
	}
	for _, c := range commands {
		if c.name == args[0] {
			return exitCode(c.name, c.run(ctx, args[1:], stdout, stderr), stdout, stderr)
		}
	}
	hint := ""
	if near := ops.Nearest(args[0], names()); near != "" {
		hint = fmt.Sprintf("; did you mean %s?", near)
	}
	_, _ = fmt.Fprintf(stderr, "barrage: unknown command %q%s\nrun \"barrage help\" for all of them\n", args[0], hint)
	return 2
}

func exitCode(name string, err error, stdout, stderr io.Writer) int {
	var help *ops.HelpRequested
	var coded interface{ ExitCode() int }
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &help):
		_, _ = io.WriteString(stdout, help.Text)
		return 0
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		_, _ = fmt.Fprintf(stderr, "barrage %s: %s\n", name, line)
	}
	if errors.As(err, &coded) {
		return coded.ExitCode()
	}
	return 1
}

func help() string {
	var b strings.Builder
	b.WriteString("Barrage: messaging for live rooms.\n\nUsage: barrage COMMAND [flags]\n\n")
	for _, c := range commands {
		fmt.Fprintf(&b, "  %-10s %s\n", c.name, c.summary)
	}
	b.WriteString("\n\"barrage COMMAND --help\" tells more. Exit codes: 0 done, 1 went wrong, 2 usage or\nconfiguration, 3 the disk cannot be trusted.\n")
	return b.String()
}

func names() (list []string) {
	for _, c := range commands {
		list = append(list, c.name)
	}
	return list
}

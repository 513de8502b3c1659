// Package config is the command "barrage config": it reads the configuration of
// a process exactly as that process would, and says what is wrong with it or
// where each value comes from.
package config

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/barrage-im/barrage/protocol/ops"
)

// Prototypes makes, for each process by name, a pointer to its configuration
// with the defaults filled in.
type Prototypes map[string]func() any

const usage = `Usage: barrage config check|show --for PROCESS [-f FILE] [-o table|json] [-- FLAGS]

  check  says whether PROCESS would start with this configuration
  show   prints the effective configuration and where each value comes from

FLAGS are those of the process. Variables BARRAGE_… count as they would for it.

`

type options struct {
	For    string `yaml:"for" help:"process whose configuration it is"`
	File   string `yaml:"file" short:"f" help:"its YAML file"`
	Output string `yaml:"output" short:"o" help:"of show: table or json"`
}

// Command makes the command for the processes of this program.
func Command(known Prototypes) func(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	return func(_ context.Context, args []string, stdout, _ io.Writer) error {
		return run(known, args, os.Environ(), stdout)
	}
}

func run(known Prototypes, args, environ []string, stdout io.Writer) error {
	names := strings.Join(slices.Sorted(maps.Keys(known)), " or ")
	if len(args) == 0 || args[0] == "-h" || args[0] == "--help" {
		return &ops.HelpRequested{Text: usage + "PROCESS is " + names + ".\n"}
	}
	verb := args[0]
	if verb != "check" && verb != "show" {
		return ops.Usagef("config %s: use check or show", verb)
	}
	o := options{Output: "table"}
	rest, err := ops.Flags("config "+verb+" --for PROCESS [-f FILE] [-- FLAGS]", &o, args[1:])
	if err != nil {
		return err
	}
	prototype, ok := known[o.For]
	if !ok {
		return ops.Usagef("--for %q: use %s", o.For, names)
	}
	if o.File != "" {
		rest = append([]string{"--config", o.File}, rest...)
	}
	cfg := prototype()
	origins, extra, err := ops.Load(o.For, cfg, rest, environ)
	if err == nil && len(extra) > 0 {
		err = ops.Usagef("unexpected argument %q", extra[0])
	}
	if verb == "show" && origins != nil { // also what would be refused
		if werr := write(stdout, o.Output, ops.Settings(cfg, origins)); werr != nil {
			return werr
		}
	}
	if err != nil {
		return fmt.Errorf("%s would not start: %w", o.For, err)
	}
	if verb == "check" {
		_, err = fmt.Fprintf(stdout, "the configuration of %s is valid\n", o.For)
	}
	return err
}

func write(w io.Writer, format string, settings []ops.Setting) error {
	switch format {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(settings)
	case "table":
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(t, "KEY\tVALUE\tFROM") // Flush reports
		for _, s := range settings {
			_, _ = fmt.Fprintf(t, "%s\t%s\t%s\n", s.Key, s.Value, s.Origin)
		}
		return t.Flush()
	}
	return ops.Usagef("--output %q: use table or json", format)
}

// Package fleet is the command that makes, checks and shows what a fleet of
// clusters runs.
package fleet

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/barrage-im/barrage/fleet/flux"
	"github.com/barrage-im/barrage/fleet/render"
	"github.com/barrage-im/barrage/fleet/spec"
	"github.com/barrage-im/barrage/protocol/ops"
)

const usage = `Usage: barrage fleet COMMAND [flags]

  init      a description to begin with:           barrage fleet init --name live > fleet/fleet.yaml
  validate  check a description:                   barrage fleet validate fleet/fleet.yaml
  render    write the repository that Flux reads:  barrage fleet render fleet/fleet.yaml --out .
  diff      show what render would change:         barrage fleet diff fleet/fleet.yaml --out .
  status    what runs in every cluster:            barrage fleet status fleet/fleet.yaml

A description is one YAML file. Everything below clusters/ is made from it.
"barrage fleet COMMAND --help" tells more.
`

// Command is "barrage fleet".
func Command(ctx context.Context, args []string, stdout, _ io.Writer) error {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		_, err := io.WriteString(stdout, usage)
		return err
	}
	commands := map[string]func(ctx context.Context, args []string, stdout io.Writer) error{
		"init": initialise, "validate": validate, "render": write, "diff": diff, "status": status,
	}
	run, is := commands[args[0]]
	if !is {
		names := make([]string, 0, len(commands))
		for name := range commands {
			names = append(names, name)
		}
		hint := ""
		if near := ops.Nearest(args[0], names); near != "" {
			hint = fmt.Sprintf("; did you mean %s?", near)
		}
		return ops.Usagef("unknown command %q%s; try: barrage fleet help", args[0], hint)
	}
	return run(ctx, args[1:], stdout)
}

// read reads the description that is named as the one argument.
func read(args []string, command string) (*spec.Fleet, error) {
	if len(args) != 1 {
		return nil, ops.Usagef("name the description: barrage fleet %s fleet/fleet.yaml", command)
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return nil, ops.Usagef("read the description: %w; barrage fleet init writes one to begin with", err)
	}
	f, err := spec.Parse(args[0], text)
	if err != nil {
		return nil, &ops.UsageError{Err: err}
	}
	return f, nil
}

func validate(_ context.Context, args []string, stdout io.Writer) error {
	rest, err := ops.Flags("fleet validate FILE", &struct{}{}, args)
	if err != nil {
		return err
	}
	f, err := read(rest, "validate")
	if err != nil {
		return err
	}
	clusters, edges := 0, 0
	for _, r := range f.Regions {
		clusters += len(r.Clusters)
		for _, c := range r.Clusters {
			edges += c.Max
		}
	}
	voters := 0
	for _, n := range f.Nodes() {
		if n.Votes {
			voters++
		}
	}
	_, err = fmt.Fprintf(stdout, "fleet %s is in order: %d regions, %d clusters, %d core nodes (%d vote), up to %d edges, %d waves\n",
		f.Name, len(f.Regions), clusters, len(f.Nodes()), voters, edges, len(f.Waves))
	return err
}

// target is where the repository is.
type target struct {
	Out   string `yaml:"out" help:"the repository's directory"`
	Prune bool   `yaml:"prune" help:"remove files below clusters/ that are not rendered any more"`
}

// files renders a description, Flux's own components included.
func files(f *spec.Fleet) (render.Files, error) {
	components, err := flux.Components(flux.Options{Registry: f.Flux.Registry, Pull: f.Flux.Pull, Images: f.Flux.Images})
	if err != nil {
		return nil, err
	}
	return render.Render(f, components)
}

func write(_ context.Context, args []string, stdout io.Writer) error {
	o := target{Out: "."}
	rest, err := ops.Flags("fleet render FILE [--out DIR] [--prune]", &o, args)
	if err != nil {
		return err
	}
	f, err := read(rest, "render")
	if err != nil {
		return err
	}
	made, err := files(f)
	if err != nil {
		return err
	}
	c, err := compare(o.Out, made)
	if err != nil {
		return err
	}
	if len(c.stale) > 0 && !o.Prune {
		return fmt.Errorf("%d files below %s are not of this description, such as %s: nothing is written; give --prune to remove them, or move what is yours out of clusters", len(c.stale), o.Out, c.stale[0])
	}
	if err := c.write(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%d files, %d new, %d changed, %d removed\n", len(made), len(c.added), len(c.changed), len(c.stale))
	return err
}

func diff(_ context.Context, args []string, stdout io.Writer) error {
	o := target{Out: "."}
	rest, err := ops.Flags("fleet diff FILE [--out DIR]", &o, args)
	if err != nil {
		return err
	}
	f, err := read(rest, "diff")
	if err != nil {
		return err
	}
	made, err := files(f)
	if err != nil {
		return err
	}
	c, err := compare(o.Out, made)
	if err != nil {
		return err
	}
	return c.show(stdout)
}

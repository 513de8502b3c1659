package fleet

import (
	"context"
	_ "embed"
	"io"
	"strings"

	"github.com/barrage-im/barrage/protocol/ops"
)

// beginning is a description with everything that has to be said, and words on it.
//
//go:embed beginning.yaml
var beginning string

func initialise(_ context.Context, args []string, stdout io.Writer) error {
	o := struct {
		Name string `yaml:"name" help:"of the fleet, as in barrage cert init --cluster"`
	}{"live"}
	rest, err := ops.Flags("fleet init [--name NAME]", &o, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return ops.Usagef("unexpected argument %q; the description goes to standard output: barrage fleet init > fleet/fleet.yaml", rest[0])
	}
	_, err = io.WriteString(stdout, strings.Replace(beginning, "name: live", "name: "+o.Name, 1))
	return err
}

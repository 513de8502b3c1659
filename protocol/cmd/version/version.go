// Package version is the command "barrage version".
package version

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"

	"github.com/barrage-im/barrage/protocol/ops"
)

type options struct {
	Output string `yaml:"output" short:"o" help:"text or json"`
}

// Run prints which build this is.
func Run(_ context.Context, args []string, stdout, _ io.Writer) error {
	o := options{Output: "text"}
	rest, err := ops.Flags("version [flags]", &o, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return ops.Usagef("unexpected argument %q; try: barrage version --help", rest[0])
	}
	b := ops.Version()
	platform := runtime.GOOS + "/" + runtime.GOARCH
	switch o.Output {
	case "json":
		return json.NewEncoder(stdout).Encode(map[string]string{
			"version": b.Version, "revision": b.Revision, "time": b.Time, "go": b.Go, "platform": platform,
		})
	case "text":
	default:
		return ops.Usagef("--output %q: use text or json", o.Output)
	}
	line := "barrage " + b.Version
	if b.Revision != "" {
		line += fmt.Sprintf(" (%s, %s)", b.Revision, b.Time)
	}
	_, err = fmt.Fprintf(stdout, "%s %s %s\n", line, b.Go, platform)
	return err
}

// Package cert is the command "barrage cert": it makes the authority of a
// cluster and the certificates by which its processes know each other.
package cert

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/barrage-im/barrage/protocol/ops"
	"github.com/barrage-im/barrage/protocol/pki"
)

const usage = `Usage: barrage cert COMMAND [flags]

  init   make a cluster's authority:    barrage cert init --dir pki --cluster NAME
  issue  make a process's certificate:  barrage cert issue --dir pki --role core --name c1 --out c1

An authority's ca.key can make any identity: keep it away from the processes.
`

const defaultTTL = 365 * 24 * time.Hour

// Run runs one of the subcommands.
func Run(_ context.Context, args []string, stdout, _ io.Writer) error {
	if len(args) == 0 || args[0] == "-h" || args[0] == "--help" {
		return &ops.HelpRequested{Text: usage}
	}
	switch args[0] {
	case "init":
		return initialise(args[1:], stdout)
	case "issue":
		return issue(args[1:], stdout)
	}
	return ops.Usagef("cert %s: use init or issue", args[0])
}

func initialise(args []string, stdout io.Writer) error {
	o := struct {
		Dir     string `yaml:"dir" help:"where ca.crt and ca.key are written"`
		Cluster string `yaml:"cluster" help:"name of the cluster; part of every identity"`
	}{Dir: "pki", Cluster: "default"}
	if err := noArguments(ops.Flags("cert init [--dir pki] [--cluster NAME]", &o, args)); err != nil {
		return err
	}
	// A new authority would lock out every process of the old one.
	switch _, err := os.Stat(filepath.Join(o.Dir, pki.FileCAKey)); {
	case err == nil:
		return fmt.Errorf("%s holds an authority already; choose another --dir", o.Dir)
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	ca, err := pki.NewCA(o.Cluster, time.Now())
	if err != nil {
		return &ops.UsageError{Err: err}
	}
	if err := ca.Write(o.Dir); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "authority of cluster %s written to %s\nnext: barrage cert issue --dir %s --role core --name c1 --out c1\n",
		ca.Cluster(), o.Dir, o.Dir)
	return err
}

func issue(args []string, stdout io.Writer) error {
	o := struct {
		Dir  string        `yaml:"dir" help:"the authority's directory"`
		Role string        `yaml:"role" help:"core, edge, operator or hook"`
		Name string        `yaml:"name" help:"name of the process, or of the person"`
		Host []string      `yaml:"host" help:"host names or addresses to put in, for tools that look at them"`
		TTL  time.Duration `yaml:"ttl" help:"how long it is valid"`
		Out  string        `yaml:"out" help:"directory to write ca.crt, tls.crt and tls.key to (default: the name)"`
	}{Dir: "pki", TTL: defaultTTL}
	if err := noArguments(ops.Flags("cert issue [--dir pki] --role ROLE --name NAME [flags]", &o, args)); err != nil {
		return err
	}
	switch {
	case o.TTL == 0:
		return ops.Usagef("--ttl must be more than 0")
	case o.Role == "":
		return ops.Usagef("--role: say which, core, edge, operator or hook")
	case o.Name == "":
		return ops.Usagef("--name: name the process as its --node or --name does, or the person")
	}
	ca, err := pki.LoadCA(o.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w; make one with: barrage cert init --dir %s", err, o.Dir)
	}
	if err != nil {
		return err
	}
	certificate, err := ca.Issue(pki.Role(o.Role), o.Name, o.Host, o.TTL)
	if err != nil {
		return &ops.UsageError{Err: err}
	}
	if o.Out == "" {
		o.Out = o.Name
	}
	if err := certificate.Write(o.Out); err != nil {
		return err
	}
	id := pki.Identity{Cluster: ca.Cluster(), Role: pki.Role(o.Role), Name: o.Name}
	_, err = fmt.Fprintf(stdout, "%s written to %s, valid until %s\n", id, o.Out, time.Now().Add(o.TTL).UTC().Format(time.DateTime))
	return err
}

func noArguments(rest []string, err error) error {
	if err == nil && len(rest) > 0 {
		return ops.Usagef("unexpected argument %q", rest[0])
	}
	return err
}

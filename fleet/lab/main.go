// Command lab runs several real Kubernetes clusters, one per region, on one
// Linux machine: real API servers, kubelets, containers, DNS, a registry, a
// Git server, and a network between the regions that can be slow, lossy or
// cut. It needs root. See README.md.
//
// Exit codes: 0 done, 1 went wrong, 2 the command line cannot be used.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/barrage-im/barrage/fleet/lab/gitserver"
	"github.com/barrage-im/barrage/fleet/lab/node"
)

const usage = `usage: lab [--state DIR] [--source DIR] COMMAND

  build                              make the binaries and images
  up [--regions eu,us,ap] [--nodes 2]
                                     start what does not run of a lab
  down                               stop it and leave nothing behind
  status [--json]                    what runs, what is ready, how the links are
  kubectl REGION ARGS...             kubectl, as the region's administrator
  kubeconfig REGION                  print the path of its kubeconfig
  exec PLACE COMMAND ARGS...         run a command in a region's network, a
                                     node's, or outside of all (wan)
  cut REGION | restore REGION        part a region from everything, join it again
  power-off REGION [NODE]            cut the power of a node, or of a whole region
  power-on REGION [NODE]
  link A B [--delay 80ms] [--jitter 5ms] [--loss 1%] [--rate 10mbit] [--one-way]
                                     what a link does in each direction
  heal                               every link as good as new, no region cut
  push LAYOUT NAME:TAG               an image, from an OCI layout to the registry
  repository NAME                    make a Git repository, print its URL
`

// errUsage marks mistakes in the command line.
var errUsage = errors.New("usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	switch {
	case err == nil:
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "lab: %v\n\n%s", err, usage)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if handled, err := internal(ctx, args, stderr); handled {
		return err
	}
	flags := newFlags("lab", stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage) }
	state := flags.String("state", "", "folder of everything the lab keeps; default bin/lab of the project")
	source := flags.String("source", "", "folder of the lab's sources; default fleet/lab of the project")
	if err := flags.Parse(args); err != nil {
		return usageError(err)
	}
	if flags.NArg() == 0 {
		return fmt.Errorf("%w: which command?", errUsage)
	}
	lab, err := locate(*state, *source)
	if err != nil {
		return err
	}
	lab.log = stderr
	command, rest := flags.Arg(0), flags.Args()[1:]
	for _, c := range commands {
		if c.name == command {
			if len(rest) < c.least {
				return fmt.Errorf("%w: %s wants %s", errUsage, command, c.args)
			}
			return c.run(ctx, lab, rest, streams{stdin, stdout, stderr})
		}
	}
	return fmt.Errorf("%w: unknown command %q", errUsage, command)
}

// internal runs the processes that the lab starts from its own binary.
func internal(ctx context.Context, args []string, log io.Writer) (bool, error) {
	if len(args) != 2 {
		return false, nil
	}
	switch args[0] {
	case node.InitCommand:
		return true, node.Init(args[1], log)
	case gitserver.Command:
		return true, gitserver.Serve(ctx, args[1])
	case wanCommand:
		return true, serveWAN(ctx, args[1])
	}
	return false, nil
}

type streams struct {
	in       io.Reader
	out, err io.Writer
}

type command struct {
	name  string
	least int    // arguments
	args  string // and what they are
	run   func(ctx context.Context, lab *Lab, args []string, s streams) error
}

var commands = []command{
	{"build", 0, "", func(ctx context.Context, lab *Lab, _ []string, _ streams) error { return lab.Build(ctx) }},
	{"up", 0, "", up},
	{"down", 0, "", func(ctx context.Context, lab *Lab, _ []string, _ streams) error { return lab.Down(ctx) }},
	{"status", 0, "", status},
	{"kubectl", 2, "REGION ARGS...", func(ctx context.Context, lab *Lab, args []string, s streams) error {
		plane, err := lab.plane(args[0])
		if err != nil {
			return err
		}
		return plane.Terminal(ctx, s.in, s.out, s.err, args[1:]...)
	}},
	{"kubeconfig", 1, "REGION", func(_ context.Context, lab *Lab, args []string, s streams) error {
		plane, err := lab.plane(args[0])
		if err == nil {
			fmt.Fprintln(s.out, plane.Kubeconfig()) //nolint:errcheck // standard output
		}
		return err
	}},
	{"exec", 2, "PLACE COMMAND ARGS...", func(ctx context.Context, lab *Lab, args []string, s streams) error {
		return lab.Exec(ctx, args[0], s, args[1:]...)
	}},
	{"cut", 1, "REGION", func(ctx context.Context, lab *Lab, args []string, _ streams) error {
		return lab.Cut(ctx, args[0], true)
	}},
	{"restore", 1, "REGION", func(ctx context.Context, lab *Lab, args []string, _ streams) error {
		return lab.Cut(ctx, args[0], false)
	}},
	{"power-off", 1, "REGION [NODE]", func(ctx context.Context, lab *Lab, args []string, _ streams) error {
		return lab.Power(ctx, args[0], strings.Join(args[1:], " "), false)
	}},
	{"power-on", 1, "REGION [NODE]", func(ctx context.Context, lab *Lab, args []string, _ streams) error {
		return lab.Power(ctx, args[0], strings.Join(args[1:], " "), true)
	}},
	{"link", 2, "A B and what it does", link},
	{"heal", 0, "", func(ctx context.Context, lab *Lab, _ []string, _ streams) error { return lab.Heal(ctx) }},
	{"push", 2, "LAYOUT NAME:TAG", func(ctx context.Context, lab *Lab, args []string, s streams) error {
		digest, err := lab.Push(ctx, args[0], args[1])
		if err == nil {
			fmt.Fprintln(s.out, digest) //nolint:errcheck // standard output
		}
		return err
	}},
	{"repository", 1, "NAME", func(ctx context.Context, lab *Lab, args []string, s streams) error {
		url, err := gitserver.Create(ctx, lab.git(), args[0])
		if err == nil {
			fmt.Fprintln(s.out, url) //nolint:errcheck // standard output
		}
		return err
	}},
}

func up(ctx context.Context, lab *Lab, args []string, s streams) error {
	flags := newFlags("up", s.err)
	regions := flags.String("regions", "", "names, with commas between them; default eu,us,ap, or those of the lab that is there")
	nodes := flags.Int("nodes", 2, "nodes of each region")
	if err := flags.Parse(args); err != nil {
		return usageError(err)
	}
	var names []string
	if *regions != "" {
		names = strings.Split(*regions, ",")
	}
	ctx, cancel := context.WithTimeout(ctx, upLimit)
	defer cancel()
	return lab.Up(ctx, names, *nodes)
}

func link(ctx context.Context, lab *Lab, args []string, s streams) error {
	flags := newFlags("link", s.err)
	delay := flags.Duration("delay", 0, "of each packet, one way")
	jitter := flags.Duration("jitter", 0, "added to the delay, from nothing to this")
	loss := flags.String("loss", "0", "share of packets: 1% or 0.01")
	rate := flags.String("rate", "", "bandwidth: 10mbit, 500kbit; default unlimited")
	oneWay := flags.Bool("one-way", false, "only from A to B")
	if err := flags.Parse(args[2:]); err != nil {
		return usageError(err)
	}
	rule, err := parseRule(*delay, *jitter, *loss, *rate)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	return lab.Link(ctx, args[0], args[1], rule, *oneWay)
}

func newFlags(name string, stderr io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	return flags
}

// usageError tells a wrong flag, which the flag set has reported, from others.
func usageError(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	return fmt.Errorf("%w: %w", errUsage, err)
}

// locate finds the lab's folders: given, or those of the project around the
// working directory.
func locate(state, source string) (*Lab, error) {
	if state == "" || source == "" {
		root, err := os.Getwd()
		if err != nil {
			return nil, err
		}
		for !isFile(filepath.Join(root, "fleet", "lab", "go.mod")) {
			if root == filepath.Dir(root) {
				return nil, fmt.Errorf("%w: not inside the project: give --state and --source", errUsage)
			}
			root = filepath.Dir(root)
		}
		if state == "" {
			state = filepath.Join(root, "bin", "lab")
		}
		if source == "" {
			source = filepath.Join(root, "fleet", "lab")
		}
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	state, err = filepath.Abs(state)
	return &Lab{state: state, source: source, self: self, log: io.Discard}, err
}

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

// upLimit is for a start with everything built, on a slow and busy machine.
const upLimit = 10 * time.Minute

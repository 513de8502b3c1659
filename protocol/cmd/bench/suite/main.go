// Command suite measures Barrage and its peers, in one run on one machine: three
// core processes and three edges with mutual TLS and signed tokens, data on
// disk, and the peers of the module beside it, in turns (Barrage, peer,
// Barrage). It prints the tables of docs/performance.md.
//
//	go run ./protocol/cmd/bench/suite --dir /var/tmp
//
// A row whose account does not close ends it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

type options struct {
	dir     string
	barrage string
	peers   string
	only    string
	seconds int
	members int
	idle    int
	rounds  int
	rooms   int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "suite:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	var o options
	flags := flag.NewFlagSet("suite", flag.ContinueOnError)
	flags.StringVar(&o.dir, "dir", os.TempDir(), "where to put the servers' data: the disk to measure")
	flags.StringVar(&o.barrage, "barrage", "", "barrage binary (default: built from this tree)")
	flags.StringVar(&o.peers, "peers", "", "peers binary (default: built from this tree; none leaves the peers out)")
	flags.StringVar(&o.only, "only", "publish,spread,follower,fanout,idle,storm", "rows to measure")
	flags.IntVar(&o.seconds, "seconds", 10, "length of a measurement")
	flags.IntVar(&o.members, "members", 1000, "members of the fan-out and the storm")
	flags.IntVar(&o.idle, "idle", 5000, "connections of the idle row")
	flags.IntVar(&o.rounds, "rounds", 2, "measurements of Barrage in a row; a peer's stand between them")
	flags.IntVar(&o.rooms, "rooms", 16, "rooms of the spread row, a publisher each")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := filepath.Abs(o.dir) // the peers are built in a folder of their own
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(dir, "barrage-suite-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if o.barrage == "" {
		o.barrage = filepath.Join(work, "barrage")
		if err := build(ctx, ".", o.barrage, "github.com/barrage-im/barrage"); err != nil {
			return err
		}
	}
	if o.peers == "" {
		o.peers = filepath.Join(work, "peers")
		if err := build(ctx, "protocol/cmd/bench/peers", o.peers, "."); err != nil {
			return err
		}
	}
	s := &suite{options: o, work: work, stdout: stdout, stderr: stderr}
	s.heading()
	for _, row := range rows {
		if !strings.Contains(","+o.only+",", ","+row.name+",") {
			continue
		}
		s.processors = row.processors
		// Each row has servers of its own: what one leaves behind does not
		// weigh on the next.
		before := processorTimes()
		if err := s.withCluster(ctx, row.measure); err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
		if share := processorTimes().stolenSince(before); share >= 0.005 {
			fmt.Fprintf(s.stdout, "\nOther guests of the machine took %.0f %% of the processor time meanwhile.\n", 100*share)
		}
	}
	return nil
}

func build(ctx context.Context, dir, out, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", out, pkg)
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s (run it from the top of the tree): %w\n%s", pkg, err, text)
	}
	return nil
}

func (s *suite) heading() {
	fmt.Fprintf(s.stdout, "Measured %s on %s.\n", time.Now().UTC().Format("2006-01-02 15:04 UTC"), machine())
	fmt.Fprintf(s.stdout, "Command: `go run ./protocol/cmd/bench/suite %s`\n", strings.Join(os.Args[1:], " "))
}

package dev

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

const (
	cluster = "dev"
	// certificateLife is longer than anybody tries something for. Certificates
	// are made anew at every start.
	certificateLife = 30 * 24 * time.Hour
	// readyTimeout bounds a start, elections included.
	readyTimeout = 60 * time.Second
)

// Command is "barrage dev".
func Command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	cfg := Default()
	_, rest, err := ops.Load("dev", &cfg, args, os.Environ())
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return ops.Usagef("unexpected argument %q; try: barrage dev --help", rest[0])
	}
	return Run(ctx, cfg, stdout, stderr)
}

// Run runs everything until ctx ends. What to try goes to stdout, the log to
// stderr.
func Run(ctx context.Context, cfg Config, stdout, stderr io.Writer) (err error) {
	if err := cfg.Validate(); err != nil {
		return &ops.UsageError{Err: err}
	}
	temporary := cfg.Data == ""
	if temporary {
		if cfg.Data, err = os.MkdirTemp("", "barrage-dev-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(cfg.Data)) }()
	}
	ca, err := authority(filepath.Join(cfg.Data, "ca"))
	if err != nil {
		return fmt.Errorf("--data: %w", err)
	}
	if len(cfg.Regions) > 1 {
		fmt.Fprintf(stdout, "starting %d regions …\n", len(cfg.Regions))
	}
	f, err := start(ctx, cfg, ca, ops.NewLogger(stderr, cfg.Log))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	greet(stdout, cfg, f, temporary)
	select {
	case err := <-f.failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// authority loads the certificate authority of a data directory, or makes it.
func authority(dir string) (*pki.CA, error) {
	ca, err := pki.LoadCA(dir)
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return ca, err
	}
	if ca, err = pki.NewCA(cluster, time.Now()); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return ca, ca.Write(dir)
}

// greet says what to try next.
func greet(w io.Writer, cfg Config, f *federation, temporary bool) {
	first := f.sites[0]
	fmt.Fprint(w, "\n  barrage ")
	if v := ops.Version().Version; v != ops.Unreleased {
		fmt.Fprint(w, v, " ")
	}
	fmt.Fprint(w, "is running")
	if len(f.sites) > 1 {
		fmt.Fprintf(w, ": %d regions, %s apart", len(f.sites), cfg.Delay)
	}
	fmt.Fprint(w, "\n\n")
	for i, s := range f.sites {
		label := "open"
		if i > 0 {
			label = ""
		}
		fmt.Fprintf(w, "  %-9s http://%s/", label, s.http)
		if len(f.sites) > 1 {
			fmt.Fprintf(w, "  %s", s.region)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "  %-9s barrage chat --server tcp://%s lobby\n", "talk", first.tcp)
	fmt.Fprintf(w, "  %-9s npx wscat -s barrage.v1.json -c ws://%s/v1/ws\n", "by hand", first.http)
	fmt.Fprintf(w, "  %-9s {\"id\":1,\"connect\":{}}  {\"id\":2,\"join\":{\"room\":\"lobby\"}}\n", "")
	fmt.Fprintf(w, "  %-9s barrage bench fanout --server ws://%s/v1/ws\n", "load it", first.http)
	fmt.Fprintf(w, "  %-9s export BARRAGE_CORE_SERVER=%s BARRAGE_OPERATOR_TLS=%s; barrage room list\n", "run it", first.address, f.operatorDir())
	kept := cfg.Data + " (use the same --data to come back to it)"
	if temporary {
		kept = "kept until you stop this; with --data DIR for longer"
	}
	fmt.Fprintf(w, "  %-9s %s\n", "messages", kept)
	fmt.Fprint(w, "\n  Anybody on this machine may come in. Ctrl-C stops it.\n\n")
}

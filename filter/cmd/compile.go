package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/filter/bundle"
	"github.com/barrage-im/barrage/protocol/ops"
)

type compileOptions struct {
	Key     string  `yaml:"key" help:"file with the private key to sign with"`
	Name    string  `yaml:"name" help:"of the set"`
	Version uint64  `yaml:"version" help:"more than that of the bundle before; 0: the time, in seconds since 1970"`
	Out     string  `yaml:"out" short:"o" help:"file for the bundle"`
	Mode    string  `yaml:"mode" help:"suggested to whoever rolls it out: enforce, or report (verdicts are only reported)"`
	MaxHits float64 `yaml:"max-hits" help:"percent of ordinary messages that may be hit"`
}

// Validate refuses what no bundle can be.
func (o compileOptions) Validate() error {
	if o.Mode != bundle.Enforce && o.Mode != bundle.Report {
		return fmt.Errorf("mode %q: use %s or %s", o.Mode, bundle.Enforce, bundle.Report)
	}
	return filter.CheckName(o.Name)
}

func compile(_ context.Context, s streams, args []string) error {
	o := compileOptions{Key: filePrivate, Name: "default", Out: "rules.bundle", Mode: bundle.Enforce, MaxHits: defaultMaxHits}
	const usage = "filter compile [flags] LIST..."
	paths, err := ops.Flags(usage, &o, args)
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		return ops.Usagef("usage: barrage %s", usage)
	}
	text, err := readFile(o.Key, maxKeyFile)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w; make a pair of keys with: barrage filter key --out DIR", err)
	}
	if err != nil {
		return err
	}
	signing, err := bundle.ParsePrivateKey(text)
	if err != nil {
		return fmt.Errorf("key %s: %w", o.Key, err)
	}
	all, err := load(paths, "")
	if err != nil {
		return err
	}
	if all.bundle != nil {
		return ops.Usagef("%s is a bundle already: give the lists", paths[0])
	}
	r := all.compileSet()
	if r != nil {
		all.tooMany(r, o.MaxHits)
	}
	if err := all.writeProblems(s.err); err != nil {
		if r != nil {
			err = errors.Join(r.write(s.err, all), err)
		}
		return err
	}
	now := time.Now()
	if o.Version == 0 {
		o.Version = uint64(now.Unix())
	}
	m := bundle.Manifest{Name: o.Name, Version: o.Version, CreatedMS: now.UnixMilli(), Mode: o.Mode}
	data, err := bundle.Make(m, all.lists, signing)
	if err != nil {
		return err
	}
	if err := replace(o.Out, data); err != nil {
		return fmt.Errorf("write %s: %w", o.Out, err)
	}
	if err := r.write(s.out, all); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "%s: set %s, version %d, %s\n", o.Out, o.Name, o.Version, size(len(data)))
	return err
}

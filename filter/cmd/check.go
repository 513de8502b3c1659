package cmd

import (
	"context"
	"fmt"

	"github.com/barrage-im/barrage/filter/bundle"
	"github.com/barrage-im/barrage/protocol/ops"
)

// defaultMaxHits is the share of ordinary messages, in percent, above which a
// set is taken for a mistake.
const defaultMaxHits = 5

func check(_ context.Context, s streams, args []string) error {
	o := struct {
		Pub     string  `yaml:"pub" help:"file with the public keys, to check a bundle's signature"`
		MaxHits float64 `yaml:"max-hits" help:"percent of ordinary messages that may be hit"`
	}{MaxHits: defaultMaxHits}
	const usage = "filter check [flags] LIST...|BUNDLE"
	paths, err := ops.Flags(usage, &o, args)
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		return ops.Usagef("usage: barrage %s", usage)
	}
	all, err := load(paths, o.Pub)
	if err != nil {
		return err
	}
	switch b := all.bundle; {
	case b == nil:
	case b.KeyID == "":
		all.fatal++
		all.problems = append(all.problems, fmt.Sprintf("%s: %v: edges refuse it", paths[0], bundle.ErrUnsigned))
	case o.Pub == "":
		all.problems = append(all.problems, paths[0]+": warning: the signature is not checked: give --pub")
	}
	r := all.compileSet()
	if r != nil {
		all.tooMany(r, o.MaxHits)
	}
	problems := all.writeProblems(s.out)
	if r != nil {
		if err := r.write(s.out, all); err != nil {
			return err
		}
	}
	return problems
}

package cmd

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/barrage-im/barrage/filter/bundle"
	"github.com/barrage-im/barrage/protocol/ops"
)

// Files of a key pair.
const (
	filePrivate = "filter.key"
	filePublic  = "filter.pub"
)

func key(_ context.Context, s streams, args []string) error {
	o := struct {
		Out string `yaml:"out" help:"directory for filter.key, which signs and stays secret, and filter.pub, for the edges"`
	}{Out: "."}
	rest, err := ops.Flags("filter key [--out DIR]", &o, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return ops.Usagef("unexpected argument %q", rest[0])
	}
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	secret, err := bundle.MarshalPrivateKey(private)
	if err != nil {
		return err
	}
	open, err := bundle.MarshalPublicKey(public)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.Out, 0o700); err != nil {
		return err
	}
	keyPath, pubPath := filepath.Join(o.Out, filePrivate), filepath.Join(o.Out, filePublic)
	// Bundles signed with a key that is overwritten could never be followed.
	if err := writeNew(keyPath, secret, 0o600); err != nil {
		return err
	}
	if err := writeNew(pubPath, open, 0o644); err != nil {
		return errors.Join(err, os.Remove(keyPath)) // half a pair would be in the way
	}
	_, err = fmt.Fprintf(s.out, "key id:      %s\nprivate key: %s\npublic key:  %s\nnext: barrage filter compile words.txt --key %s -o rules.bundle\n",
		bundle.KeyID(public), keyPath, pubPath, keyPath)
	return err
}

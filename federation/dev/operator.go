package dev

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/barrage-im/barrage/filter/bundle"
	"github.com/barrage-im/barrage/protocol/pki"
)

// The operator's directory has what commands need: the certificate for --tls,
// and the key pair that signs rules.
const (
	operatorName = "dev"
	filePrivate  = "filter.key"
	filePublic   = "filter.pub"
)

func (f *federation) operatorDir() string { return filepath.Join(f.cfg.Data, "operator") }

// makeOperator writes the operator's directory. The certificate is new at every
// start, the key stays: rules that it signed are in force.
func (f *federation) makeOperator() error {
	certificate, err := f.ca.Issue(pki.Operator, operatorName, []string{"127.0.0.1"}, certificateLife)
	if err != nil {
		return err
	}
	dir := f.operatorDir()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := certificate.Write(dir); err != nil {
		return err
	}
	key, err := signingKey(filepath.Join(dir, filePrivate))
	if err != nil {
		return err
	}
	public, err := bundle.MarshalPublicKey(key.Public().(ed25519.PublicKey))
	if err != nil {
		return err
	}
	return os.WriteFile(f.publicKey(), public, 0o600)
}

// publicKey is the file with the key that the edges trust.
func (f *federation) publicKey() string { return filepath.Join(f.operatorDir(), filePublic) }

// signingKey reads the key that signs rules, or makes it.
func signingKey(path string) (ed25519.PrivateKey, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		key, err := bundle.ParsePrivateKey(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	if text, err = bundle.MarshalPrivateKey(key); err != nil {
		return nil, err
	}
	return key, os.WriteFile(path, text, 0o600)
}

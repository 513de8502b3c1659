package screen

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/barrage-im/barrage/filter/bundle"
)

// Limits of the configuration.
const (
	maxDeadline = 5 * time.Second // a sender waits for it
	maxInFlight = 4096            // calls, each with its message
	maxKeys     = 64              // far more than anybody rotates through
	maxKeyFile  = 64 << 10        // bytes
)

// Config says whose rules are taken and whom else to ask.
type Config struct {
	Dir  string     `yaml:"dir" help:"directory for copies of the rules in force, used when the edge starts without core; empty: none are kept"`
	Keys []string   `yaml:"keys" help:"PEM files with the public keys of those who may sign rules; none: rules are refused"`
	Hook HookConfig `yaml:"hook"`
}

// HookConfig names the external check. Which rooms ask it is their policy's.
type HookConfig struct {
	Address  string        `yaml:"address" help:"host:port of a barrage.hook.v1 service; empty: there is none"`
	TLS      string        `yaml:"tls" help:"directory with ca.crt, tls.crt and tls.key to reach it with, its own certificate being of role hook; empty: plain text, on loopback only"`
	Deadline time.Duration `yaml:"deadline" help:"a message is not kept waiting for its answer for longer"`
	InFlight int           `yaml:"in_flight" help:"messages that are with it at the same time; more count as not answered"`
}

// Default is nobody to trust and nobody to ask.
func Default() Config {
	return Config{Hook: HookConfig{Deadline: 300 * time.Millisecond, InFlight: 256}}
}

// Validate refuses what cannot work, whatever the network looks like.
func (c Config) Validate() error {
	var errs []error
	if len(c.Keys) > maxKeys {
		errs = append(errs, fmt.Errorf("keys: at most %d files", maxKeys))
	}
	return errors.Join(append(errs, c.Hook.validate()...)...)
}

func (c HookConfig) validate() (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Address == "" {
		if c.TLS != "" {
			bad("hook.tls: without hook.address there is nobody to reach")
		}
		return errs
	}
	if c.Deadline < time.Millisecond || c.Deadline > maxDeadline {
		bad("hook.deadline %s: use 1ms to %s", c.Deadline, maxDeadline)
	}
	if c.InFlight < 1 || c.InFlight > maxInFlight {
		bad("hook.in_flight %d: use 1 to %d", c.InFlight, maxInFlight)
	}
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil {
		bad("hook.address %q: want host:port", c.Address)
		return errs
	}
	ip := net.ParseIP(host)
	if c.TLS == "" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		bad("hook.address %s is not on loopback, and messages would go there in plain text: set hook.tls", c.Address)
	}
	return errs
}

// readKeys reads the keys of those who may sign rules.
func readKeys(paths []string) (keys []ed25519.PublicKey, err error) {
	for _, path := range paths {
		st, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("filter.keys: %w", err)
		}
		if st.Size() > maxKeyFile {
			return nil, fmt.Errorf("filter.keys: %s has %d bytes; a file of keys has at most %d", path, st.Size(), maxKeyFile)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("filter.keys: %w", err)
		}
		more, err := bundle.ParsePublicKeys(text)
		if err != nil {
			return nil, fmt.Errorf("filter.keys: %s: %w", path, err)
		}
		if keys = append(keys, more...); len(keys) > maxKeys {
			return nil, fmt.Errorf("filter.keys: more than %d keys", maxKeys)
		}
	}
	return keys, nil
}

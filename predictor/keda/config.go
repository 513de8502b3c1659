package keda

import (
	"errors"
	"fmt"
	"net"
)

// Config of the listener.
type Config struct {
	Listen   string `yaml:"listen" help:"address of KEDA's external scaler, gRPC; empty: none"`
	Cert     string `yaml:"cert" help:"its certificate file; with key: TLS"`
	Key      string `yaml:"key" help:"its key file"`
	ClientCA string `yaml:"client_ca" help:"certificates that clients must have one of, PEM; empty: any client"`
}

// Validate refuses what cannot work.
func (c Config) Validate() error {
	var errs []error
	if c.Listen != "" {
		if _, _, err := net.SplitHostPort(c.Listen); err != nil {
			errs = append(errs, fmt.Errorf("listen %q: want host:port, such as :6000", c.Listen))
		}
	}
	if (c.Cert == "") != (c.Key == "") {
		errs = append(errs, errors.New("cert and key: give both, or neither"))
	}
	if c.ClientCA != "" && c.Cert == "" {
		errs = append(errs, errors.New("client_ca: clients show certificates over TLS only; give cert and key"))
	}
	return errors.Join(errs...)
}

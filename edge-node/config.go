package edgenode

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/barrage-im/barrage/edge-node/auth"
	"github.com/barrage-im/barrage/edge-node/hub"
	"github.com/barrage-im/barrage/edge-node/screen"
	"github.com/barrage-im/barrage/edge-node/session"
	"github.com/barrage-im/barrage/protocol/ops"
	"github.com/barrage-im/barrage/protocol/transport"
)

// Config of an edge.
type Config struct {
	Name      string   `yaml:"name" help:"name of this edge, as in its certificate, or that and -SOMETHING"`
	Region    string   `yaml:"region" help:"region that this edge stands in"`
	Core      []string `yaml:"core" help:"addresses of core nodes, those of this region first"`
	TLS       string   `yaml:"tls" help:"directory with ca.crt, tls.crt and tls.key of role edge, for core"`
	Advertise []string `yaml:"advertise" help:"URLs under which clients reach this edge (ws://…, wss://…, tcp://…, tcps://…); empty: made from the listeners"`
	Anonymous bool     `yaml:"anonymous" help:"accept anybody without a token, with every permission; only when every listener is on loopback"`

	Lease      time.Duration `yaml:"lease" help:"members leave when core heard nothing of this edge for so long"`
	Hold       time.Duration `yaml:"hold" help:"how long publishes wait for core to come back before they are refused"`
	Drain      time.Duration `yaml:"drain" help:"time over which clients are asked to move when stopping"`
	WriteStall time.Duration `yaml:"write_stall" help:"a connection that takes no bytes for so long is closed"`

	Listen Listen         `yaml:"listen"`
	Auth   auth.Config    `yaml:"auth"`
	Limits session.Config `yaml:"limits"`
	Tails  hub.Config     `yaml:"tails"`
	Filter screen.Config  `yaml:"filter"`
	Ops    ops.Config     `yaml:"ops"`
	Log    ops.LogConfig  `yaml:"log"`
}

// Listen says where clients come in. An empty address is no listener.
type Listen struct {
	HTTP    string   `yaml:"http" help:"address for WebSocket"`
	HTTPS   string   `yaml:"https" help:"address for WebSocket over TLS"`
	TCP     string   `yaml:"tcp" help:"address for raw TCP"`
	TCPS    string   `yaml:"tcps" help:"address for raw TCP over TLS"`
	Cert    string   `yaml:"cert" help:"certificate file of https and tcps"`
	Key     string   `yaml:"key" help:"its key file"`
	Origins []string `yaml:"origins" help:"web pages that may connect: https://example.com, same-host, or * for any; none means same-host"`
	// RequireOrigin keeps programs without a browser out; tokens do that better.
	RequireOrigin bool `yaml:"require_origin" help:"refuse WebSocket requests without an Origin"`
}

// Default is the configuration before flags, environment and file.
func Default() Config {
	name, err := os.Hostname()
	if err != nil {
		name = "edge"
	}
	return Config{
		Name: name, Region: "local", Core: []string{"127.0.0.1:7000"}, TLS: "edge-tls",
		Lease: 15 * time.Second, Hold: time.Second, Drain: 20 * time.Second, WriteStall: 10 * time.Second,
		Listen: Listen{HTTP: "127.0.0.1:8080"},
		Auth:   auth.Default(), Limits: session.Default(), Tails: hub.Default(), Filter: screen.Default(),
		Ops: ops.Config{Listen: "127.0.0.1:8090"}, Log: ops.DefaultLog(),
	}
}

// Limits of the configuration.
const (
	minLease = 3 * time.Second // below, a short outage of core empties every room
	maxLease = 10 * time.Minute
	maxDrain = time.Hour
)

// Validate refuses what cannot work, whatever the network looks like.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Name == "" {
		bad("name: name this edge, as in its certificate")
	}
	if c.Region == "" {
		bad("region: name the region that this edge stands in")
	}
	if len(c.Core) == 0 {
		bad("core: name at least one core node")
	}
	for _, a := range c.Core {
		if _, _, err := net.SplitHostPort(a); err != nil {
			bad("core %q: want host:port", a)
		}
	}
	for _, a := range c.Advertise {
		if u, err := url.Parse(a); err != nil || u.Host == "" {
			bad("advertise %q: want a URL such as wss://edge.example.com", a)
		}
	}
	if c.Lease < minLease || c.Lease > maxLease {
		bad("lease %s: use %s to %s", c.Lease, minLease, maxLease)
	}
	if c.Drain < 0 || c.Drain > maxDrain {
		bad("drain %s: use at most %s", c.Drain, maxDrain)
	}
	errs = append(errs, c.Listen.validate()...)
	if err := c.Filter.Validate(); err != nil {
		bad("filter: %w", err)
	}
	if c.Anonymous {
		for _, a := range c.Listen.addresses() {
			if !loopback(a) {
				bad("anonymous: listener %s is not on loopback; anybody could come in: configure auth instead", a)
			}
		}
	}
	return errors.Join(errs...)
}

func (l Listen) validate() (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(l.addresses()) == 0 {
		bad("listen: there is no listener; set listen.http, for example")
	}
	for _, a := range l.addresses() {
		if _, _, err := net.SplitHostPort(a); err != nil {
			bad("listen %q: want host:port", a)
		}
	}
	if (l.HTTPS != "" || l.TCPS != "") != (l.Cert != "" && l.Key != "") {
		bad("listen: cert and key are what https and tcps need, and only they")
	}
	if err := transport.CheckOrigins(l.Origins); err != nil {
		bad("listen.origins: %w", err)
	}
	return errs
}

func (l Listen) addresses() (list []string) {
	for _, a := range []string{l.HTTP, l.HTTPS, l.TCP, l.TCPS} {
		if a != "" {
			list = append(list, a)
		}
	}
	return list
}

// loopback says whether an address can be reached from this machine only.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

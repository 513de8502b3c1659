package core

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/barrage-im/barrage/core/api"
	"github.com/barrage-im/barrage/protocol/ops"
)

// Config of a core node.
type Config struct {
	Node      string   `yaml:"node" help:"name of this node, as in its certificate"`
	Region    string   `yaml:"region" help:"region that this node stands in"`
	Data      string   `yaml:"data" help:"directory for log and state; one node's, for life"`
	Listen    string   `yaml:"listen" help:"address for edges, other core nodes and operators"`
	Advertise string   `yaml:"advertise" help:"host:port under which the others reach this node; empty: the listen address"`
	Join      []string `yaml:"join" help:"addresses of core nodes of the cluster; not needed once this node is a member"`
	Bootstrap bool     `yaml:"bootstrap" help:"make a new cluster if there is no data and none of join knows one"`

	BootstrapNode string `yaml:"bootstrap_node" help:"bootstrap on the node of this name only, so that all can share a configuration"`

	Learner bool `yaml:"learner" help:"replicate without a vote"`

	Shards  uint32 `yaml:"shards" help:"of a new cluster: number of room shards, for ever"`
	Survive string `yaml:"survive" help:"of a new cluster: goal for the default placement, region or zone"`
	Home    string `yaml:"home" help:"of a new cluster: region where the leaders should stand; empty: anywhere"`

	TLS       string        `yaml:"tls" help:"directory with ca.crt, tls.crt and tls.key of role core"`
	Heartbeat time.Duration `yaml:"heartbeat" help:"after about this much silence a leader is replaced"`
	Drain     time.Duration `yaml:"drain" help:"time to hand leadership over when stopping"`

	Storage Storage       `yaml:"storage"`
	Ops     ops.Config    `yaml:"ops"`
	Log     ops.LogConfig `yaml:"log"`
}

// Storage are the limits of a node's disk.
type Storage struct {
	Cache           ops.Bytes     `yaml:"cache" help:"memory for the state store's blocks"`
	WriteTimeout    time.Duration `yaml:"write_timeout" help:"a write that takes longer ends the process, so that others lead"`
	Ballast         ops.Bytes     `yaml:"ballast" help:"file that is given back when the disk gets full"`
	SnapshotEntries uint64        `yaml:"snapshot_entries" help:"log entries after which the log is truncated"`
}

// Limits of the configuration.
const (
	maxShards    = 256                    // each has a log of its own to sync
	minHeartbeat = 100 * time.Millisecond // below, a busy machine loses its leaders
	maxHeartbeat = time.Minute
)

// Default is the configuration before flags, environment and file.
func Default() Config {
	return Config{
		Region:    "local",
		Data:      "core-data",
		Listen:    "127.0.0.1:7000",
		Shards:    8,
		Survive:   "region",
		TLS:       "core-tls",
		Heartbeat: time.Second,
		Drain:     5 * time.Second,
		Storage:   Storage{Cache: 64 << 20, WriteTimeout: 10 * time.Second, SnapshotEntries: 2048},
		Ops:       ops.Config{Listen: "127.0.0.1:7070"},
		Log:       ops.DefaultLog(),
	}
}

// Validate refuses what cannot work, whatever the network looks like.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch {
	case c.Node == "":
		bad("node: name this node, as in its certificate")
	case api.BaseName(c.Node) != c.Node:
		bad("node %q: a name must not end in a dot and a number; such names are made when a node lost its data", c.Node)
	}
	if c.Region == "" {
		bad("region: name the region that this node stands in")
	}
	if c.Data == "" {
		bad("data: name a directory")
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		bad("listen %q: want host:port", c.Listen)
	}
	for _, a := range append([]string{}, c.Join...) {
		if _, _, err := net.SplitHostPort(a); err != nil {
			bad("join %q: want host:port", a)
		}
	}
	if c.Advertise != "" {
		if host, _, err := net.SplitHostPort(c.Advertise); err != nil || host == "" {
			bad("advertise %q: want host:port, as the others reach it", c.Advertise)
		}
	}
	if c.Shards < 1 || c.Shards > maxShards {
		bad("shards %d: use 1 to %d", c.Shards, maxShards)
	}
	if c.Survive != "region" && c.Survive != "zone" {
		bad("survive %q: use region or zone", c.Survive)
	}
	if c.Heartbeat < minHeartbeat || c.Heartbeat > maxHeartbeat {
		bad("heartbeat %s: use %s to %s", c.Heartbeat, minHeartbeat, maxHeartbeat)
	}
	if (c.Bootstrap || c.BootstrapNode != "" && c.BootstrapNode == c.Node) && c.Learner {
		bad("bootstrap, learner: the first node of a cluster must vote")
	}
	return errors.Join(errs...)
}

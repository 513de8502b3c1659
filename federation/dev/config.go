package dev

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"time"

	"github.com/barrage-im/barrage/protocol/ops"
)

// Config of everything in one process.
type Config struct {
	Data    string        `yaml:"data" help:"directory to keep everything in; empty: a temporary one, removed at the end"`
	HTTP    string        `yaml:"http" help:"address for the page and WebSocket; with regions, the first one's, the others count up from it in tens"`
	TCP     string        `yaml:"tcp" help:"address for raw TCP; with regions, the first one's"`
	Regions []string      `yaml:"regions" help:"regions to simulate, such as eu,us,ap: a core node and an edge in each"`
	Delay   time.Duration `yaml:"delay" help:"one-way delay between two regions; a round trip takes twice as long"`
	Log     ops.LogConfig `yaml:"log"`
}

// Limits of the configuration.
const (
	// maxRegions is what one process can simulate without being its own load.
	maxRegions = 7
	// portStep is between the ports of one region and the next: as for the
	// defaults, HTTP and TCP of a region stand side by side.
	portStep = 10
	// maxDelay is half way around the world and back by satellite.
	maxDelay = 600 * time.Millisecond
)

// Default is one region on well-known ports. 40 ms one way is between Europe
// and the east of North America.
func Default() Config {
	log := ops.DefaultLog()
	log.Level = "error" // what to try should not drown
	return Config{HTTP: "127.0.0.1:8080", TCP: "127.0.0.1:8081", Delay: 40 * time.Millisecond, Log: log}
}

var regionName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)

// Validate refuses what cannot work.
func (c Config) Validate() error {
	var errs []error
	for flag, addr := range map[string]string{"--http": c.HTTP, "--tcp": c.TCP} {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			errs = append(errs, fmt.Errorf("%s %q: want host:port, such as 127.0.0.1:8080", flag, addr))
		} else if !isLoopback(addr) {
			errs = append(errs, fmt.Errorf("%s %s is not a loopback address. barrage dev lets in whoever comes, without a token; "+
				"for other machines run barrage core and barrage edge-node with tokens, "+
				"or bring the port there with ssh -L 8080:127.0.0.1:8080", flag, addr))
		}
	}
	if len(c.Regions) > maxRegions {
		errs = append(errs, fmt.Errorf("--regions: at most %d", maxRegions))
	}
	seen := map[string]bool{}
	for _, r := range c.Regions {
		if !regionName.MatchString(r) || seen[r] {
			errs = append(errs, fmt.Errorf("--regions: %q: want different names of small letters and digits, such as eu,us,ap", r))
		}
		seen[r] = true
	}
	if c.Delay < 0 || c.Delay > maxDelay {
		errs = append(errs, fmt.Errorf("--delay %s: use 0s to %s", c.Delay, maxDelay))
	}
	return errors.Join(errs...)
}

// regions are those to run: the ones asked for, or one.
func (c Config) regions() []string {
	if len(c.Regions) == 0 {
		return []string{"local"}
	}
	return c.Regions
}

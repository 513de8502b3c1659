package demand

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"time"
)

// Config says where demand comes from: Prometheus or the edges.
type Config struct {
	Prometheus string `yaml:"prometheus" help:"URL of a Prometheus, such as http://prometheus:9090; empty: ask the edges"`
	Query      string `yaml:"query" help:"PromQL for the load of this region; it must give one series"`
	Complete   string `yaml:"complete" help:"PromQL that gives 1 or more while every edge is scraped, such as min(up{job=\"edge\"}): below, or when it gives nothing, there is no sample; empty: not looked at"`

	Edges []string `yaml:"edges" help:"metrics pages of all edges, such as http://10.0.0.7:8090/metrics"`
	DNS   string   `yaml:"dns" help:"instead of edges: name:port of the ops listeners of all edges, such as a headless Service"`

	TokenFile  string        `yaml:"token_file" help:"file with a bearer token; read before every request"`
	CAFile     string        `yaml:"ca_file" help:"certificates that the server's is checked by, PEM; empty: the system's"`
	ServerName string        `yaml:"server_name" help:"name in the server's certificate, where it is not the URL's"`
	Timeout    time.Duration `yaml:"timeout" help:"of one request"`
}

// Metric is what edges count their connections in.
const Metric = "barrage_edge_connections"

// Default asks a Prometheus for the connections of all edges, once its URL is
// given.
func Default() Config {
	return Config{Query: "sum(" + Metric + ")", Timeout: 5 * time.Second}
}

// Limits of the configuration.
const (
	minTimeout = 100 * time.Millisecond
	maxTimeout = time.Minute
	maxQuery   = 8 << 10 // bytes
	maxEdges   = 10_000  // of which as many are asked at a time as atOnce says
)

// Validate refuses what cannot work.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	ways := 0
	for _, given := range []bool{c.Prometheus != "", len(c.Edges) > 0, c.DNS != ""} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		bad("give one of prometheus, edges and dns: where demand is read from")
	}
	if c.Prometheus != "" {
		errs = append(errs, c.checkURL("prometheus", c.Prometheus))
		if c.Query == "" || len(c.Query) > maxQuery || len(c.Complete) > maxQuery {
			bad("query: want PromQL for the load, such as %s; %d bytes at most", Default().Query, maxQuery)
		}
	}
	if len(c.Edges) > maxEdges {
		bad("edges: %d of them; at most %d are asked", len(c.Edges), maxEdges)
	}
	seen := map[string]bool{}
	for _, e := range c.Edges {
		if seen[e] {
			bad("edges: %s is there twice; it would be counted twice", e)
		}
		seen[e] = true
		errs = append(errs, c.checkURL("edges", e))
	}
	if c.DNS != "" {
		if host, port, err := net.SplitHostPort(c.DNS); err != nil || host == "" || port == "" {
			bad("dns %q: want name:port, such as edges.barrage.svc:8090", c.DNS)
		} else if c.TokenFile != "" {
			bad("token_file: edges found by dns are asked without TLS, where others could read it; remove it")
		}
	}
	if c.Timeout < minTimeout || c.Timeout > maxTimeout {
		bad("timeout %s: use %s to %s", c.Timeout, minTimeout, maxTimeout)
	}
	return errors.Join(errs...)
}

// checkURL refuses what is no URL, and a token that others could read.
func (c Config) checkURL(key, text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%s: want a URL such as http://host:9090", key) // not the text: it may hold a password
	case u.User != nil:
		return fmt.Errorf("%s: put no password into the URL of %s; use token_file", key, u.Host)
	case c.TokenFile != "" && u.Scheme == "http" && !loopback(u.Hostname()):
		return fmt.Errorf("%s %s: the token of token_file would go unencrypted; use https", key, u.Redacted())
	}
	return nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

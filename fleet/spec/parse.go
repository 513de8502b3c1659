package spec

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/barrage-im/barrage/protocol/ops"
)

// Limits of a description.
const (
	maxRegions  = 64
	maxClusters = 16 // of a region
	maxNodes    = 9  // core nodes of a cluster
	maxVoters   = 9  // core nodes of the fleet that vote: each publish waits for a majority
	maxEdges    = 5000
	maxSoak     = 7 * 24 * time.Hour
	minTimeout  = 30 * time.Second // Flux makes less into this
	maxTimeout  = time.Hour
	minDrain    = time.Second
	maxDrain    = time.Hour
)

var (
	label  = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$`)
	digest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	// repository is a registry, a path, no tag (OCI distribution specification).
	repository = regexp.MustCompile(`^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+$`)
	domain     = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	quantity   = regexp.MustCompile(`^([0-9]+m|[0-9]+(\.[0-9]{1,3})?)$`)
)

// Parse reads a description; name stands for the file in errors. All mistakes
// are told at once, each with its line and what to do about it.
func Parse(name string, text []byte) (*Fleet, error) {
	f := defaults()
	f.file = name
	lines, err := ops.ParseYAML(name, text, &f)
	if err != nil {
		return nil, err
	}
	f.lines = lines
	fill(&f)
	c := checker{f: &f}
	c.fleet()
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	return &f, nil
}

// fill gives what follows from the rest.
func fill(f *Fleet) {
	for i := range f.Regions {
		for j := range f.Regions[i].Clusters {
			c := &f.Regions[i].Clusters[j]
			if c.Context == "" {
				c.Context = c.Name
			}
			if c.Min == 0 && c.Max == 0 {
				c.Min, c.Max = 2, 20
			}
		}
	}
}

// checker collects what is wrong.
type checker struct {
	f    *Fleet
	errs []error
}

// bad tells a problem with the line of its key, or of the nearest key above it.
func (c *checker) bad(key, format string, args ...any) {
	line := 0
	for at := key; at != "" && line == 0; {
		line = c.f.lines[at]
		i := strings.LastIndexAny(at, ".[")
		at = at[:max(i, 0)]
	}
	where := c.f.file
	if line > 0 {
		where = fmt.Sprintf("%s:%d", c.f.file, line)
	}
	c.errs = append(c.errs, fmt.Errorf("%s: %s: %s", where, key, fmt.Sprintf(format, args...)))
}

func (c *checker) fleet() {
	f := c.f
	c.name("name", f.Name, "name the fleet as in barrage cert init --cluster")
	c.name("namespace", f.Namespace, "")
	c.version()
	c.git()
	c.flux()
	c.core()
	c.edge()
	c.predictor()
	if s := f.Secrets; s.Certificates != BySecret && s.Certificates != ByCertManager {
		c.bad("secrets.certificates", "%q: use %s or %s", s.Certificates, BySecret, ByCertManager)
	} else if s.Certificates == ByCertManager && (s.Issuer == "" || f.Edge.TLS && s.PublicIssuer == "") {
		c.bad("secrets.issuer", "give issuer and, with edge.tls, public_issuer: the names of ClusterIssuers")
	}
	c.regions()
	c.waves()
}

func (c *checker) name(key, value, hint string) {
	if !label.MatchString(value) {
		if hint == "" {
			hint = "use a to z, 0 to 9 and -, 40 at most"
		}
		c.bad(key, "%q: %s", value, hint)
	}
}

func (c *checker) version() {
	v := c.f.Version
	if !repository.MatchString(v.Image) {
		c.bad("version.image", "%q: want a repository without tag, such as registry.example.com/barrage", v.Image)
	}
	if !digest.MatchString(v.Digest) {
		c.bad("version.digest", "%q: want sha256: and 64 digits; a tag alone may be moved", v.Digest)
	}
}

func (c *checker) git() {
	g := c.f.Git
	switch u, err := url.Parse(g.URL); {
	case g.URL == "":
		c.bad("git", "url is missing: where is the repository that Flux reads?")
	case err != nil || u.Host == "" || !slices.Contains([]string{"https", "http", "ssh"}, u.Scheme):
		c.bad("git.url", "%q: want https://…, http://… or ssh://git@host/…", g.URL)
	case u.Scheme == "ssh" && g.Secret == "":
		c.bad("git.url", "ssh needs git.secret: the name of the Secret with identity and known_hosts")
	}
	if u, err := url.Parse(g.URL); err == nil && u.User != nil {
		if _, has := u.User.Password(); has {
			c.bad("git.url", "a password stands in it; put it into a Secret and name that in git.secret")
		}
	}
	if g.Branch == "" || strings.ContainsAny(g.Branch, " ~^:?*[\\") {
		c.bad("git.branch", "%q is no branch", g.Branch)
	}
	if g.Interval < time.Second || g.Interval > time.Hour {
		c.bad("git.interval", "%s: use 1s to 1h", g.Interval)
	}
}

func (c *checker) flux() {
	x := c.f.Flux
	if x.Timeout < minTimeout || x.Timeout > maxTimeout {
		c.bad("flux.timeout", "%s: use %s to %s", x.Timeout, minTimeout, maxTimeout)
	}
	if x.Images && x.Policy == "" {
		c.bad("flux.images", "give flux.policy too: which versions may be taken, such as 1.x")
	}
	if x.Alerts != "" && x.AlertKey == "" {
		c.bad("flux.alerts", "give flux.alert_key too: the name of the Secret with the key")
	}
}

func (c *checker) core() {
	o := c.f.Core
	if o.Shards < 1 || o.Shards > 64 {
		c.bad("core.shards", "%d: use 1 to 64", o.Shards)
	}
	if o.Survive != "region" && o.Survive != "zone" {
		c.bad("core.survive", "%q: use region or zone", o.Survive)
	}
	if o.Home != "" && c.f.Region(o.Home) == nil {
		c.bad("core.home", "there is no region %q%s", o.Home, c.near(o.Home))
	}
	if o.Storage < 1<<30 {
		c.bad("core.storage", "use 1GiB or more")
	}
	c.resources("core", o.CPU, o.Memory)
	if o.Bootstrap != "" && !slices.ContainsFunc(c.f.nodes(), func(n Node) bool { return n.Name == o.Bootstrap && n.Votes }) {
		c.bad("core.bootstrap", "there is no voting node %q; the first one is core-CLUSTER-0", o.Bootstrap)
	}
}

func (c *checker) resources(key, cpu string, memory ops.Bytes) {
	if !quantity.MatchString(cpu) {
		c.bad(key+".cpu", "%q: use cores, such as 2 or 500m", cpu)
	}
	if memory < 128<<20 {
		c.bad(key+".memory", "use 128MiB or more")
	}
}

func (c *checker) edge() {
	e := c.f.Edge
	if e.PerPod < 1 {
		c.bad("edge.per_pod", "%d: how many connections should an edge carry?", e.PerPod)
	}
	c.resources("edge", e.CPU, e.Memory)
	if e.Drain < minDrain || e.Drain > maxDrain {
		c.bad("edge.drain", "%s: use %s to %s", e.Drain, minDrain, maxDrain)
	}
	if len(e.Keys) == 0 && e.JWKS == "" {
		c.bad("edge", "keys or jwks is missing: by what are clients' tokens verified? (barrage token new-key)")
	}
	for i, k := range e.Keys {
		if !public(k.PEM) {
			c.bad(fmt.Sprintf("edge.keys[%d].pem", i), "want a public key, PEM, and nothing else: this file is seen by whoever reads the repository (barrage token new-key makes a pair)")
		}
		if k.Algorithm == "" || strings.HasPrefix(k.Algorithm, "HS") {
			c.bad(fmt.Sprintf("edge.keys[%d]", i), "algorithm %q: want a public key's, such as EdDSA", k.Algorithm)
		}
	}
	if !slices.Contains([]string{"LoadBalancer", "NodePort", "ClusterIP"}, e.Service) {
		c.bad("edge.service", "%q: use LoadBalancer, NodePort or ClusterIP", e.Service)
	}
	if e.Port != 0 && (e.Service != "NodePort" || e.Port < 30000 || e.Port > 32766) {
		c.bad("edge.node_port", "%d: use 30000 to 32766, with service: NodePort", e.Port)
	}
}

// public says that a text is one public key.
func public(text string) bool {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "PUBLIC KEY" || strings.TrimSpace(string(rest)) != "" {
		return false
	}
	_, err := x509.ParsePKIXPublicKey(block.Bytes)
	return err == nil
}

func (c *checker) predictor() {
	p := c.f.Predictor
	if !slices.Contains([]string{Off, "forecast-only", "publish"}, p.Mode) {
		c.bad("predictor.mode", "%q: use off, forecast-only or publish", p.Mode)
	}
	if p.Autoscaler != Adapter && p.Autoscaler != KEDA {
		c.bad("predictor.autoscaler", "%q: use %s or %s", p.Autoscaler, Adapter, KEDA)
	}
	if p.Lead < time.Second || p.Lead > 15*time.Minute {
		c.bad("predictor.lead", "%s: use 1s to 15m", p.Lead)
	}
	if u, err := url.Parse(p.Prometheus); p.Prometheus != "" && (err != nil || u.Host == "") {
		c.bad("predictor.prometheus", "%q: want a URL such as http://prometheus.monitoring:9090", p.Prometheus)
	}
}

func (c *checker) regions() {
	f := c.f
	if len(f.Regions) == 0 || len(f.Regions) > maxRegions {
		c.bad("regions", "%d: use 1 to %d", len(f.Regions), maxRegions)
	}
	regions, clusters, voters := map[string]int{}, map[string]string{}, 0
	for i, r := range f.Regions {
		key := fmt.Sprintf("regions[%d]", i)
		c.name(key+".name", r.Name, "")
		if first, twice := regions[r.Name]; twice {
			c.bad(key+".name", "there is a region %q already, on line %d; names are for one", r.Name, f.lines[fmt.Sprintf("regions[%d].name", first)])
		} else {
			regions[r.Name] = i
		}
		if len(r.Clusters) == 0 || len(r.Clusters) > maxClusters {
			c.bad(key, "region %s has %d clusters: name 1 to %d under clusters, or remove it", r.Name, len(r.Clusters), maxClusters)
		}
		for k, e := range r.Endpoints {
			if u, err := url.Parse(e); err != nil || u.Host == "" || !slices.Contains([]string{"ws", "wss", "tcp", "tcps"}, u.Scheme) {
				c.bad(fmt.Sprintf("%s.endpoints[%d]", key, k), "%q: want wss://…, ws://…, tcps://… or tcp://…", e)
			}
		}
		for j, cl := range r.Clusters {
			at := fmt.Sprintf("%s.clusters[%d]", key, j)
			c.cluster(at, cl)
			if other, twice := clusters[cl.Name]; twice {
				c.bad(at+".name", "region %s has a cluster %q already; names are for one in the whole fleet", other, cl.Name)
			}
			clusters[cl.Name] = r.Name
			voters += cl.Voters
		}
	}
	switch {
	case len(f.Regions) == 0:
	case voters == 0:
		c.bad("regions", "no core node votes: give a cluster voters: 1 or more")
	case voters > maxVoters || voters%2 == 0:
		c.bad("regions", "%d core nodes vote: use an odd number up to %d; one more to an odd number adds no safety (learners replicate without a vote)", voters, maxVoters)
	}
}

func (c *checker) cluster(key string, cl Cluster) {
	c.name(key+".name", cl.Name, "")
	if !domain.MatchString(cl.Domain) {
		c.bad(key+".domain", "%q: want the domain of its services as the other clusters resolve it, such as eu-1.example.com (cluster.local is the same in all)", cl.Domain)
	}
	if cl.Voters < 0 || cl.Learner < 0 || cl.Voters+cl.Learner > maxNodes || cl.Voters+cl.Learner == 0 {
		c.bad(key+".voters", "%d and %d learners: use 1 to %d core nodes; edges need one in their cluster", cl.Voters, cl.Learner, maxNodes)
	}
	if len(cl.Core) > 0 && len(cl.Core) != cl.Voters+cl.Learner {
		c.bad(key+".core", "%d addresses for %d core nodes: give one for each, or none", len(cl.Core), cl.Voters+cl.Learner)
	}
	for i, a := range cl.Core {
		if u, err := url.Parse("//" + a); err != nil || u.Host != a || u.Hostname() == "" || u.Port() == "" {
			c.bad(fmt.Sprintf("%s.core[%d]", key, i), "%q: want host:port", a)
		}
	}
	for i, p := range cl.Peers {
		if _, err := netip.ParsePrefix(p); err != nil {
			c.bad(fmt.Sprintf("%s.peers[%d]", key, i), "%q: want a network such as 10.1.0.0/16", p)
		}
	}
	if cl.Min < 1 || cl.Max < cl.Min || cl.Max > maxEdges {
		c.bad(key, "min %d, max %d: use at least 1 edge, at most %d", cl.Min, cl.Max, maxEdges)
	}
}

// waves must have every region once, and never a majority of the votes at once.
func (c *checker) waves() {
	f := c.f
	if len(f.Waves) == 0 && len(f.Regions) > 0 {
		c.bad("waves", "there are none: which region gets a version first? Give waves: [{regions: [%s], soak: 10m}, …]", f.Regions[0].Name)
		return
	}
	in, votes := map[string]int{}, map[string]int{}
	total := 0
	for _, n := range f.nodes() {
		if n.Votes {
			votes[n.Region]++
			total++
		}
	}
	for i, w := range f.Waves {
		key := fmt.Sprintf("waves[%d]", i)
		if len(w.Regions) == 0 {
			c.bad(key, "it has no regions")
		}
		sum := 0
		for j, r := range w.Regions {
			at := fmt.Sprintf("%s.regions[%d]", key, j)
			if f.Region(r) == nil {
				c.bad(at, "there is no region %q%s", r, c.near(r))
				continue
			}
			if first, twice := in[r]; twice {
				c.bad(at, "region %s is in wave %d already", r, first+1)
				continue
			}
			in[r] = i
			sum += votes[r]
		}
		if len(w.Regions) > 1 && total > 0 && sum > (total-1)/2 {
			c.bad(key+".regions", "%s hold %d of %d votes: a version that breaks core would take the majority with it; put them into waves of their own", strings.Join(w.Regions, ", "), sum, total)
		}
		if w.Soak < 0 || w.Soak > maxSoak {
			c.bad(key+".soak", "%s: use 0s to %s", w.Soak, maxSoak)
		}
		if g := w.Gate; g.Errors < 0 || g.Errors > 100 || g.Reconnects < 0 || g.Reconnects > 100 || g.Latency < 0 {
			c.bad(key+".gate", "errors and reconnects are percent, latency a duration")
		}
	}
	for i, r := range f.Regions {
		if _, is := in[r.Name]; !is && r.Name != "" {
			c.bad(fmt.Sprintf("regions[%d].name", i), "region %s is in no wave: it would never get a new version", r.Name)
		}
	}
}

// near suggests a region.
func (c *checker) near(name string) string {
	var names []string
	for _, r := range c.f.Regions {
		names = append(names, r.Name)
	}
	if n := ops.Nearest(name, names); n != "" {
		return fmt.Sprintf("; did you mean %s?", n)
	}
	return ""
}

// A Node is a core node.
type Node struct {
	Name, Region, Cluster string
	Address               string // for everybody, host:port
	Votes                 bool
}

// Nodes are all core nodes, in the order of the description.
func (f *Fleet) Nodes() []Node { return f.nodes() }

func (f *Fleet) nodes() (list []Node) {
	for _, r := range f.Regions {
		for _, c := range r.Clusters {
			for i := range max(c.Voters, 0) + max(c.Learner, 0) {
				list = append(list, f.node(r, c, i))
			}
		}
	}
	return list
}

// node is node i of a cluster: the voters come first.
func (f *Fleet) node(r Region, c Cluster, i int) Node {
	set, ordinal := "core-"+c.Name, i
	if i >= c.Voters {
		set, ordinal = "learner-"+c.Name, i-c.Voters
	}
	n := Node{Name: fmt.Sprintf("%s-%d", set, ordinal), Region: r.Name, Cluster: c.Name, Votes: i < c.Voters}
	n.Address = fmt.Sprintf("%s.core.%s.svc.%s:%d", n.Name, f.Namespace, c.Domain, CorePort)
	if i < len(c.Core) {
		n.Address = c.Core[i]
	}
	return n
}

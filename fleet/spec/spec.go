// Package spec is the description of a fleet: one YAML file that says which
// regions there are, what runs in them, and in which order they get a new version.
// It is pure.
package spec

import (
	"time"

	"github.com/barrage-im/barrage/protocol/ops"
)

// A Fleet is the whole description.
type Fleet struct {
	Name      string  `yaml:"name" help:"of the cluster in the certificates of processes"`
	Namespace string  `yaml:"namespace" help:"where everything runs, in every cluster"`
	Version   Version `yaml:"version"`
	Git       Git     `yaml:"git"`
	Flux      Flux    `yaml:"flux"`
	Secrets   Secrets `yaml:"secrets"`

	Core      Core      `yaml:"core"`
	Edge      Edge      `yaml:"edge"`
	Predictor Predictor `yaml:"predictor"`
	Options   Options   `yaml:"options"`

	Regions []Region `yaml:"regions"`
	Waves   []Wave   `yaml:"waves"`

	lines ops.Lines
	file  string
}

// A Version is an image, by its digest.
type Version struct {
	Image  string `yaml:"image" help:"repository, such as registry.example.com/barrage"`
	Tag    string `yaml:"tag" help:"for people"`
	Digest string `yaml:"digest" help:"sha256:…, which decides"`
}

// Git is where the rendered fleet is kept.
type Git struct {
	URL      string        `yaml:"url" help:"https, http or ssh"`
	Branch   string        `yaml:"branch"`
	Secret   string        `yaml:"secret" help:"name of the Secret in Flux's namespace with the credentials; empty: none are needed"`
	Signers  string        `yaml:"signers" help:"name of the Secret in Flux's namespace with the public keys, one of which every commit must be signed by; empty: commits are not verified"`
	Interval time.Duration `yaml:"interval" help:"between two looks at the repository"`
}

// Flux is how Flux is set up in every cluster.
type Flux struct {
	Registry string        `yaml:"registry" help:"where its images come from"`
	Images   bool          `yaml:"images" help:"look for new images, and write their digests into this description"`
	Policy   string        `yaml:"policy" help:"range of versions that images are taken from, such as 1.x; with images"`
	Pull     string        `yaml:"pull" help:"name of the Secret with which images are pulled, here and by Flux; empty: none is needed"`
	Webhook  string        `yaml:"webhook" help:"name of the Secret in Flux's namespace with the token of a webhook; empty: polling only"`
	Alerts   string        `yaml:"alerts" help:"URL that Flux tells what happened, by generic-hmac; empty: nobody"`
	AlertKey string        `yaml:"alert_key" help:"name of the Secret with the key of alerts"`
	Timeout  time.Duration `yaml:"timeout" help:"until what is not ready is a failure"`
}

// Secrets says where keys and certificates come from.
type Secrets struct {
	Decryption   string `yaml:"decryption" help:"name of the Secret in Flux's namespace by which SOPS decrypts secrets/CLUSTER; empty: secrets are made by hand"`
	Certificates string `yaml:"certificates" help:"secret: made by barrage cert; cert-manager: by the issuer"`
	Issuer       string `yaml:"issuer" help:"ClusterIssuer of cert-manager, of the fleet's own authority"`
	PublicIssuer string `yaml:"public_issuer" help:"ClusterIssuer of what browsers see"`
}

// Core is what all core nodes have in common.
type Core struct {
	Shards       int       `yaml:"shards" help:"of room logs, for ever"`
	Survive      string    `yaml:"survive" help:"region or zone"`
	Home         string    `yaml:"home" help:"region where leaders should stand; empty: anywhere"`
	Bootstrap    string    `yaml:"bootstrap" help:"node that makes the cluster, such as core-eu-1-0; empty: there is one"`
	Storage      ops.Bytes `yaml:"storage" help:"of each node"`
	StorageClass string    `yaml:"storage_class" help:"empty: the cluster's default"`
	CPU          string    `yaml:"cpu" help:"request of each node"`
	Memory       ops.Bytes `yaml:"memory" help:"of each node: request and limit"`
}

// Edge is what all edges have in common.
type Edge struct {
	PerPod  int           `yaml:"per_pod" help:"connections that one edge is meant to carry"`
	CPU     string        `yaml:"cpu" help:"request of each edge"`
	Memory  ops.Bytes     `yaml:"memory" help:"of each edge: request and limit"`
	Drain   time.Duration `yaml:"drain" help:"over which clients are asked to move"`
	TLS     bool          `yaml:"tls" help:"the edges have the public certificate; otherwise a balancer before them has"`
	Origins []string      `yaml:"origins" help:"web pages that may connect"`
	Keys    []Key         `yaml:"keys" help:"by which clients' tokens are verified"`
	JWKS    string        `yaml:"jwks" help:"URL of such keys"`
	Issuer  string        `yaml:"issuer" help:"iss that tokens must have; empty: none"`
	Service string        `yaml:"service" help:"LoadBalancer, NodePort or ClusterIP"`
	Port    int           `yaml:"node_port" help:"on every node, with NodePort"`
}

// A Key verifies tokens.
type Key struct {
	Algorithm string `yaml:"algorithm" help:"such as EdDSA"`
	ID        string `yaml:"id" help:"kid; empty: any"`
	PEM       string `yaml:"pem" help:"public key"`
}

// Predictor is of each region.
type Predictor struct {
	Mode       string        `yaml:"mode" help:"off, forecast-only or publish"`
	Prometheus string        `yaml:"prometheus" help:"URL in every cluster; empty: the edges are asked"`
	Autoscaler string        `yaml:"autoscaler" help:"adapter: the predictor serves external metrics; keda: ScaledObjects"`
	Lead       time.Duration `yaml:"lead" help:"until a new edge takes connections"`
}

// Options are parts that not every cluster has the definitions for.
type Options struct {
	ServiceMonitor bool `yaml:"service_monitor" help:"objects of the Prometheus operator"`
	Istio          bool `yaml:"istio" help:"objects of Istio: strict mutual TLS, who may reach whom, outliers"`
}

// A Region has clusters.
type Region struct {
	Name      string    `yaml:"name"`
	Endpoints []string  `yaml:"endpoints" help:"URLs under which clients reach its edges"`
	Clusters  []Cluster `yaml:"clusters"`
}

// A Cluster is one Kubernetes cluster.
type Cluster struct {
	Name    string   `yaml:"name"`
	Context string   `yaml:"context" help:"in the kubeconfig of whoever runs barrage fleet; empty: the name"`
	Domain  string   `yaml:"domain" help:"of its services, as every other cluster resolves it"`
	Voters  int      `yaml:"voters" help:"core nodes that vote"`
	Learner int      `yaml:"learners" help:"core nodes that replicate without a vote"`
	Core    []string `yaml:"core" help:"host:port of each of its core nodes for other clusters; empty: by domain"`
	Peers   []string `yaml:"peers" help:"networks (CIDR) of other clusters' pods, or of the gateways before them; empty: any"`
	Min     int      `yaml:"min" help:"edges at least"`
	Max     int      `yaml:"max" help:"edges at most"`
}

// A Wave is regions that get a version at the same time, when all before them
// have it and are well.
type Wave struct {
	Regions []string      `yaml:"regions"`
	Soak    time.Duration `yaml:"soak" help:"how long the regions must be well before the next wave"`
	Gate    Gate          `yaml:"gate"`
}

// Gate is what well means, by the service's own metrics.
type Gate struct {
	Errors     float64       `yaml:"errors" help:"publishes refused for no fault of the client's, percent at most"`
	Latency    time.Duration `yaml:"latency" help:"from publish to acknowledgement, 99th percentile at most"`
	Reconnects float64       `yaml:"reconnects" help:"connections that end by the server, percent of all a minute at most"`
	Canary     bool          `yaml:"canary" help:"messages are sent and received through the region"`
}

// Kinds of certificates and autoscalers.
const (
	BySecret      = "secret"
	ByCertManager = "cert-manager"
	Adapter       = "adapter"
	KEDA          = "keda"
	Off           = "off"
)

// ports is of the processes.
const (
	CorePort    = 7000
	OpsPort     = 8090
	HTTPPort    = 8080
	HTTPSPort   = 8443
	TCPPort     = 8081
	TCPSPort    = 8444
	KEDAPort    = 8071
	MetricsPort = 6443
)

// defaults of what is not given.
func defaults() Fleet {
	return Fleet{
		Namespace: "barrage",
		Git:       Git{Branch: "main", Interval: time.Minute},
		Flux:      Flux{Registry: "ghcr.io/fluxcd", Timeout: 5 * time.Minute},
		Secrets:   Secrets{Certificates: BySecret},
		Core:      Core{Shards: 8, Survive: "region", Storage: 20 << 30, CPU: "1", Memory: 2 << 30},
		Edge:      Edge{PerPod: 20_000, CPU: "1", Memory: 2 << 30, Drain: 20 * time.Second, TLS: true, Service: "LoadBalancer"},
		Predictor: Predictor{Mode: "forecast-only", Autoscaler: Adapter, Lead: 90 * time.Second},
	}
}

// Cluster finds a cluster and its region by name.
func (f *Fleet) Cluster(name string) (*Region, *Cluster) {
	for i := range f.Regions {
		for j := range f.Regions[i].Clusters {
			if f.Regions[i].Clusters[j].Name == name {
				return &f.Regions[i], &f.Regions[i].Clusters[j]
			}
		}
	}
	return nil, nil
}

// Region finds a region by name; nil if there is none.
func (f *Fleet) Region(name string) *Region {
	for i := range f.Regions {
		if f.Regions[i].Name == name {
			return &f.Regions[i]
		}
	}
	return nil
}

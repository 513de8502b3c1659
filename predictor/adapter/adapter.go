// Package adapter is an external metrics API server for Kubernetes: a
// HorizontalPodAutoscaler reads the predicted load from it without Prometheus or
// KEDA between. A cluster has one such server at most (kedacore/keda#470), so it
// is off unless asked for.
package adapter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/request/anonymous"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/options"
	openapicommon "k8s.io/kube-openapi/pkg/common"
	"k8s.io/metrics/pkg/apis/external_metrics"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/apiserver"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/core"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/externalmetrics"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"
)

// The metrics that are served: the load that there should be capacity for, and
// the load that there is.
const (
	MetricName = "barrage_predicted_load"
	LoadName   = "barrage_load"
)

// RegionLabel selects a region.
const RegionLabel = "region"

// Limits of the server.
const (
	closeWithin = 5 * time.Second
	maxRequests = 100 // at once
	maxLoad     = 1e15
)

// Config of the server.
type Config struct {
	Listen     string `yaml:"listen" help:"address of the external metrics API, HTTPS; empty: none. A cluster has one such server at most, KEDA's included"`
	Cert       string `yaml:"cert" help:"its certificate file; empty: one made at every start, which the APIService must not verify"`
	Key        string `yaml:"key" help:"its key file"`
	Kubeconfig string `yaml:"kubeconfig" help:"file for the Kubernetes API that says who may ask; empty: of the pod"`
	Open       bool   `yaml:"open" help:"answer anybody without asking Kubernetes who they are; only on loopback"`
}

// Validate refuses what cannot work.
func (c Config) Validate() error {
	var errs []error
	if (c.Cert == "") != (c.Key == "") {
		errs = append(errs, errors.New("cert and key: give both, or neither"))
	}
	if c.Listen == "" {
		return errors.Join(errs...)
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		errs = append(errs, fmt.Errorf("listen %q: want host:port, such as :6443", c.Listen))
	} else if ip := net.ParseIP(host); c.Open && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		errs = append(errs, fmt.Errorf("open: %s is not on loopback; anybody could ask: leave it out, Kubernetes then says who may", c.Listen))
	}
	return errors.Join(errs...)
}

// Published is what an autoscaler is told now. Its functions may be called by any
// goroutine, and never wait.
type Published struct {
	Predicted func() float64 // 0 tells it nothing
	// Load is that of the newest sample; not known says that there is none that is
	// new enough. An autoscaler is then told so: it does not shrink by it.
	Load func() (load float64, known bool)
}

// A Server answers the Kubernetes API server's aggregator.
type Server struct {
	listener net.Listener
	api      *genericapiserver.GenericAPIServer
}

// Listen opens the listener; Serve answers.
func Listen(ctx context.Context, cfg Config, region string, told Published, log *slog.Logger) (_ *Server, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("external metrics listener: %w", err)
	}
	defer func() {
		if err != nil {
			_ = ln.Close()
		}
	}()
	generic, err := configure(cfg, ln)
	if err != nil {
		return nil, fmt.Errorf("external metrics: %w", err)
	}
	own := apiserver.Config{GenericConfig: &generic.Config}
	server, err := own.Complete(generic.SharedInformerFactory).New("barrage-predictor", nil, metrics{region, told})
	if err != nil {
		return nil, fmt.Errorf("external metrics: %w", err)
	}
	log.Info("external metrics listener", "address", ln.Addr().String(), "open", cfg.Open)
	return &Server{ln, server.GenericAPIServer}, nil
}

func configure(cfg Config, ln net.Listener) (*genericapiserver.RecommendedConfig, error) {
	generic := genericapiserver.NewRecommendedConfig(apiserver.Codecs)
	generic.EnableProfiling, generic.EnableMetrics = false, false // the ops listener has both
	generic.EnableIndex = false
	generic.MaxRequestsInFlight, generic.MaxMutatingRequestsInFlight = maxRequests, maxRequests
	generic.ShutdownDelayDuration = 0
	secure := options.NewSecureServingOptions().WithLoopback()
	secure.Listener = ln
	secure.ServerCert = options.GeneratableKeyCert{CertKey: options.CertKey{CertFile: cfg.Cert, KeyFile: cfg.Key}}
	if err := secure.MaybeDefaultWithSelfSignedCerts("localhost", nil, []net.IP{net.IPv4(127, 0, 0, 1)}); err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	if err := secure.ApplyTo(&generic.SecureServing, &generic.LoopbackClientConfig); err != nil {
		return nil, fmt.Errorf("cert and key: %w", err)
	}
	if err := authorise(cfg, generic); err != nil {
		return nil, err
	}
	definitions := func(ref openapicommon.ReferenceCallback) map[string]openapicommon.OpenAPIDefinition {
		all := core.GetOpenAPIDefinitions(ref)
		for name, d := range externalmetrics.GetOpenAPIDefinitions(ref) {
			all[name] = d
		}
		return all
	}
	names := openapi.NewDefinitionNamer(apiserver.Scheme)
	generic.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(definitions, names)
	generic.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(definitions, names)
	generic.OpenAPIConfig.Info.Title, generic.OpenAPIV3Config.Info.Title = "barrage predictor", "barrage predictor"
	return generic, nil
}

// authorise asks the Kubernetes API who somebody is and what they may, or lets
// everybody in.
func authorise(cfg Config, generic *genericapiserver.RecommendedConfig) error {
	if cfg.Open {
		generic.Authentication.Authenticator = anonymous.NewAuthenticator(nil)
		generic.Authorization.Authorizer = authorizerfactory.NewAlwaysAllowAuthorizer()
		return nil
	}
	who, may := options.NewDelegatingAuthenticationOptions(), options.NewDelegatingAuthorizationOptions()
	who.RemoteKubeConfigFile, may.RemoteKubeConfigFile = cfg.Kubeconfig, cfg.Kubeconfig
	if err := who.ApplyTo(&generic.Authentication, generic.SecureServing, nil); err != nil {
		return fmt.Errorf("ask Kubernetes who may: does this run in a cluster, or is adapter.kubeconfig right? %w", err)
	}
	if err := may.ApplyTo(&generic.Authorization); err != nil {
		return fmt.Errorf("ask Kubernetes who may: does this run in a cluster, or is adapter.kubeconfig right? %w", err)
	}
	return nil
}

// Addr is where it listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve answers until ctx ends, then waits for requests in flight. It may be
// called once.
func (s *Server) Serve(ctx context.Context) error {
	defer s.api.Destroy()
	s.api.ShutdownTimeout = closeWithin
	if err := s.api.PrepareRun().RunWithContext(ctx); err != nil {
		return fmt.Errorf("serve external metrics: %w", err)
	}
	return nil
}

// metrics are the two.
type metrics struct {
	region string
	told   Published
}

// GetExternalMetric gives the load that there should be capacity for, 0 when there
// is no forecast, which leaves the other metrics of an autoscaler to decide; or
// the load that there is.
func (m metrics) GetExternalMetric(_ context.Context, _ string, selector labels.Selector, info provider.ExternalMetricInfo) (*external_metrics.ExternalMetricValueList, error) {
	of := labels.Set{RegionLabel: m.region}
	if info.Metric != MetricName && info.Metric != LoadName || !selector.Matches(of) {
		return nil, provider.NewMetricNotFoundForSelectorError(schema.GroupResource{Group: external_metrics.GroupName, Resource: "region " + m.region}, info.Metric, MetricName, selector)
	}
	var load float64
	if info.Metric == MetricName {
		load = m.told.Predicted()
	} else {
		var known bool
		if load, known = m.told.Load(); !known {
			return nil, apierrors.NewServiceUnavailable("the load of region " + m.region + " is not known at present")
		}
	}
	load = min(load, maxLoad)
	return &external_metrics.ExternalMetricValueList{Items: []external_metrics.ExternalMetricValue{{
		MetricName: info.Metric, MetricLabels: of, Timestamp: metav1.Now(),
		Value: *resource.NewMilliQuantity(int64(math.Ceil(load*1000)), resource.DecimalSI),
	}}}, nil
}

// ListAllExternalMetrics names the two.
func (metrics) ListAllExternalMetrics() []provider.ExternalMetricInfo {
	return []provider.ExternalMetricInfo{{Metric: MetricName}, {Metric: LoadName}}
}

// Package keda answers KEDA's external scaler protocol with a predicted load.
package keda

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"regexp"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

// MetricName is the metric, unless a ScaledObject says otherwise.
const MetricName = "barrage_predicted_load"

// Limits of a client.
const (
	maxMessage  = 64 << 10 // bytes
	maxStreams  = 256      // a connection
	maxTarget   = 1e12
	lookEvery   = time.Second // at whether a stream has news
	closeWithin = 3 * time.Second
)

// A Published load: what an autoscaler is told now; 0 tells it nothing. It may be
// called by any goroutine, and never waits.
type Published func() float64

// A Server answers KEDA.
type Server struct {
	UnimplementedExternalScalerServer

	region   string
	load     Published
	log      *slog.Logger
	listener net.Listener
	grpc     *grpc.Server
	stop     chan struct{}
	requests *prometheus.CounterVec
}

// Listen opens the listener; Serve answers.
func Listen(ctx context.Context, cfg Config, region string, load Published, log *slog.Logger, reg prometheus.Registerer) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{region: region, load: load, log: log, stop: make(chan struct{})}
	s.requests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "barrage_predictor_keda_requests_total", Help: "Requests of KEDA, by method and code."}, []string{"method", "code"})
	if err := reg.Register(s.requests); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage), grpc.MaxConcurrentStreams(maxStreams),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.UnaryInterceptor(s.count), grpc.StreamInterceptor(s.countStream),
	}
	if cfg.Cert != "" {
		secure, err := secured(cfg)
		if err != nil {
			return nil, err
		}
		options = append(options, grpc.Creds(credentials.NewTLS(secure)))
	}
	var err error
	if s.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", cfg.Listen); err != nil {
		return nil, fmt.Errorf("KEDA listener: %w", err)
	}
	s.grpc = grpc.NewServer(options...)
	RegisterExternalScalerServer(s.grpc, s)
	log.Info("KEDA listener", "address", s.listener.Addr().String(), "tls", cfg.Cert != "")
	return s, nil
}

// secured reads the files anew for every connection: certificates are renewed.
func secured(cfg Config) (*tls.Config, error) {
	read := func() (*tls.Config, error) {
		cert, err := tls.LoadX509KeyPair(cfg.Cert, cfg.Key)
		if err != nil {
			return nil, fmt.Errorf("cert and key: %w", err)
		}
		c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}}
		if cfg.ClientCA != "" {
			pem, err := os.ReadFile(cfg.ClientCA)
			if err != nil {
				return nil, fmt.Errorf("client_ca: %w", err)
			}
			c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
			if !c.ClientCAs.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("client_ca: %s has no certificate; want PEM", cfg.ClientCA)
			}
		}
		return c, nil
	}
	c, err := read()
	if err != nil {
		return nil, err
	}
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return read() }
	return c, nil
}

// Addr is where it listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve answers until ctx ends, then closes everything. It may be called once.
func (s *Server) Serve(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.grpc.Serve(s.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve KEDA: %w", err)
	case <-ctx.Done():
	}
	close(s.stop) // streams end
	left := make(chan struct{})
	go func() {
		defer close(left)
		s.grpc.GracefulStop()
	}()
	select {
	case <-left:
	case <-time.After(closeWithin):
		s.grpc.Stop()
		<-left
	}
	if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve KEDA: %w", err)
	}
	return nil
}

// IsActive is true while something is predicted: KEDA then keeps a pod at least.
func (s *Server) IsActive(_ context.Context, ref *ScaledObjectRef) (*IsActiveResponse, error) {
	if _, err := s.target(ref); err != nil {
		return nil, err
	}
	return &IsActiveResponse{Result: s.load() > 0}, nil
}

// StreamIsActive says what IsActive would, at once and when it changes.
func (s *Server) StreamIsActive(ref *ScaledObjectRef, out grpc.ServerStreamingServer[IsActiveResponse]) error {
	if _, err := s.target(ref); err != nil {
		return err
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for said, active := false, false; ; {
		if now := s.load() > 0; !said || now != active {
			if err := out.Send(&IsActiveResponse{Result: now}); err != nil {
				return err
			}
			said, active = true, now
		}
		select {
		case <-out.Context().Done():
			return status.FromContextError(out.Context().Err()).Err()
		case <-s.stop:
			return status.Error(codes.Unavailable, "the predictor stops")
		case <-tick.C:
		}
	}
}

// GetMetricSpec needs nothing but the ScaledObject: without an answer KEDA makes
// an autoscaler of something else (keda#7729).
func (s *Server) GetMetricSpec(_ context.Context, ref *ScaledObjectRef) (*GetMetricSpecResponse, error) {
	t, err := s.target(ref)
	if err != nil {
		return nil, err
	}
	return &GetMetricSpecResponse{MetricSpecs: []*MetricSpec{{MetricName: t.name, TargetSize: t.size.whole(), TargetSizeFloat: float64(t.size)}}}, nil
}

// GetMetrics gives the load that there should be capacity for; 0 when there is no
// forecast, which leaves the other triggers to decide.
func (s *Server) GetMetrics(_ context.Context, r *GetMetricsRequest) (*GetMetricsResponse, error) {
	t, err := s.target(r.GetScaledObjectRef())
	if err != nil {
		return nil, err
	}
	if asked := r.GetMetricName(); asked != "" && asked != t.name {
		return nil, status.Errorf(codes.InvalidArgument, "metric %q: this trigger has %q; set metricName in its metadata to have another name", asked, t.name)
	}
	load := size(s.load())
	return &GetMetricsResponse{MetricValues: []*MetricValue{{MetricName: t.name, MetricValue: load.whole(), MetricValueFloat: float64(load)}}}, nil
}

// size is a number as KEDA takes it, exactly and rounded up.
type size float64

func (s size) whole() int64 { return int64(math.Ceil(min(float64(s), 1<<62))) }

// target is what a ScaledObject says.
type target struct {
	name string
	size size
}

var nameForm = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_-]{0,99}$`)

// target reads a trigger's metadata. scalerAddress and what else KEDA puts there
// for itself is not looked at.
func (s *Server) target(ref *ScaledObjectRef) (target, error) {
	data := ref.GetScalerMetadata()
	bad := func(format string, args ...any) (target, error) {
		return target{}, status.Errorf(codes.InvalidArgument, "ScaledObject %s/%s: "+format, append([]any{ref.GetNamespace(), ref.GetName()}, args...)...)
	}
	t := target{name: MetricName}
	if name := data["metricName"]; name != "" {
		t.name = name
	}
	if !nameForm.MatchString(t.name) {
		return bad("metricName %q: use letters, digits, _ and -, 100 at most", t.name)
	}
	if region := data["region"]; region != "" && region != s.region {
		return bad("region %q: this predictor is of region %q; set scalerAddress to the one of that region", region, s.region)
	}
	text, ok := data["targetSize"]
	if !ok {
		return bad(`targetSize is missing: put the load that one pod carries into the trigger's metadata, such as targetSize: "2000"`)
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v > 0 && v <= maxTarget) {
		return bad("targetSize %q: use the load that one pod carries, above 0 and %g at most", text, float64(maxTarget))
	}
	t.size = size(v)
	return t, nil
}

func (s *Server) count(ctx context.Context, r any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	answer, err := handle(ctx, r)
	s.counted(info.FullMethod, err)
	return answer, err
}

func (s *Server) countStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	err := handle(srv, stream)
	s.counted(info.FullMethod, err)
	return err
}

func (s *Server) counted(method string, err error) {
	s.requests.WithLabelValues(method[len("/"+ExternalScaler_ServiceDesc.ServiceName+"/"):], status.Code(err).String()).Inc()
	if status.Code(err) == codes.InvalidArgument {
		s.log.Warn("KEDA asks what cannot be answered", "err", err)
	}
}

// Package ops is what every Barrage process offers its operator: structured
// logs, one typed configuration with the origin of each key, and an ops
// listener of its own with health, readiness, metrics and profiles. It knows
// nothing of rooms, edges or core.
package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	headerTimeout = 5 * time.Second // scrapers and probes send their headers at once
	headerBytes   = 16 << 10
	idleTimeout   = 2 * time.Minute
	closeTimeout  = 2 * time.Second // a scrape in flight may finish
	maxScrapes    = 4               // at once; more are refused with 503
)

// Config of the ops listener.
type Config struct {
	Listen string `yaml:"listen" help:"address of /healthz, /readyz, /metrics and /debug/pprof; empty or \"off\": none"`
}

// Validate refuses an address that cannot be listened on.
func (c Config) Validate() error {
	if c.off() {
		return nil
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("listen %q: want host:port, such as 127.0.0.1:9090, or off", c.Listen)
	}
	return nil
}

func (c Config) off() bool { return c.Listen == "" || c.Listen == "off" }

// Ops is a running process's metrics registry, readiness and, unless it is
// off, its ops listener. All methods may be called by any goroutine.
type Ops struct {
	// Set by Start, never changed.
	registry *prometheus.Registry
	listener net.Listener // nil when off
	server   *http.Server
	served   chan struct{} // closed when the serving goroutine has returned
	log      *slog.Logger

	mu      sync.Mutex       // guards reasons
	reasons map[string]error // what is not ready
}

// Start begins to listen, if configured, and serves until Close.
func Start(c Config, log *slog.Logger) (*Ops, error) {
	o := &Ops{
		registry: prometheus.NewRegistry(),
		log:      log,
		reasons:  map[string]error{},
		served:   make(chan struct{}),
	}
	b := Version()
	o.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "barrage_build_info",
			Help:        "Always 1; the labels say which build runs.",
			ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "go": b.Go},
		}, func() float64 { return 1 }),
	)
	if c.off() {
		close(o.served)
		return o, nil
	}
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("ops listener: %w", err)
	}
	o.listener = ln
	o.server = &http.Server{
		Handler:           o.mux(),
		ReadHeaderTimeout: headerTimeout,
		MaxHeaderBytes:    headerBytes,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(o.served)
		if err := o.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			log.Error("ops listener ended", "error", err)
		}
	}()
	log.Info("ops listener", "address", ln.Addr().String())
	return o, nil
}

// Registry is where the process's parts register their metrics.
func (o *Ops) Registry() *prometheus.Registry { return o.registry }

// Addr is the listener's address, nil when it is off.
func (o *Ops) Addr() net.Addr {
	if o.listener == nil {
		return nil
	}
	return o.listener.Addr()
}

// SetReady says why the named part is not ready, or with nil that it is. The
// process is ready when every part that was ever named is.
func (o *Ops) SetReady(part string, reason error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if reason == nil {
		delete(o.reasons, part)
		return
	}
	o.reasons[part] = reason
}

// Close stops the listener and waits for it.
func (o *Ops) Close() error {
	if o.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := o.server.Shutdown(ctx)
	if err != nil { // a profile being taken, or a slow scraper
		err = o.server.Close()
	}
	<-o.served
	return err
}

func (o *Ops) mux() http.Handler {
	mux := http.NewServeMux()
	// Liveness asks nothing of anybody else: a process that can answer lives.
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", o.serveReady)
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: maxScrapes,
		ErrorLog:            slog.NewLogLogger(o.log.Handler(), slog.LevelWarn),
	}))
	// No cmdline page: arguments are nobody's business here.
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", http.NotFound)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

func (o *Ops) serveReady(w http.ResponseWriter, _ *http.Request) {
	answer := struct {
		Ready   bool              `json:"ready"`
		Reasons map[string]string `json:"reasons,omitempty"`
	}{Ready: true}
	o.mu.Lock()
	for part, reason := range o.reasons {
		if answer.Reasons == nil {
			answer.Ready, answer.Reasons = false, map[string]string{}
		}
		answer.Reasons[part] = reason.Error()
	}
	o.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if !answer.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(answer) // the prober is gone; nothing to do
}

package edgenode

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/transport"
)

// doors are the listeners of an edge. They are opened first, so that their
// addresses are known, and serve last.
type doors struct {
	web     []door // HTTP and HTTPS
	raw     []door // TCP and TLS
	options transport.Options
	refused *prometheus.CounterVec
	edge    *Edge // set before anything is served

	server   *http.Server
	ws       *transport.WebSocket
	cancel   context.CancelFunc
	serving  sync.WaitGroup
	failed   chan error // room for one: why a listener ended by itself
	shutOnce sync.Once
}

type door struct {
	scheme  string
	address string
	web     net.Listener
	stream  *transport.Listener
}

func openDoors(ctx context.Context, cfg Config) (_ *doors, err error) {
	d := &doors{failed: make(chan error, 1), cancel: func() {}}
	d.refused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "barrage_edge_handshakes_refused_total", Help: "Connections that ended before they were any, by reason.",
	}, []string{"reason"})
	d.options = transport.Options{
		WriteStall: cfg.WriteStall, Origins: cfg.Listen.Origins, RequireOrigin: cfg.Listen.RequireOrigin,
		Refused: func(reason string) { d.refused.WithLabelValues(reason).Inc() },
		Close:   func(f transport.Format, err *protocol.Error) []byte { return d.edge.sessions.CloseImage(f, err) },
	}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	secure, err := clientTLS(cfg.Listen)
	if err != nil {
		return nil, err
	}
	for scheme, address := range where("ws", cfg.Listen.HTTP, "wss", cfg.Listen.HTTPS) {
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
		at := door{scheme: scheme, address: ln.Addr().String(), web: ln}
		if scheme == "wss" {
			web := secure.Clone()
			web.NextProtos = []string{"http/1.1"}
			at.web = tls.NewListener(ln, web)
		}
		d.web = append(d.web, at)
	}
	for scheme, address := range where("tcp", cfg.Listen.TCP, "tcps", cfg.Listen.TCPS) {
		var with *tls.Config
		if scheme == "tcps" {
			with = secure
		}
		ln, err := transport.ListenTCP(address, with, d.options)
		if err != nil {
			return nil, err
		}
		d.raw = append(d.raw, door{scheme: scheme, address: ln.Addr().String(), stream: ln})
	}
	return d, nil
}

// where goes through pairs of scheme and address, those that are set.
func where(pairs ...string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i+1] != "" && !yield(pairs[i], pairs[i+1]) {
				return
			}
		}
	}
}

// open serves.
func (d *doors) open(e *Edge, opts Options) error {
	d.edge = e
	if err := opts.Registry.Register(d.refused); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	d.ws = transport.NewWebSocket(d.options, e.sessions.Accept)
	mux := http.NewServeMux()
	mux.Handle(transport.WebSocketPath, d.ws)
	if opts.Page != nil {
		mux.Handle("/", opts.Page)
	}
	d.server = transport.NewHTTPServer(mux)
	transport.CountRefused(d.server, d.options.Refused)
	for _, at := range d.web {
		d.serving.Go(func() {
			if err := d.server.Serve(at.web); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				d.fail(err)
			}
		})
	}
	for _, at := range d.raw {
		d.serving.Go(func() { d.fail(at.stream.Serve(ctx, e.sessions.Accept)) })
	}
	return nil
}

func (d *doors) fail(err error) {
	if err == nil {
		return
	}
	select {
	case d.failed <- fmt.Errorf("a listener ended: %w", err):
	default:
	}
}

// urls are where clients find the doors.
func (d *doors) urls() (urls []string) {
	for _, at := range d.web {
		urls = append(urls, at.scheme+"://"+at.address+transport.WebSocketPath)
	}
	for _, at := range d.raw {
		urls = append(urls, at.scheme+"://"+at.address)
	}
	return urls
}

// shut stops accepting; connections go on.
func (d *doors) shut() {
	d.shutOnce.Do(func() {
		d.cancel()
		for _, at := range d.web {
			_ = at.web.Close()
		}
		if d.server != nil {
			d.server.SetKeepAlivesEnabled(false)
		}
	})
}

// close ends every connection and waits for what serves them.
func (d *doors) close() {
	d.shut()
	if d.server != nil {
		_ = d.server.Close()
	}
	if d.ws != nil {
		_ = d.ws.Close()
	}
	for _, at := range d.raw {
		_ = at.stream.Close()
	}
	d.serving.Wait()
}

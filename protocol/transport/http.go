package transport

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// MaxHeader bounds a request's headers, in bytes: cookies of a shared domain
// fit, an attack does not.
const MaxHeader = 16 << 10

// NewHTTPServer makes a server for a listener that faces clients: HTTP/1 only,
// with bounded headers and times, for requests without a body. HTTP/2 would
// bring WebSocket over extended CONNECT, many connections behind one limit; a
// body is where two parsers of one stream disagree about the next request.
func NewHTTPServer(handler http.Handler) *http.Server {
	s := &http.Server{
		Handler:           withoutBody(handler),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second, // lifted for WebSocket by the handshake
		WriteTimeout:      15 * time.Second,
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    MaxHeader - 4096,           // net/http adds 4096
		ErrorLog:          log.New(io.Discard, "", 0), // what strangers send is counted, not logged
		Protocols:         new(http.Protocols),
	}
	s.Protocols.SetHTTP1(true)
	return s
}

// withoutBody answers requests that bring a body, or say so in two ways, by
// 400 and the end of the connection.
func withoutBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
			rw.Header().Set("Connection", "close")
			http.Error(rw, "no request here has a body", http.StatusBadRequest)
			return
		}
		if heard, ok := r.Context().Value(heardKey{}).(*atomic.Bool); ok {
			heard.Store(true)
		}
		next.ServeHTTP(rw, r)
	})
}

// heardKey finds, in a request's context, whether its connection has brought a
// request that was passed on.
type heardKey struct{}

// CountRefused calls refused with "request" for each connection to a server of
// NewHTTPServer that ended without one good request: a TLS handshake that
// failed, headers that were too large, not HTTP, or never complete. Call it
// before the server serves.
func CountRefused(s *http.Server, refused func(reason string)) {
	var open sync.Map // net.Conn → *atomic.Bool, until it is closed or taken over
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		heard := new(atomic.Bool)
		open.Store(c, heard)
		return context.WithValue(ctx, heardKey{}, heard)
	}
	s.ConnState = func(c net.Conn, state http.ConnState) {
		if state != http.StateClosed && state != http.StateHijacked {
			return
		}
		if heard, ok := open.LoadAndDelete(c); ok && !heard.(*atomic.Bool).Load() {
			refused("request")
		}
	}
}

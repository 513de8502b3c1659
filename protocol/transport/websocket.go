package transport

import (
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Where and how WebSocket clients ask for us.
const (
	WebSocketPath    = "/v1/ws"
	SubprotocolProto = "barrage.v1.proto"
	SubprotocolJSON  = "barrage.v1.json"
)

// WebSocket is an http.Handler that turns requests into connections. It is to
// be served under WebSocketPath by a server made with NewHTTPServer.
type WebSocket struct {
	set      *connSet
	accept   Accept
	origins  origins
	upgrader websocket.Upgrader
}

// NewWebSocket makes a handler whose connections go to accept. It panics if
// Options.Origins holds something that is no origin; CheckOrigins tells before.
func NewWebSocket(o Options, accept Accept) *WebSocket {
	w := &WebSocket{set: newConnSet(o), accept: accept}
	w.origins = mustParseOrigins(w.set.opts)
	w.upgrader = websocket.Upgrader{
		HandshakeTimeout: w.set.opts.HandshakeTimeout,
		ReadBufferSize:   128, // gorilla's reader is not used after the handshake
		WriteBufferPool:  new(sync.Pool),
		Subprotocols:     []string{SubprotocolProto, SubprotocolJSON},
		CheckOrigin:      func(*http.Request) bool { return true }, // done before
		Error: func(rw http.ResponseWriter, _ *http.Request, status int, reason error) {
			w.set.opts.Refused("handshake")
			http.Error(rw, reason.Error(), status)
		},
	}
	return w
}

// ServeHTTP makes the handshake. The connection lives on a goroutine of its
// own, so that the HTTP server's, with all it holds, can end.
func (w *WebSocket) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	begin := time.Now()
	if !w.origins.allow(r) {
		w.set.opts.Refused("origin")
		http.Error(rw, "this origin may not connect; the operator can add it to the allowed origins", http.StatusForbidden)
		return
	}
	if websocket.IsWebSocketUpgrade(r) && !offers(r) {
		w.set.opts.Refused("subprotocol")
		http.Error(rw, "ask for the WebSocket subprotocol "+SubprotocolProto+" or "+SubprotocolJSON, http.StatusBadRequest)
		return
	}
	ws, err := w.upgrader.Upgrade(rw, r, nil)
	if err != nil {
		return // answered by Error
	}
	nc := ws.NetConn()
	info := Info{Transport: "ws", Format: WSBinary, Remote: nc.RemoteAddr(), Origin: r.Header.Get("Origin"), Since: begin}
	if r.TLS != nil {
		info.Transport = "wss"
	}
	if ws.Subprotocol() == SubprotocolJSON {
		info.Format = WSText
	}
	w.set.start(nc, info, w.accept, nil)
}

func offers(r *http.Request) bool {
	for _, p := range websocket.Subprotocols(r) {
		if p == SubprotocolProto || p == SubprotocolJSON {
			return true
		}
	}
	return false
}

// Wait returns when every connection has ended.
func (w *WebSocket) Wait() { w.set.wait() }

// Close ends every connection, refuses new ones and waits for their goroutines.
func (w *WebSocket) Close() error {
	w.set.close()
	return nil
}

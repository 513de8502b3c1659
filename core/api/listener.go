package api

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/barrage-im/barrage/protocol/pki"
)

// Protocols on a core node's port, by ALPN.
const (
	ALPNRaft = "barrage-raft/1" // then the shard as a uvarint
	alpnRPC  = "h2"
)

// A door accepts connections of one port, proves who they are within bounds,
// and hands them to gRPC or to Raft.
type door struct {
	ctx     context.Context //nolint:containedctx // the server's life: handshakes end with it
	ln      net.Listener
	config  *tls.Config
	raft    func(net.Conn)
	refused func(reason string)
	log     *slog.Logger

	rpc        chan net.Conn // finished handshakes for gRPC
	handshakes chan struct{} // tokens
	conns      atomic.Int64
	closed     chan struct{}
	closeOnce  sync.Once
	wg         sync.WaitGroup
}

func newDoor(ctx context.Context, ln net.Listener, creds *pki.Credentials, raft func(net.Conn), refused func(string), log *slog.Logger) *door {
	return &door{
		ctx: ctx, ln: ln, config: creds.ServerConfig(alpnRPC, ALPNRaft), raft: raft, refused: refused, log: log,
		rpc: make(chan net.Conn), handshakes: make(chan struct{}, maxHandshakes), closed: make(chan struct{}),
	}
}

// run accepts until the door is closed.
func (d *door) run() error {
	defer d.wg.Wait()
	pause := 5 * time.Millisecond
	for {
		select {
		case d.handshakes <- struct{}{}:
		case <-d.closed:
			return nil
		}
		conn, err := d.ln.Accept()
		if err != nil {
			<-d.handshakes
			select {
			case <-d.closed:
				return nil
			default:
			}
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			// Out of descriptors and the like: others may be closed meanwhile.
			d.refused("accept")
			d.log.Warn("accept", "error", err)
			select {
			case <-time.After(pause):
			case <-d.closed:
				return nil
			}
			pause = min(2*pause, time.Second)
			continue
		}
		pause = 5 * time.Millisecond
		if d.conns.Add(1) > maxConns {
			<-d.handshakes
			d.conns.Add(-1)
			d.refused("too_many")
			_ = conn.Close()
			continue
		}
		d.wg.Go(func() { d.admit(&counted{Conn: conn, open: &d.conns}) })
	}
}

// admit owns conn until its handshake is done and somebody has taken it.
func (d *door) admit(raw net.Conn) {
	conn, id, reason, err := d.handshake(raw)
	<-d.handshakes
	if err != nil || reason != "" {
		d.refused(reason)
		d.log.Debug("connection refused", "remote", raw.RemoteAddr().String(), "reason", reason, "error", err)
		_ = raw.Close()
		return
	}
	if conn.ConnectionState().NegotiatedProtocol == ALPNRaft {
		d.raft(conn)
		return
	}
	select {
	case d.rpc <- &provenConn{Conn: conn, id: id}:
	case <-d.closed:
		_ = conn.Close()
	}
}

func (d *door) handshake(raw net.Conn) (conn *tls.Conn, id pki.Identity, reason string, err error) {
	ctx, cancel := context.WithTimeout(d.ctx, handshakeTimeout)
	defer cancel()
	conn = tls.Server(raw, d.config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, id, "handshake", err
	}
	id, err = pki.PeerIdentity(conn.ConnectionState())
	if err != nil {
		return nil, id, "identity", err
	}
	switch conn.ConnectionState().NegotiatedProtocol {
	case alpnRPC:
	case ALPNRaft:
		if id.Role != pki.Core {
			return nil, id, "role", errors.New("only core nodes speak raft")
		}
	default:
		return nil, id, "protocol", errors.New("no protocol was chosen by ALPN")
	}
	return conn, id, "", nil
}

// close stops accepting; run returns when no handshake is under way.
func (d *door) close() {
	d.closeOnce.Do(func() {
		close(d.closed)
		_ = d.ln.Close()
	})
}

// Accept, Close and Addr make the door the listener of a gRPC server.
func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.rpc:
		return c, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

func (d *door) Close() error   { d.close(); return nil }
func (d *door) Addr() net.Addr { return d.ln.Addr() }

// counted is a connection that is counted while it is open.
type counted struct {
	net.Conn
	open *atomic.Int64
	once sync.Once
}

func (c *counted) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// provenConn is a connection whose handshake is done.
type provenConn struct {
	net.Conn
	id pki.Identity
}

// proven are gRPC's transport credentials for connections that come through a
// door: there is nothing left to do but to say who it is.
type proven struct{}

// authInfo is what a call knows of its connection.
type authInfo struct {
	credentials.CommonAuthInfo
	id pki.Identity
}

func (authInfo) AuthType() string { return "barrage" }

func (proven) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, ok := conn.(*provenConn)
	if !ok {
		return nil, nil, errors.New("connection did not come through the door")
	}
	return c, authInfo{credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}, c.id}, nil
}

func (proven) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these credentials are for servers")
}

func (proven) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}
func (p proven) Clone() credentials.TransportCredentials { return p }
func (proven) OverrideServerName(string) error           { return nil }

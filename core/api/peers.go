package api

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/barrage-im/barrage/protocol/pki"
)

// peers are the gRPC connections to other nodes, made when first needed.
type peers struct {
	creds *pki.Credentials
	dial  func(ctx context.Context, address string) (net.Conn, error)

	mu    sync.Mutex // guards the field below
	conns map[string]*grpc.ClientConn
}

func newPeers(creds *pki.Credentials, dial func(context.Context, string) (net.Conn, error)) *peers {
	return &peers{creds: creds, dial: dial, conns: map[string]*grpc.ClientConn{}}
}

// Dial makes a gRPC connection to a core node. It connects by itself, again
// and again; a nil dial means TCP.
func Dial(address string, creds *pki.Credentials, dial func(context.Context, string) (net.Conn, error)) (*grpc.ClientConn, error) {
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(credentials.NewTLS(creds.ClientConfig(pki.Core, alpnRPC))),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: resetWaitMin, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: handshakeTimeout,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveEvery, Timeout: keepaliveWait}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithInitialWindowSize(rpcWindow),
		grpc.WithInitialConnWindowSize(4 * rpcWindow),
		grpc.WithDisableServiceConfig(),
		grpc.WithNoProxy(),
	}
	if dial != nil {
		opts = append(opts, grpc.WithContextDialer(dial))
	}
	return grpc.NewClient("passthrough:///"+address, opts...)
}

func (p *peers) conn(address string) (*grpc.ClientConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.conns[address]; c != nil {
		return c, nil
	}
	c, err := Dial(address, p.creds, p.dial)
	if err != nil {
		return nil, fmt.Errorf("connect to node at %s: %w", address, err)
	}
	p.conns[address] = c
	return c, nil
}

// keep closes the connections to nodes that are no longer there.
func (p *peers) keep(addresses map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for a, c := range p.conns {
		if !addresses[a] {
			_ = c.Close()
			delete(p.conns, a)
		}
	}
}

func (p *peers) close() { p.keep(nil) }

// DialRaft opens a Raft connection to a peer: the replica's Dialer.
func (s *Server) DialRaft(ctx context.Context, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	raw, err := s.cfg.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, s.cfg.Credentials.ClientConfig(pki.Core, ALPNRaft))
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("handshake with %s: %w", address, err)
	}
	if conn.ConnectionState().NegotiatedProtocol != ALPNRaft {
		_ = conn.Close()
		return nil, fmt.Errorf("%s does not speak %s", address, ALPNRaft)
	}
	return conn, nil
}

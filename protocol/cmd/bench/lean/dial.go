package lean

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
)

// A Dialer opens the socket below a connection.
type Dialer struct {
	// Spread is how many loopback source addresses (127.0.0.2, .3, …) to use in
	// turn, so that a server's limit per address does not count all of them as
	// one. 0 leaves the choice to the system.
	Spread int
	// TLS is used for tcps: and wss: addresses.
	TLS *tls.Config
}

// Dial connects to the host of target. n numbers the connection; it chooses the
// source address.
func (d Dialer) Dial(ctx context.Context, target *url.URL, n int) (net.Conn, error) {
	dialer := net.Dialer{Timeout: handshakeTimeout}
	if d.Spread > 0 {
		k := n%d.Spread + 2
		dialer.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, byte(k>>8), byte(k))}
	}
	host := target.Host
	if target.Port() == "" {
		host = net.JoinHostPort(target.Hostname(), map[string]string{"ws": "80", "wss": "443"}[target.Scheme])
	}
	nc, err := dialer.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	if target.Scheme != "wss" && target.Scheme != "tcps" {
		return nc, nil
	}
	config := d.TLS.Clone()
	if config == nil {
		config = &tls.Config{}
	}
	if config.ServerName == "" {
		config.ServerName = target.Hostname()
	}
	if target.Scheme == "tcps" {
		config.NextProtos = []string{"barrage/1"}
	}
	secure := tls.Client(nc, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, fmt.Errorf("TLS handshake with %s: %w", target.Host, err)
	}
	return secure, nil
}

package client

import (
	"context"
	"crypto/tls"

	"github.com/barrage-im/barrage/protocol/transport"
)

// Conn is the client's side of one connection. ReadFrame is called by one
// goroutine, WriteFrames by one other, Close by anyone at any time; it ends
// both.
type Conn interface {
	// ReadFrame returns one frame without its length or newline, valid until
	// the next call.
	ReadFrame() ([]byte, error)
	// WriteFrames writes frames as protocol.AppendClient makes them, one after
	// the other.
	WriteFrames(image []byte) error
	Close() error
}

// Dialer opens a connection to an endpoint.
type Dialer interface {
	Dial(ctx context.Context, endpoint string) (Conn, error)
}

// network is the Dialer over package transport.
type network struct {
	tls  *tls.Config
	json bool
}

func (n network) Dial(ctx context.Context, endpoint string) (Conn, error) {
	o := transport.DialOptions{TLS: n.tls, Encoding: newCodec(endpoint, n.json).enc}
	conn, err := transport.Dial(ctx, endpoint, o)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

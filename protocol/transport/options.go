package transport

import (
	"time"

	"github.com/barrage-im/barrage/protocol"
)

// Options bound what a server's connections may take. The zero value of a field
// is its default.
type Options struct {
	// MaxFrame bounds a client's frame in bytes: protocol.MaxClientFrame. A
	// WebSocket message may hold several frames of together this size.
	MaxFrame int
	// HandshakeTimeout bounds the time from accepting a connection to the end
	// of its first frame, TLS included: 10 s, what a bad mobile network needs.
	HandshakeTimeout time.Duration
	// FrameTimeout bounds the time from a frame's first byte to its last: 10 s.
	FrameTimeout time.Duration
	// WriteStall is how long a write may make no progress: 10 s. The kernel's
	// own patience is a quarter of an hour.
	WriteStall time.Duration
	// CloseWait is how long the last bytes may take to leave, and how long we
	// wait for the client to close too: 3 s.
	CloseWait time.Duration
	// MaxFragments bounds the frames that one WebSocket message is made of:
	// 256, twice what a client with buffers of 512 bytes needs.
	MaxFragments int
	// MaxControl bounds the pings and pongs that a WebSocket client may send in
	// ControlWindow: 100.
	MaxControl int
	// Origins are those from which a browser may connect: exact ("https://
	// example.com", scheme and port included), SameHost, or "*" for any. None
	// means SameHost. Requests without Origin, which browsers never send, are
	// allowed unless RequireOrigin is set: programs are held by their token.
	Origins       []string
	RequireOrigin bool
	// Close makes the image of the close frame that the transport itself sends
	// when a client breaks a rule, so that it can say where to go.
	// Format.CloseImage is the default.
	Close func(Format, *protocol.Error) []byte
	// Refused is called, if set, for each connection or request that does not
	// become a connection, with a metric label: "tls", "origin", "subprotocol",
	// "handshake", "closed", and with CountRefused "request".
	Refused func(reason string)
}

// SameHost among Options.Origins allows pages served under the host name that
// the request was sent to.
const SameHost = "same-host"

// ControlWindow is the time that Options.MaxControl counts in.
const ControlWindow = 10 * time.Second

func (o Options) withDefaults() *Options {
	set(&o.MaxFrame, protocol.MaxClientFrame)
	set(&o.HandshakeTimeout, 10*time.Second)
	set(&o.FrameTimeout, 10*time.Second)
	set(&o.WriteStall, 10*time.Second)
	set(&o.CloseWait, 3*time.Second)
	set(&o.MaxFragments, 256)
	set(&o.MaxControl, 100)
	if o.Close == nil {
		o.Close = Format.CloseImage
	}
	if o.Refused == nil {
		o.Refused = func(string) {}
	}
	return &o
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

package transport

import (
	"errors"

	"github.com/barrage-im/barrage/protocol"
)

// streamParser cuts frames from a byte stream.
type streamParser struct {
	// rest is the beginning of a frame, as much as was received. Its capacity
	// grows with what comes, not with the length that the client announced.
	rest []byte
}

func (p *streamParser) partial() bool { return len(p.rest) > 0 }

func (p *streamParser) feed(c *conn, b []byte) error {
	whole := len(p.rest) == 0
	if !whole {
		p.rest = append(p.rest, b...)
		b = p.rest
	}
	b, err := deliverFrames(c, b)
	switch {
	case err != nil:
		return err
	case len(b) == 0:
		p.rest = nil
	case whole:
		p.rest = append([]byte(nil), b...)
	default:
		p.rest = p.rest[:copy(p.rest, b)]
	}
	return nil
}

// deliverFrames gives the handler every whole frame of b and returns the rest.
func deliverFrames(c *conn, b []byte) ([]byte, error) {
	for len(b) > 0 {
		frame, rest, err := protocol.NextFrame(b, c.opts.MaxFrame)
		if err != nil {
			var cause *protocol.Error
			errors.As(err, &cause)
			return nil, &fault{cause: cause}
		}
		if frame == nil {
			return b, nil
		}
		if err := c.deliver(frame); err != nil {
			return nil, err
		}
		b = rest
	}
	return nil, nil
}

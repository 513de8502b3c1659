package transport

import (
	"bytes"
	"encoding/binary"
	"time"
	"unicode/utf8"

	"github.com/barrage-im/barrage/protocol"
)

// WebSocket close codes of RFC 6455, section 7.4.1, for breaches that no code
// of ours names better.
const (
	statusNormal      = 1000
	statusProtocol    = 1002
	statusInvalidUTF8 = 1007
)

// maxWSHeader is the longest header of a frame from a client.
const maxWSHeader = 2 + 8 + 4

// wsParser cuts messages from a WebSocket stream and frames from messages. It
// takes the stream in whatever pieces it comes and copies only what a piece's
// end cuts through.
type wsParser struct {
	opcode byte // of the message in progress; 0 between messages
	head   [maxWSHeader]byte
	headN  uint8 // bytes of head received

	inPayload bool
	frame     wsFrame
	left      int // payload bytes of frame that are still to come
	at        int // payload bytes of frame that have come

	message   []byte // payload of the message so far, unmasked
	control   []byte // the same of a control frame, which may come between fragments
	fragments int

	controls int // control frames since window
	window   time.Time
}

type wsFrame struct {
	fin    bool
	opcode byte
	mask   [4]byte
}

func (p *wsParser) partial() bool { return p.opcode != 0 || p.headN > 0 || p.inPayload }

func (p *wsParser) feed(c *conn, b []byte) error {
	for len(b) > 0 {
		// A frame without payload ends with its header.
		if !p.inPayload {
			n, done, err := p.header(b, c.opts)
			if err != nil {
				return err
			}
			b = b[n:]
			if !done {
				return nil
			}
		}
		n := min(len(b), p.left)
		piece := b[:n]
		unmask(piece, p.frame.mask, p.at)
		b, p.left, p.at = b[n:], p.left-n, p.at+n
		if err := p.payload(c, piece); err != nil {
			return err
		}
	}
	return nil
}

// header takes a frame's header, or the part of it that b has. When it is
// complete the frame's payload, which may be empty, follows.
func (p *wsParser) header(b []byte, o *Options) (taken int, done bool, err error) {
	for taken < len(b) {
		p.head[p.headN] = b[taken]
		p.headN++
		taken++
		if p.headN < 2 {
			continue
		}
		if p.headN == 2 {
			if err := p.checkStart(); err != nil {
				return taken, false, err
			}
		}
		if int(p.headN) < p.headerSize() {
			continue
		}
		if err := p.begin(o); err != nil {
			return taken, false, err
		}
		return taken, true, nil
	}
	return taken, false, nil
}

func (p *wsParser) headerSize() int {
	switch p.head[1] &^ maskBit {
	case 126:
		return 2 + 2 + 4
	case 127:
		return 2 + 8 + 4
	default:
		return 2 + 4
	}
}

// checkStart checks the first two bytes: everything but the length proper.
func (p *wsParser) checkStart() error {
	fin, opcode, size := p.head[0]&finBit != 0, p.head[0]&0x0f, p.head[1]&^maskBit
	switch {
	case p.head[0]&0x70 != 0:
		return wsFault("a reserved bit is set without an extension")
	case p.head[1]&maskBit == 0:
		return wsFault("a frame from a client must be masked")
	}
	switch opcode {
	case opContinuation:
		if p.opcode == 0 {
			return wsFault("a continuation without a message")
		}
	case opText, opBinary:
		if p.opcode != 0 {
			return wsFault("a message inside a fragmented message")
		}
	case opClose, opPing, opPong:
		if !fin || size > 125 {
			return wsFault("a control frame must be whole and have at most 125 bytes")
		}
	default:
		return wsFault("a reserved opcode")
	}
	return nil
}

// begin checks a complete header and starts the frame's payload.
func (p *wsParser) begin(o *Options) error {
	size := uint64(p.head[1] &^ maskBit)
	switch size {
	case 126:
		size = uint64(binary.BigEndian.Uint16(p.head[2:]))
	case 127:
		size = binary.BigEndian.Uint64(p.head[2:])
		if size>>63 != 0 {
			return wsFault("the length's top bit is set")
		}
	}
	f := wsFrame{fin: p.head[0]&finBit != 0, opcode: p.head[0] & 0x0f}
	copy(f.mask[:], p.head[p.headN-4:p.headN])
	p.headN = 0
	if f.opcode < opClose {
		// The message may be as large as the largest frame with its length.
		if limit := uint64(o.MaxFrame + 3); size > limit || uint64(len(p.message))+size > limit {
			return broken(protocol.CloseTooLarge, 0, "the WebSocket message is larger than the frame limit")
		}
		if p.fragments++; p.fragments > o.MaxFragments {
			return wsFault("too many fragments in one message")
		}
		if f.opcode != opContinuation {
			p.opcode = f.opcode
		}
	}
	p.frame, p.left, p.at, p.inPayload = f, int(size), 0, true
	return nil
}

// payload takes the next unmasked bytes of the frame, and ends it at its last.
func (p *wsParser) payload(c *conn, piece []byte) error {
	f := p.frame
	if f.opcode >= opClose {
		if p.left > 0 || len(p.control) > 0 {
			p.control = append(p.control, piece...)
			piece = p.control
		}
		if p.left > 0 {
			return nil
		}
		p.inPayload, p.control = false, nil
		return p.onControl(c, piece)
	}
	ends := p.left == 0 && f.fin
	if !ends || len(p.message) > 0 {
		p.message = append(p.message, piece...)
		piece = p.message
	}
	p.inPayload = p.left > 0
	if !ends {
		return nil
	}
	opcode := p.opcode
	p.message, p.opcode, p.fragments = nil, 0, 0
	return onMessage(c, opcode, piece)
}

// onMessage cuts a message into frames.
func onMessage(c *conn, opcode byte, b []byte) error {
	if c.info.Format == WSText {
		if opcode != opText {
			return broken(protocol.CloseWrongEncoding, 0, "barrage.v1.json is sent in text messages")
		}
		return deliverLines(c, b)
	}
	if opcode != opBinary {
		return broken(protocol.CloseWrongEncoding, 0, "barrage.v1.proto is sent in binary messages")
	}
	rest, err := deliverFrames(c, b)
	if err == nil && len(rest) > 0 {
		err = broken(protocol.CloseMalformed, 0, "a WebSocket message must end where a frame ends")
	}
	return err
}

// deliverLines gives the handler every line that holds something.
func deliverLines(c *conn, b []byte) error {
	if !utf8.Valid(b) {
		return broken(protocol.CloseMalformed, statusInvalidUTF8, "a text message must be valid UTF-8")
	}
	for len(b) > 0 {
		line, rest, _ := bytes.Cut(b, []byte{'\n'})
		b = rest
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if err := c.deliver(line); err != nil {
			return err
		}
	}
	return nil
}

func (p *wsParser) onControl(c *conn, payload []byte) error {
	now := time.Now()
	if now.Sub(p.window) > ControlWindow {
		p.window, p.controls = now, 0
	}
	if p.controls++; p.controls > c.opts.MaxControl {
		return broken(protocol.CloseFlood, 0, "too many WebSocket pings")
	}
	switch p.frame.opcode {
	case opPing:
		c.sendPong(payload)
	case opClose:
		if !validClose(payload) {
			return wsFault("a bad close frame")
		}
		return errPeerClosed
	}
	return nil
}

// validClose checks a close frame's payload by RFC 6455, section 7.4.
func validClose(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	if len(b) < 2 || !utf8.Valid(b[2:]) {
		return false
	}
	status := binary.BigEndian.Uint16(b)
	return status >= 3000 && status <= 4999 || status >= 1000 && status <= 1014 && (status < 1004 || status > 1006)
}

func wsFault(message string) *fault {
	return broken(protocol.CloseMalformed, statusProtocol, message)
}

// unmask undoes the mask on b, which begins at bytes into the payload.
func unmask(b []byte, mask [4]byte, at int) {
	var key [4]byte
	for i := range key {
		key[i] = mask[(at+i)&3]
	}
	wide := uint64(binary.LittleEndian.Uint32(key[:]))
	wide |= wide << 32
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= key[i&3]
	}
}

package lean

import (
	"bufio"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// WebSocket opcodes (RFC 6455, section 5.2).
const (
	opContinuation = 0x0
	OpText         = 0x1
	OpBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

// maxMessage bounds a WebSocket frame from a server, in bytes. Above it we have
// lost the framing.
const maxMessage = 16 << 20

// ErrServerClosed: the server sent a WebSocket close frame; the text has its
// code.
var ErrServerClosed = errors.New("server closed")

const handshakeTimeout = 30 * time.Second

// Upgrade turns a connection into a WebSocket (RFC 6455, section 4.1). It
// returns what the server had sent behind its answer.
func Upgrade(nc net.Conn, target *url.URL, subprotocol string) ([]byte, error) {
	if err := nc.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, err
	}
	defer nc.SetDeadline(time.Time{}) //nolint:errcheck // a dead connection shows at the next read
	var nonce [16]byte
	rand.Read(nonce[:]) // never fails
	key := base64.StdEncoding.EncodeToString(nonce[:])
	path := target.RequestURI()
	request := "GET " + path + " HTTP/1.1\r\nHost: " + target.Host +
		"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + "\r\n"
	if subprotocol != "" {
		request += "Sec-WebSocket-Protocol: " + subprotocol + "\r\n"
	}
	if _, err := nc.Write([]byte(request + "\r\n")); err != nil {
		return nil, fmt.Errorf("send upgrade: %w", err)
	}
	reader := bufio.NewReader(nc)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return nil, fmt.Errorf("read upgrade: %w", err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("upgrade refused: %s", response.Status)
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	if response.Header.Get("Sec-WebSocket-Accept") != base64.StdEncoding.EncodeToString(sum[:]) {
		return nil, errors.New("upgrade answered with a wrong accept key")
	}
	if got := response.Header.Get("Sec-WebSocket-Protocol"); !strings.EqualFold(got, subprotocol) {
		return nil, fmt.Errorf("server chose subprotocol %q, not %q", got, subprotocol)
	}
	rest := make([]byte, reader.Buffered())
	_, err = reader.Read(rest)
	if len(rest) == 0 {
		return nil, nil
	}
	return rest, err
}

// AppendFrame appends a client's frame. The masking key is 0, which is allowed
// and leaves the payload as it is.
func AppendFrame(dst []byte, op byte, payload []byte) []byte {
	dst = append(dst, 0x80|op)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x80|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(n))
	}
	return append(append(dst, 0, 0, 0, 0), payload...)
}

// ParseFrame finds the first frame of data. Its size is 0 when data does not
// hold all of it yet.
func ParseFrame(data []byte) (op byte, payload []byte, size int, err error) {
	if len(data) < 2 {
		return 0, nil, 0, nil
	}
	op = data[0] & 0x0f
	head, n := 2, uint64(data[1]&0x7f)
	if data[1]&0x80 != 0 {
		return 0, nil, 0, errors.New("masked frame from a server")
	}
	switch n {
	case 126:
		if len(data) < 4 {
			return 0, nil, 0, nil
		}
		head, n = 4, uint64(binary.BigEndian.Uint16(data[2:]))
	case 127:
		if len(data) < 10 {
			return 0, nil, 0, nil
		}
		head, n = 10, binary.BigEndian.Uint64(data[2:])
	}
	if n > maxMessage {
		return 0, nil, 0, fmt.Errorf("websocket frame of %d bytes", n)
	}
	size = head + int(n)
	if len(data) < size {
		return 0, nil, 0, nil
	}
	return op, data[head:size], size, nil
}

// Messages calls each with the payload of every whole data frame at the front
// of data, answers pings through write, and returns the bytes used. Fragments
// are given as they come: a unit that spans them is the caller's to join.
func Messages(data []byte, write func([]byte) error, each func(payload []byte) error) (int, error) {
	used := 0
	for {
		op, payload, size, err := ParseFrame(data[used:])
		if err != nil || size == 0 {
			return used, err
		}
		used += size
		switch op {
		case OpText, OpBinary, opContinuation:
			err = each(payload)
		case opPing:
			err = write(AppendFrame(nil, opPong, payload))
		case opClose:
			code, text := uint16(1005), ""
			if len(payload) >= 2 {
				code, text = binary.BigEndian.Uint16(payload), string(payload[2:])
			}
			err = fmt.Errorf("%w: %d %s", ErrServerClosed, code, text)
		}
		if err != nil {
			return used, err
		}
	}
}

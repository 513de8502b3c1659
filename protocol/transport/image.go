package transport

import (
	"bytes"
	"encoding/binary"

	"github.com/barrage-im/barrage/protocol"
)

// Opcodes of RFC 6455, section 5.2.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xa

	finBit  = 0x80
	maskBit = 0x80
)

// ImageOverhead bounds what AppendImage adds to the frames, in bytes.
const ImageOverhead = 10

// AppendImage appends frames, as the appenders of package protocol write them
// one after the other, in the envelope of the format: as they are on a stream,
// as one message on WebSocket. The bytes appended may be sent to every
// connection of this format.
func (f Format) AppendImage(dst, frames []byte) []byte {
	switch f {
	case Stream, NumFormats:
	case WSBinary:
		dst = appendWSHeader(dst, opBinary, len(frames))
	case WSText:
		frames = bytes.TrimSuffix(frames, []byte{'\n'})
		dst = appendWSHeader(dst, opText, len(frames))
	}
	return append(dst, frames...)
}

// appendWSHeader appends the header of an unmasked, unfragmented frame.
func appendWSHeader(dst []byte, opcode byte, size int) []byte {
	dst = append(dst, finBit|opcode)
	switch {
	case size < 126:
		return append(dst, byte(size))
	case size < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, 126), uint16(size))
	default:
		return binary.BigEndian.AppendUint64(append(dst, 127), uint64(size))
	}
}

// CloseImage is the image of a close frame for err, to be given to CloseWith.
func (f Format) CloseImage(err *protocol.Error) []byte {
	return f.AppendImage(nil, protocol.AppendClose(nil, f.Encoding(), err))
}

// appendWSClose appends a WebSocket close frame.
func appendWSClose(dst []byte, status uint16, reason string) []byte {
	reason = reason[:min(len(reason), 123)]
	dst = appendWSHeader(dst, opClose, 2+len(reason))
	dst = binary.BigEndian.AppendUint16(dst, status)
	return append(dst, reason...)
}

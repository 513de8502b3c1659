//go:build !unix

package transport

import (
	"errors"
	"net"
	"syscall"
)

// Elsewhere every connection is read into a buffer of its own and written by a
// goroutine, like TLS.

func rawConn(net.Conn) syscall.RawConn { return nil }

type rawWrite struct{}

func (*rawWrite) write(syscall.RawConn, []byte) (int, error) { return 0, errors.ErrUnsupported }

type rawRead struct{}

func (*rawRead) read(syscall.RawConn) ([]byte, error) { return nil, errors.ErrUnsupported }
func (*rawRead) done()                                {}

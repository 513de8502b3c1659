//go:build unix

package transport

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
)

// rawConn returns the socket below nc if bytes may go to it directly.
func rawConn(nc net.Conn) syscall.RawConn {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// rawWrite is one write(2) that does not wait. The callback is made once for
// each connection, so that a write allocates nothing.
type rawWrite struct {
	call func(fd uintptr) bool
	b    []byte
	n    int
	err  error
}

// write returns how much the socket took, which may be nothing.
func (w *rawWrite) write(raw syscall.RawConn, b []byte) (int, error) {
	if w.call == nil {
		w.call = w.once
	}
	w.b, w.n, w.err = b, 0, nil
	err := raw.Write(w.call)
	w.b = nil
	if err == nil {
		err = w.err
	}
	return w.n, err
}

func (w *rawWrite) once(fd uintptr) bool {
	for {
		n, err := syscall.Write(int(fd), w.b)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
		case err != nil:
			w.err = err
		default:
			w.n = n
		}
		return true
	}
}

// readBuffers hold what was just read until it has been parsed. A connection
// that waits has none.
var readBuffers = sync.Pool{New: func() any { return new([16 << 10]byte) }}

// rawRead waits for bytes without holding a buffer.
type rawRead struct {
	call func(fd uintptr) bool
	buf  *[16 << 10]byte
	n    int
	err  error
}

// read returns the next bytes; done gives them back.
func (r *rawRead) read(raw syscall.RawConn) ([]byte, error) {
	if r.call == nil {
		r.call = r.once
	}
	r.n, r.err = 0, nil
	if err := raw.Read(r.call); err != nil {
		return nil, err
	}
	if r.err != nil {
		return nil, r.err
	}
	return r.buf[:r.n], nil
}

func (r *rawRead) done() {
	if r.buf != nil {
		readBuffers.Put(r.buf)
		r.buf = nil
	}
}

func (r *rawRead) once(fd uintptr) bool {
	r.buf = readBuffers.Get().(*[16 << 10]byte)
	for {
		n, err := syscall.Read(int(fd), r.buf[:])
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			r.done()
			return false
		case err != nil:
			r.err = err
		case n == 0:
			r.err = io.EOF
		}
		r.n = n
		if r.err != nil {
			r.done()
		}
		return true
	}
}

package lean

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

// poller reads plain TCP connections by epoll, level-triggered, in one
// goroutine. Descriptors are duplicated out of the runtime's own poller, which
// would otherwise be woken for each of them as well.
type poller struct {
	epoll int
	wake  int // eventfd that ends run

	mu    sync.Mutex // guards conns
	conns map[int32]*Conn
}

func (p *poller) open() error {
	var err error
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("create epoll: %w", err)
	}
	if p.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		unix.Close(p.epoll)
		return fmt.Errorf("create eventfd: %w", err)
	}
	p.conns = make(map[int32]*Conn)
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(p.wake)}
	return unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, p.wake, &event)
}

func (p *poller) add(c *Conn, nc net.Conn) (bool, error) {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return false, nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return false, nil // not backed by a descriptor: the portable way
	}
	fd := -1
	if cerr := raw.Control(func(s uintptr) {
		fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0)
	}); cerr != nil {
		err = cerr
	}
	nc.Close()
	if err != nil {
		return false, fmt.Errorf("duplicate descriptor: %w", err)
	}
	c.net = &descriptor{fd: fd}
	// EPOLLOUT is ready at once, and once: it makes the loop look at the bytes
	// that had been read before.
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: int32(fd)}
	if len(c.rest) > 0 {
		event.Events |= unix.EPOLLOUT
	}
	p.mu.Lock() // from here on c belongs to the loop
	p.conns[int32(fd)] = c
	p.mu.Unlock()
	if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		p.mu.Lock()
		delete(p.conns, int32(fd))
		p.mu.Unlock()
		unix.Close(fd)
		return false, fmt.Errorf("watch descriptor: %w", err)
	}
	return true, nil
}

func (p *poller) stop() {
	one := [8]byte{1}
	unix.Write(p.wake, one[:]) //nolint:errcheck // an eventfd with room for 2^64-2 cannot refuse
}

// run ends when stop was called and the last connection is gone.
func (p *poller) run(l *Loop) {
	defer unix.Close(p.epoll)
	defer unix.Close(p.wake)
	events := make([]unix.EpollEvent, 256)
	buffer := make([]byte, readBuffer)
	stopping := false
	for {
		n, err := unix.EpollWait(p.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			panic(fmt.Sprintf("lean: epoll_wait: %v", err)) // only a bad descriptor or address: our own mistake
		}
		for _, event := range events[:max(n, 0)] {
			if event.Fd == int32(p.wake) {
				var drop [8]byte
				unix.Read(p.wake, drop[:]) //nolint:errcheck // only resets the counter
				stopping = true
				continue
			}
			p.ready(l, event, buffer)
		}
		if stopping && p.empty() {
			return
		}
	}
}

func (p *poller) empty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns) == 0
}

func (p *poller) ready(l *Loop, event unix.EpollEvent, buffer []byte) {
	p.mu.Lock()
	c := p.conns[event.Fd]
	p.mu.Unlock()
	fd := int(event.Fd)
	if event.Events&unix.EPOLLOUT != 0 {
		rearm := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: event.Fd}
		if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_MOD, fd, &rearm); err != nil {
			p.drop(l, c, fd, err)
			return
		}
		if err := c.feed(nil); err != nil {
			p.drop(l, c, fd, err)
			return
		}
	}
	n, err := unix.Read(fd, buffer)
	switch {
	case n > 0:
		if err := c.feed(buffer[:n]); err != nil {
			p.drop(l, c, fd, err)
		}
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
	case err != nil:
		p.drop(l, c, fd, err)
	default:
		p.drop(l, c, fd, io.EOF)
	}
}

func (p *poller) drop(l *Loop, c *Conn, fd int, err error) {
	p.mu.Lock()
	delete(p.conns, int32(fd))
	p.mu.Unlock()
	unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, fd, nil) //nolint:errcheck // closed in the next line anyway
	c.net.(*descriptor).close()
	l.forget(c)
	c.closed(err)
}

// descriptor is a socket that one goroutine closes while others may still want
// to write to it.
type descriptor struct {
	mu sync.Mutex // guards fd, so that its number cannot be somebody else's meanwhile
	fd int        // -1 once closed
}

func (d *descriptor) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd < 0 {
		return 0, net.ErrClosed
	}
	n, err := unix.Write(d.fd, b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return n, err
}

// Shutdown leaves the closing to the loop, which then sees the end.
func (d *descriptor) Shutdown() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd >= 0 {
		unix.Shutdown(d.fd, unix.SHUT_RDWR) //nolint:errcheck // gone already is as good
	}
}

func (d *descriptor) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	unix.Close(d.fd)
	d.fd = -1
}

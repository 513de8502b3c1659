package dev

import (
	"context"
	"net"
	"sync"
	"time"
)

const (
	// chunk is what a link reads at a time, in bytes.
	chunk = 64 << 10
	// inFlight bounds the chunks of one direction on their way, so that a link
	// holds at most 4 MiB a direction: 100 MB/s at 40 ms. Beyond, the sender
	// waits, as it does on a real line.
	inFlight = 64
)

// A wan delays what regions say to one another, and keeps its order. It limits
// nothing else.
type wan struct {
	delay time.Duration

	wg sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	region map[string]string
	ends   map[net.Conn]struct{}
	closed bool
}

func newWAN(delay time.Duration) *wan {
	return &wan{delay: delay, region: map[string]string{}, ends: map[net.Conn]struct{}{}}
}

// place says in which region an address stands.
func (w *wan) place(address, region string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.region[address] = region
}

// dialer is for processes of one region: connections to others are delayed.
func (w *wan) dialer(region string) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, address string) (net.Conn, error) {
		far, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		w.mu.Lock()
		local := w.region[address] == region
		w.mu.Unlock()
		if local || w.delay == 0 {
			return far, nil
		}
		return w.link(far), nil
	}
}

// link returns the near end of a long line to far.
func (w *wan) link(far net.Conn) net.Conn {
	near, end := net.Pipe()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		far.Close()
		end.Close()
		return near
	}
	w.ends[far], w.ends[end] = struct{}{}, struct{}{}
	w.wg.Go(func() { w.carry(end, far) })
	w.wg.Go(func() { w.carry(far, end) })
	return addressed{near, far}
}

// addressed is a pipe that says whom it leads to.
type addressed struct {
	net.Conn
	far net.Conn
}

func (a addressed) LocalAddr() net.Addr  { return a.far.LocalAddr() }
func (a addressed) RemoteAddr() net.Addr { return a.far.RemoteAddr() }

type parcel struct {
	data []byte
	due  time.Time
}

// carry takes what comes from one end to the other, w.delay later, until either
// is closed; then it closes both.
func (w *wan) carry(from, to net.Conn) {
	parcels := make(chan parcel, inFlight)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(parcels)
		for {
			buffer := make([]byte, chunk)
			n, err := from.Read(buffer)
			if n > 0 {
				parcels <- parcel{buffer[:n:n], time.Now().Add(w.delay)}
			}
			if err != nil {
				return
			}
		}
	})
	broken := false
	for p := range parcels {
		if broken {
			continue // the reader must not hang on a full channel
		}
		time.Sleep(time.Until(p.due))
		if _, err := to.Write(p.data); err != nil {
			broken = true
			from.Close()
		}
	}
	reader.Wait()
	from.Close()
	to.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.ends, from)
	delete(w.ends, to)
}

// close cuts every line and waits for what they had started.
func (w *wan) close() {
	w.mu.Lock()
	w.closed = true
	for end := range w.ends {
		end.Close()
	}
	w.mu.Unlock()
	w.wg.Wait()
}

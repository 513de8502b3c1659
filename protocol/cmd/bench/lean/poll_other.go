//go:build !linux

package lean

import "net"

// poller takes nothing here: every connection is read the portable way.
type poller struct{ done chan struct{} }

func (p *poller) open() error {
	p.done = make(chan struct{})
	return nil
}

func (p *poller) add(*Conn, net.Conn) (bool, error) { return false, nil }
func (p *poller) run(*Loop)                         { <-p.done }
func (p *poller) stop()                             { close(p.done) }

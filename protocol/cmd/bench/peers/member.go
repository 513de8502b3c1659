package main

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/barrage-im/barrage/protocol/cmd/bench/lean"
	"github.com/barrage-im/barrage/protocol/cmd/bench/ledger"
)

// A dialect is what differs between the peers' WebSocket protocols as far as
// the generator cares: messages are found by their markers.
type dialect struct {
	subprotocol string
	op          byte
	hello       []byte // what to send to be a member of the room
	ready       []byte // found in what arrives once the member is in
	ping, pong  []byte // an answer that the server wants, if it asks
	publish     func(dst, text []byte) []byte
}

// member is one connection that listens.
type member struct {
	d     dialect
	track *ledger.Track // nil for a publisher
	batch []ledger.Delivery
	tail  []byte // the end of a payload that may be the beginning of a marker
	in    chan struct{}
	isIn  bool
	over  atomic.Bool // the end is our own doing
	lost  *atomic.Uint64
}

// Consume implements lean.Handler.
func (m *member) Consume(c *lean.Conn, data []byte) (int, error) {
	m.batch = m.batch[:0]
	used, err := lean.Messages(data, c.Write, func(payload []byte) error {
		if !m.isIn && bytes.Contains(payload, m.d.ready) {
			m.isIn = true
			close(m.in)
		}
		if len(m.d.ping) > 0 && bytes.HasPrefix(payload, m.d.ping) {
			if err := c.Write(lean.AppendFrame(nil, m.d.op, m.d.pong)); err != nil {
				return err
			}
		}
		m.scan(payload)
		return nil
	})
	if m.track != nil && len(m.batch) > 0 {
		m.track.Deliver(m.batch, ledger.Now())
	}
	return used, err
}

// scan looks for markers. A payload is a part of a stream, so a marker may
// begin in one and end in the next.
func (m *member) scan(payload []byte) {
	if len(m.tail) > 0 {
		payload = append(m.tail, payload...)
		m.tail = nil
	}
	for {
		i := bytes.IndexByte(payload, '~')
		if i < 0 {
			return
		}
		payload = payload[i:]
		if len(payload) < ledger.MarkerSize {
			m.tail = bytes.Clone(payload)
			return
		}
		if publisher, n, sent, ok := ledger.ParseMarker(payload); ok {
			m.batch = append(m.batch, ledger.Delivery{Publisher: publisher, N: n, Sent: sent})
			payload = payload[ledger.MarkerSize:]
		} else {
			payload = payload[1:]
		}
	}
}

// Closed implements lean.Handler.
func (m *member) Closed(error) {
	if !m.over.Load() {
		m.lost.Add(1)
	}
}

// fanout measures one publisher and o.members members at target.
func fanout(ctx context.Context, o options, target *url.URL, d dialect, servers []*process, result *Result) error {
	loop, err := lean.NewLoop()
	if err != nil {
		return err
	}
	defer loop.Close()
	l := ledger.New()
	id := l.Publisher(0)
	var lost atomic.Uint64
	members := make([]*member, o.members+1)
	for i := range members {
		members[i] = &member{d: d, in: make(chan struct{}), lost: &lost}
		if i > 0 {
			members[i].track = l.Member(0)
		}
	}
	defer func() {
		for _, m := range members {
			m.over.Store(true)
		}
	}()
	var publisher *lean.Conn
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i, m := range members {
		group.Go(func() error {
			nc, err := lean.Dialer{}.Dial(gctx, target, i)
			if err != nil {
				return err
			}
			rest, err := lean.Upgrade(nc, target, d.subprotocol)
			if err != nil {
				nc.Close()
				return err
			}
			c, err := loop.Add(nc, rest, m)
			if err != nil {
				return err
			}
			if i == 0 {
				publisher = c
			}
			if err := c.Write(lean.AppendFrame(nil, d.op, d.hello)); err != nil {
				return err
			}
			select {
			case <-m.in:
				return nil
			case <-gctx.Done():
				return gctx.Err()
			}
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("connect members: %w", err)
	}
	var failed error
	err = measure(ctx, o, l, servers, result, func(ctx context.Context) {
		ledger.Pace(ctx, o.rate, func(_ int, due int64) {
			n := l.Sent(id)
			text := ledger.AppendMessage(nil, id, n, due, o.size)
			if err := publisher.Write(lean.AppendFrame(nil, d.op, d.publish(nil, text))); err != nil {
				failed = err
				l.Refused(id, err.Error())
				return
			}
			// No acknowledgement in this protocol: what was sent is expected.
			l.Acked(id, n, due, ledger.Now())
		})
	})
	result.Rate, result.CPUPerAck = o.rate, 0
	if n := lost.Load(); n > 0 {
		result.Problems = append(result.Problems, fmt.Sprintf("%d connections ended by themselves", n))
	}
	if failed != nil {
		return fmt.Errorf("publish: %w", failed)
	}
	return err
}

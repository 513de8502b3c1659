package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
	"unicode/utf8"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/wire"
)

// laneTurn is how many publishes a lane sends before another lane's turn.
const laneTurn = 32

// maxHold bounds the growth of the wait after temporary refusals that name none.
const maxHold = 2 * time.Second

// A publish is one message on its way.
type publish struct {
	// Set at the call, never changed.
	lane     *lane
	msg      Message
	deadline time.Time
	callback func(Ack, error) // nil: somebody waits for answered
	answered chan struct{}

	// Guarded by Client.mu until done, then never changed.
	id      uint64 // frame of the latest attempt
	order   uint64 // of that attempt; 0 while unsent
	open    int    // attempts on the current link without an answer
	lost    bool   // an earlier attempt's outcome is unknown
	refusal error  // the last temporary one
	done    bool   // ack or err is the verdict
	ack     Ack
	err     error
}

// A lane is the queue of publishes to one room. What was sent on the current
// link is queue[head:sent], by ascending order; what follows waits.
type lane struct {
	room       string
	queue      []*publish
	head, sent int
	order      uint64    // last one given on the current link
	hold       time.Time // nothing is sent before
	refusals   int       // temporary ones in a row
	open       int       // attempts on the current link without an answer
	window     int       // most of them; 0: as many as the server allows
	threshold  int       // window grows fast below, slowly above
	grown      int       // acknowledgements since it grew
	listed     bool      // in Client.sendable
}

// Publish sends a message to a room, joined or not, and waits for the verdict:
// an Ack, a *protocol.Error, or an error that is ErrOutcomeUnknown or
// ErrNotSent. When ctx ends the publish is given up, not recalled.
func (c *Client) Publish(ctx context.Context, room string, m Message) (Ack, error) {
	var p *publish
	for {
		var full <-chan struct{}
		var err error
		if p, full, err = c.enqueue(room, m, nil); err != nil {
			return Ack{}, fmt.Errorf("publish to %s: %w", room, err)
		}
		if p != nil {
			break
		}
		select {
		case <-full:
		case <-c.closed:
		case <-ctx.Done():
			return Ack{}, fmt.Errorf("publish to %s: %w: %w", room, ErrNotSent, ctx.Err())
		}
	}
	select {
	case <-p.answered:
	case <-ctx.Done():
		c.mu.Lock()
		c.finishLocked(p, Ack{}, p.giveUp(ctx.Err()))
		c.mu.Unlock()
	}
	if p.err != nil {
		return Ack{}, fmt.Errorf("publish to %s: %w", room, p.err)
	}
	return p.ack, nil
}

// PublishAsync is Publish without waiting: callback gets the verdict, with the
// other callbacks (see Events). It fails at once with ErrFull when
// Config.MaxPending publishes wait, with ErrClosed, or when the message cannot
// be sent at all; callback is not called then. Publishes of one client to one
// room keep the order of the calls.
func (c *Client) PublishAsync(room string, m Message, callback func(Ack, error)) error {
	if callback == nil {
		callback = func(Ack, error) {}
	}
	p, _, err := c.enqueue(room, m, callback)
	if err == nil && p == nil {
		err = ErrFull
	}
	if err != nil {
		return fmt.Errorf("publish to %s: %w", room, err)
	}
	return nil
}

// enqueue puts a publish into its lane, or returns a channel that is closed
// when there may be room.
func (c *Client) enqueue(room string, m Message, callback func(Ack, error)) (*publish, <-chan struct{}, error) {
	if err := checkRoom(room); err != nil {
		return nil, nil, err
	}
	if !utf8.ValidString(m.Key) || !utf8.ValidString(m.Kind) || !utf8.ValidString(m.Text) {
		return nil, nil, protocol.Errorf(protocol.BadArgument, "key, kind and text must be UTF-8; send bytes as data")
	}
	if len(m.Text)+len(m.Data) > protocol.MaxMessage {
		return nil, nil, protocol.Errorf(protocol.TooLarge, "text and data are %d bytes; the limit is %d", len(m.Text)+len(m.Data), protocol.MaxMessage)
	}
	if len(m.Key) > protocol.MaxKey {
		return nil, nil, protocol.Errorf(protocol.BadKey, "the key is %d bytes long; the limit is %d", len(m.Key), protocol.MaxKey)
	}
	if m.Key == "" {
		m.Key = randomKey()
	}
	p := &publish{msg: m, callback: callback, deadline: time.Now().Add(c.cfg.PublishTimeout)}
	if callback == nil {
		p.answered = make(chan struct{})
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrNotSent, c.err)
	}
	if c.pending >= c.cfg.MaxPending {
		if c.space == nil {
			c.space = make(chan struct{})
		}
		return nil, c.space, nil
	}
	ln := c.lanes[room]
	if ln == nil {
		ln = &lane{room: room}
		c.lanes[room] = ln
	}
	p.lane = ln
	ln.queue = append(ln.queue, p)
	c.pending++
	c.ages.add(p, c.pending)
	if c.alarm.IsZero() || p.deadline.Before(c.alarm) {
		c.wake()
	}
	c.listLocked(ln)
	c.pumpLocked()
	return p, nil, nil
}

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// randomKey is 128 random bits in base 62.
func randomKey() string {
	var key [22]byte
	for half := range 2 {
		v := rand.Uint64()
		for i := range 11 {
			key[half*11+i] = base62[v%62]
			v /= 62
		}
	}
	return string(key[:])
}

func (c *Client) listLocked(ln *lane) {
	if !ln.listed && ln.sent < len(ln.queue) && ln.hold.IsZero() && !ln.full() {
		ln.listed = true
		c.sendable = append(c.sendable, ln)
	}
}

// pumpLocked encodes what may be sent now. At the end of a move nothing is:
// publishes of one room must never travel on two connections at once.
func (c *Client) pumpLocked() {
	l := c.current
	if l == nil || c.draining || len(c.sendable) == 0 {
		return
	}
	now := time.Now()
	for len(c.sendable) > 0 && l.inFlight < l.info.Limits.Outstanding && len(l.out) < outBytes {
		ln := c.sendable[0]
		c.sendable = c.sendable[1:]
		ln.listed = false
		if !ln.hold.IsZero() {
			continue
		}
		for range laneTurn {
			if ln.sent == len(ln.queue) || l.inFlight >= l.info.Limits.Outstanding || ln.full() {
				break
			}
			p := ln.queue[ln.sent]
			ln.sent++
			if !p.done {
				c.sendPublishLocked(l, p, now)
			}
		}
		c.listLocked(ln)
	}
	if len(l.out) > 0 {
		l.flush()
	}
}

func (c *Client) sendPublishLocked(l *link, p *publish, now time.Time) {
	ln := p.lane
	left := max(p.deadline.Sub(now).Milliseconds(), 1)
	out := l.codec.appendPublish(l.out, l.lastID+1, ln.room, &p.msg, ln.order+1, uint32(left))
	if size := len(out) - len(l.out); size > l.frameBytes() {
		// JSON can make six bytes of one. A server would end the connection.
		c.finishLocked(p, Ack{}, p.verdict(protocol.Errorf(protocol.TooLarge, "encoded, the message takes %d bytes; the limit is %d", size, l.frameBytes())))
		return
	}
	l.out = out
	l.lastID++
	ln.order++
	p.id, p.order = l.lastID, ln.order
	p.open++
	ln.open++
	l.inFlight++
	l.answers[p.id] = answer{publish: p, order: p.order}
}

// publishedLocked takes the server's verdict on one attempt.
func (c *Client) publishedLocked(id uint64, a answer, f *wire.ServerFrame) {
	p := a.publish
	ln := p.lane
	p.open--
	ln.open--
	switch body := f.GetBody().(type) {
	case *wire.ServerFrame_Published:
		m := body.Published
		ln.refusals = 0
		ln.widen()
		c.finishLocked(p, Ack{
			Seq: m.GetSeq(), Epoch: m.GetEpoch(), Time: time.UnixMilli(m.GetTimeMs()), Survive: m.GetSurvive(),
			Duplicate: m.GetDuplicate(), Key: p.msg.Key,
		}, nil)
	case *wire.ServerFrame_Error:
		e := toError(body.Error)
		switch {
		case !e.Code.Temporary():
			c.finishLocked(p, Ack{}, p.verdict(e))
		case id == p.id && p.order != 0: // else a later attempt is on its way already
			if unknownAfter(e.Code) {
				p.lost = true
			}
			p.refusal = e
			c.refusedLocked(ln, a.order, e)
		}
	}
	ln.trim()
	c.listLocked(ln)
	if c.next != nil {
		c.promoteLocked(time.Now())
	}
}

// unknownAfter reports whether a temporary refusal leaves open what became of
// the message.
func unknownAfter(code protocol.Code) bool {
	return code == protocol.Timeout || code == protocol.Unavailable || code == protocol.Draining
}

// refusedLocked: the server refused order for now, and so refuses everything
// behind it. All of that becomes unsent, to be numbered again from order.
func (c *Client) refusedLocked(ln *lane, order uint64, e *protocol.Error) {
	first := ln.sent
	for first > ln.head && (ln.queue[first-1].order >= order || ln.queue[first-1].order == 0) {
		first--
		ln.queue[first].order = 0
	}
	ln.sent, ln.order = first, order-1
	ln.narrow()

	wait := time.Duration(e.RetryAfter) * time.Millisecond
	if wait <= 0 {
		wait = min(minRetryAfter<<min(ln.refusals, 8), maxHold)
	}
	ln.refusals++
	if ln.hold.IsZero() {
		c.held = append(c.held, ln)
	}
	ln.hold = time.Now().Add(c.jittered(wait))
	c.wake()
}

func (c *Client) unholdLocked(now time.Time) {
	kept := c.held[:0]
	for _, ln := range c.held {
		if ln.hold.After(now) {
			kept = append(kept, ln)
			continue
		}
		ln.hold = time.Time{}
		c.listLocked(ln)
	}
	clear(c.held[len(kept):])
	c.held = kept
	c.pumpLocked()
}

// unsendLocked: l is gone, and with it the answers to what it carried.
func (c *Client) unsendLocked(l *link) {
	for _, a := range l.answers {
		if p := a.publish; p != nil {
			p.lost, p.open = true, 0
		}
	}
	l.inFlight = 0
	for name, ln := range c.lanes {
		for _, p := range ln.queue[ln.head:ln.sent] {
			p.order = 0
		}
		ln.sent, ln.order, ln.open = ln.head, 0, 0
		ln.trim()
		if len(ln.queue) == 0 && ln.hold.IsZero() {
			delete(c.lanes, name)
		}
	}
}

// After a temporary refusal everything behind it is refused too, so a lane that
// is held back by a rate would send its whole queue again and again. It begins
// anew with one publish, and widens with every acknowledgement: fast up to half
// of where it failed, by one a round after that (as TCP does it).

func (ln *lane) full() bool { return ln.window > 0 && ln.open >= ln.window }

func (ln *lane) narrow() {
	reached := ln.window
	if reached == 0 {
		reached = max(ln.open, 1)
	}
	ln.window, ln.threshold, ln.grown = 1, max(reached/2, 1), 0
}

func (ln *lane) widen() {
	if ln.window == 0 {
		return
	}
	if ln.grown++; ln.window < ln.threshold || ln.grown >= ln.window {
		ln.window++
		ln.grown = 0
	}
	if ln.window > protocol.MaxOutstanding {
		ln.window = 0
	}
}

// restartLanesLocked lists what is unsent, after a change of links.
func (c *Client) restartLanesLocked() {
	for _, ln := range c.lanes {
		c.listLocked(ln)
	}
}

// trim forgets what is finished and no longer awaits an answer, at the head.
func (ln *lane) trim() {
	for ln.head < len(ln.queue) && ln.queue[ln.head].done && ln.queue[ln.head].open == 0 {
		ln.queue[ln.head] = nil
		ln.head++
	}
	ln.sent = max(ln.sent, ln.head)
	switch {
	case ln.head == len(ln.queue):
		ln.queue, ln.head, ln.sent = ln.queue[:0], 0, 0
	case ln.head > 64 && ln.head > len(ln.queue)/2:
		n := copy(ln.queue, ln.queue[ln.head:])
		clear(ln.queue[n:])
		ln.queue, ln.sent, ln.head = ln.queue[:n], ln.sent-ln.head, 0
	}
}

// finishLocked gives a publish its verdict, once.
func (c *Client) finishLocked(p *publish, ack Ack, err error) {
	if p.done {
		return
	}
	p.done, p.ack, p.err = true, ack, err
	c.pending--
	if c.space != nil {
		close(c.space)
		c.space = nil
	}
	if p.callback != nil {
		c.queue.push(event{publish: p})
	} else {
		close(p.answered)
	}
}

// verdict is the error for a permanent refusal: final only if no other attempt
// can have been accepted.
func (p *publish) verdict(e *protocol.Error) error {
	var err error = e
	if e.Code == protocol.Expired {
		err = fmt.Errorf("%w: %w", ErrTimeout, e)
	}
	if p.lost || p.open > 0 {
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	return err
}

// giveUp is the error for a publish that ends without a verdict.
func (p *publish) giveUp(reason error) error {
	if p.refusal != nil {
		reason = fmt.Errorf("%w; last refused with %w", reason, p.refusal)
	}
	if p.lost || p.open > 0 {
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, reason)
	}
	return fmt.Errorf("%w: %w", ErrNotSent, reason)
}

// expireLocked gives up what is past its deadline.
func (c *Client) expireLocked(now time.Time) {
	for {
		p := c.ages.expired(now)
		if p == nil {
			return
		}
		c.finishLocked(p, Ack{}, p.giveUp(ErrTimeout))
		p.lane.trim()
	}
}

// ages are publishes in the order of their deadlines, finished ones included
// until they are passed over.
type ages struct {
	list []*publish
	head int
}

// add appends p, sweeping the finished ones out when they outnumber pending.
func (a *ages) add(p *publish, pending int) {
	if len(a.list) >= 2*pending+64 {
		kept := a.list[:0]
		for _, q := range a.list[a.head:] {
			if !q.done {
				kept = append(kept, q)
			}
		}
		clear(a.list[len(kept):])
		a.list, a.head = kept, 0
	}
	a.list = append(a.list, p)
}

// first is the earliest deadline, zero if there is none.
func (a *ages) first() time.Time {
	for ; a.head < len(a.list); a.head++ {
		if p := a.list[a.head]; !p.done {
			return p.deadline
		}
		a.list[a.head] = nil
	}
	a.list, a.head = a.list[:0], 0
	return time.Time{}
}

func (a *ages) expired(now time.Time) *publish {
	if at := a.first(); at.IsZero() || at.After(now) {
		return nil
	}
	return a.list[a.head]
}

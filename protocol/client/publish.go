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

// publishedLocked takes the server's verdict on one attempt.
func (c *Client) publishedLocked(f *wire.ServerFrame, a answer) {
	switch body := f.GetBody().(type) {
	case *wire.ServerFrame_Published:
		m := body.Published
		c.acceptedLocked(a, Ack{
			Seq: m.GetSeq(), Epoch: m.GetEpoch(), Time: time.UnixMilli(m.GetTimeMs()), Survive: m.GetSurvive(),
			Duplicate: m.GetDuplicate(), Key: a.publish.msg.Key, Verdict: m.GetVerdict(), Text: m.GetText(),
		})
	case *wire.ServerFrame_Error:
		c.deniedLocked(f.GetId(), a, toError(body.Error))
	default: // of a later version: the publish goes on until it expires
		a.closeLocked()
		c.settleLocked(a.publish.lane)
	}
}

func (c *Client) acceptedLocked(a answer, ack Ack) {
	p, ln := a.publish, a.publish.lane
	a.closeLocked()
	ln.refusals = 0
	ln.widen()
	c.finishLocked(p, ack, nil)
	c.settleLocked(ln)
}

func (c *Client) deniedLocked(id uint64, a answer, e *protocol.Error) {
	p, ln := a.publish, a.publish.lane
	a.closeLocked()
	switch {
	case !e.Code.Temporary():
		c.finishLocked(p, Ack{}, p.verdict(e))
	case id == p.id && p.order != 0: // else a later attempt is on its way already
		if unknownAfter(e.Code) {
			p.lost = true
		}
		if e.Code == protocol.RateLimited {
			c.limited++
		}
		p.refusal = e
		c.refusedLocked(ln, a.order, e)
	}
	c.settleLocked(ln)
}

// closeLocked: the attempt has its answer.
func (a answer) closeLocked() {
	a.publish.open--
	a.publish.lane.open--
}

// settleLocked lets a lane go on after an answer.
func (c *Client) settleLocked(ln *lane) {
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

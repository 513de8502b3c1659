package client

import (
	"errors"
	"fmt"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/wire"
)

const (
	// handshakeTimeout bounds dialling and the answer to connect.
	handshakeTimeout = 5 * time.Second
	// outBytes is how much may wait to be written before publishes wait in
	// their lanes instead.
	outBytes = 256 << 10
)

// A link is one connection that has been accepted by an edge. The reader and
// the writer goroutine own reading and writing; all fields that change are
// guarded by Client.mu.
type link struct {
	// Set by connect, never changed.
	conn      Conn
	codec     codec
	endpoint  string
	info      Info
	since     time.Time
	wakeWrite chan struct{}
	done      chan struct{} // closed when it is dropped

	ack protocol.Published // owned by the reader

	err      error    // why it ended; nil while it lives
	others   []string // endpoints named by connected
	lastID   uint64
	answers  map[uint64]answer
	inFlight int    // publishes among answers
	out      []byte // encoded, to be written
	heard    time.Time
	epoch    string        // of the last acknowledgement
	survive  string        // likewise
	beat     time.Duration // silence that the server allows itself, from its last heartbeat
	skew     time.Duration // our clock minus the server's
}

// answer is who waits for the reply to a command: one of them is set.
type answer struct {
	publish *publish
	order   uint64 // of publish
	call    *call
	room    *Room // a join
	since   bool  // the join named a position
	leaving bool  // it is not a join but a leave
}

// start starts the goroutines of an accepted link.
func (c *Client) startLocked(l *link) {
	c.wg.Go(func() { c.read(l) })
	c.wg.Go(func() { c.write(l) })
}

func (c *Client) read(l *link) {
	for {
		raw, err := l.conn.ReadFrame()
		if err != nil {
			c.drop(l, readError(err))
			return
		}
		if err := c.receive(l, raw); err != nil {
			c.drop(l, err)
			return
		}
		if c.queue.full() {
			c.queue.waitRoom()
			c.mu.Lock()
			l.heard = time.Now() // it was us who did not listen
			c.mu.Unlock()
		}
	}
}

// receive takes one frame from the server, undecoded.
func (c *Client) receive(l *link, raw []byte) error {
	if l.codec.enc == protocol.Proto && l.ack.Decode(raw) {
		return c.accepted(l, &l.ack)
	}
	f, err := l.codec.decode(raw)
	if err != nil {
		return err
	}
	return c.handle(l, f, len(raw))
}

// write sends whatever has gathered since the last write as one.
func (c *Client) write(l *link) {
	var spare []byte
	for {
		select {
		case <-l.wakeWrite:
		case <-l.done:
			return
		}
		for {
			c.mu.Lock()
			image := l.out
			l.out = spare[:0]
			c.mu.Unlock()
			if len(image) == 0 {
				spare = image
				break
			}
			if err := l.conn.WriteFrames(image); err != nil {
				c.drop(l, fmt.Errorf("write: %w", err))
				return
			}
			if spare = image; cap(spare) > 2*outBytes {
				spare = nil
			}
			c.mu.Lock()
			c.pumpLocked()
			c.mu.Unlock()
		}
	}
}

// sendLocked queues a command and remembers who waits for the reply.
func (c *Client) sendLocked(l *link, f *wire.ClientFrame, a answer) {
	if f.GetHeartbeatAck() == nil {
		l.lastID++
		f.Id = l.lastID
	}
	l.out = l.codec.append(l.out, f)
	if f.GetId() != 0 {
		l.answers[f.GetId()] = a
	}
	l.flush()
}

// frameBytes is the largest frame that may be sent.
func (l *link) frameBytes() int {
	if n := l.info.Limits.FrameBytes; n > 0 {
		return min(n, protocol.MaxClientFrame)
	}
	return protocol.MaxClientFrame
}

func (l *link) flush() {
	select {
	case l.wakeWrite <- struct{}{}:
	default:
	}
}

func (c *Client) drop(l *link, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLocked(l, err)
}

// dropLocked ends a link. What was under way on it is unanswered: publishes
// become unsent again, calls and joins are repeated on the next link.
func (c *Client) dropLocked(l *link, err error) {
	if l.err != nil {
		return
	}
	l.err = err
	close(l.done)
	c.wg.Go(func() { l.conn.Close() }) // may wait for a write under way
	c.lostLocked(l)
	c.wake()
}

var errSilent = errors.New("nothing heard from the server for longer than it said")

// silentAt is when the link is to be given up unless something is
// heard; zero when the server named no heartbeat.
func (l *link) silentAt() time.Time {
	if l.beat <= 0 {
		return time.Time{}
	}
	return l.heard.Add(l.beat + 2*l.info.HeartbeatTimeout)
}

// handle takes one frame from the server.
func (c *Client) handle(l *link, f *wire.ServerFrame, size int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	l.heard = time.Now()
	if f.GetId() != 0 {
		return c.replyLocked(l, f, size)
	}
	switch body := f.GetBody().(type) {
	case *wire.ServerFrame_Batch:
		return c.batchLocked(l, body.Batch, size)
	case *wire.ServerFrame_Gap:
		return c.gapLocked(l, body.Gap)
	case *wire.ServerFrame_Presence:
		c.presenceLocked(l, body.Presence)
	case *wire.ServerFrame_Room:
		c.roomStateLocked(l, body.Room)
	case *wire.ServerFrame_Sanction:
		c.sanctionLocked(l, body.Sanction)
	case *wire.ServerFrame_Heartbeat:
		if ms := body.Heartbeat.GetIntervalMs(); ms > 0 {
			l.beat = time.Duration(ms) * time.Millisecond
		}
		c.sendLocked(l, &wire.ClientFrame{Command: &wire.ClientFrame_HeartbeatAck{HeartbeatAck: &wire.HeartbeatAck{}}}, answer{})
	case *wire.ServerFrame_Reconnect:
		c.moveLocked(l, body.Reconnect)
	case *wire.ServerFrame_Close:
		return &closedError{hint: body.Close.GetReconnect(), Err: &protocol.Error{
			Code: protocol.Code(body.Close.GetCode()), Message: body.Close.GetMessage(),
		}}
	}
	return nil // a push of a later version
}

// accepted takes the server's acknowledgement of one attempt.
func (c *Client) accepted(l *link, m *protocol.Published) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	l.heard = time.Now()
	a, ok := l.answers[m.ID]
	if !ok || a.publish == nil {
		return nil // the asker has gone
	}
	delete(l.answers, m.ID)
	l.inFlight--
	if string(m.Epoch) != l.epoch {
		l.epoch = string(m.Epoch)
	}
	if string(m.Survive) != l.survive {
		l.survive = string(m.Survive)
	}
	c.acceptedLocked(a, Ack{
		Seq: m.Seq, Epoch: l.epoch, Time: time.UnixMilli(m.TimeMS), Survive: l.survive, Duplicate: m.Duplicate, Key: a.publish.msg.Key,
		Verdict: string(m.Verdict), Text: string(m.Text),
	})
	c.pumpLocked()
	return nil
}

func (c *Client) replyLocked(l *link, f *wire.ServerFrame, size int) error {
	a, ok := l.answers[f.GetId()]
	if !ok {
		return nil // the asker has gone
	}
	delete(l.answers, f.GetId())
	switch {
	case a.publish != nil:
		l.inFlight--
		c.publishedLocked(f, a)
		c.pumpLocked()
	case a.call != nil:
		if e := f.GetError(); e != nil {
			a.call.finish(nil, toError(e))
		} else {
			a.call.finish(f, nil)
		}
		delete(c.calls, a.call)
	case a.room != nil:
		return c.joinedLocked(l, a, f, size)
	}
	return nil
}

// readError recognises the close code of the connection itself (WebSocket). A
// frame that we could not read is malformed too, and no reason to give up: a
// server that means us says so in a close frame first.
func readError(err error) error {
	var closed *protocol.Error
	if errors.As(err, &closed) && closed.Code >= 4000 && closed.Code != protocol.CloseMalformed {
		return &closedError{Err: closed}
	}
	return fmt.Errorf("read: %w", err)
}

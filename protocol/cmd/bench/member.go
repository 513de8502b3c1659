package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/cmd/bench/lean"
	"github.com/barrage-im/barrage/protocol/cmd/bench/ledger"
	"github.com/barrage-im/barrage/protocol/wire"
)

// Field numbers of wire.proto that the hot path reads by hand: a batch holds
// messages, of which we need the seq and the text.
const (
	fieldBatch    = 16
	fieldMessages = 15
	fieldSeq      = 1
	fieldText     = 6
)

// A member is one lean connection in one room.
type member struct {
	run    *run
	number int
	room   string
	track  *ledger.Track

	batch []ledger.Delivery // scratch of Consume

	conn *lean.Conn // set by connect, one call at a time

	mu      sync.Mutex // guards the fields below
	session *session
}

// A session is one connection of a member, from its join to its end.
type session struct {
	m         *member
	websocket bool
	resumes   bool
	joined    bool          // Owned by Consume
	head      uint64        // to be live, all up to here must have arrived. Owned by Consume
	live      chan struct{} // closed when the member has caught up
	isLive    bool          // Owned by Consume
	ended     chan struct{} // closed after the last byte
	err       error         // why; set before ended is closed
	expected  atomic.Bool   // the end is our own doing
}

// connect opens a connection, joins, and waits until the member has everything
// up to the room's head.
func (m *member) connect(ctx context.Context) error {
	opt := &m.run.opt
	target := opt.servers[m.number%len(opt.servers)]
	nc, err := m.run.dialer.Dial(ctx, target, m.number)
	if err != nil {
		return err
	}
	var received []byte
	s := &session{m: m, live: make(chan struct{}), ended: make(chan struct{})}
	if s.websocket = target.Scheme == "ws" || target.Scheme == "wss"; s.websocket {
		if received, err = lean.Upgrade(nc, target, "barrage.v1.proto"); err != nil {
			nc.Close()
			return err
		}
	}
	token, err := m.run.tokens.issue(fmt.Sprintf("bench-m%d", m.number))
	if err != nil {
		nc.Close()
		return err
	}
	join := &wire.Join{Room: m.room}
	if epoch, seq := m.track.Position(); epoch != "" {
		s.resumes = true
		join.Epoch, join.Since = epoch, &seq
	}
	hello, err := s.frames(
		&wire.ClientFrame{Id: 1, Command: &wire.ClientFrame_Connect{Connect: &wire.Connect{Token: token, Client: "barrage-bench/1"}}},
		&wire.ClientFrame{Id: 2, Command: &wire.ClientFrame_Join{Join: join}},
	)
	if err != nil {
		nc.Close()
		return err
	}
	if _, err := nc.Write(hello); err != nil {
		nc.Close()
		return err
	}
	m.mu.Lock()
	m.session = s
	m.mu.Unlock()
	if m.conn, err = m.run.loop.Add(nc, received, s); err != nil {
		return err
	}
	select {
	case <-s.live:
		return nil
	case <-s.ended:
		return s.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cut ends the member's connection from our side and waits for its end.
func (m *member) cut() {
	m.mu.Lock()
	s := m.session
	m.mu.Unlock()
	s.expected.Store(true)
	m.conn.Cut()
	<-s.ended
}

func (s *session) frames(frames ...*wire.ClientFrame) ([]byte, error) {
	var out []byte
	for _, f := range frames {
		body, err := proto.Marshal(f)
		if err != nil {
			return nil, err
		}
		body = protocol.AppendFrame(nil, body)
		if s.websocket {
			body = lean.AppendFrame(nil, lean.OpBinary, body)
		}
		out = append(out, body...)
	}
	return out, nil
}

// Consume implements lean.Handler.
func (s *session) Consume(c *lean.Conn, data []byte) (int, error) {
	s.m.batch = s.m.batch[:0]
	var used int
	var err error
	if s.websocket {
		used, err = lean.Messages(data, c.Write, func(payload []byte) error {
			rest, err := s.stream(c, payload)
			if err == nil && len(rest) > 0 {
				err = errors.New("a WebSocket message ends inside a frame")
			}
			return err
		})
	} else {
		var rest []byte
		rest, err = s.stream(c, data)
		used = len(data) - len(rest)
	}
	if len(s.m.batch) > 0 {
		s.m.track.Deliver(s.m.batch, ledger.Now())
	}
	s.checkLive()
	return used, err
}

// stream handles the whole frames at the front of data.
func (s *session) stream(c *lean.Conn, data []byte) ([]byte, error) {
	for len(data) > 0 {
		frame, rest, err := protocol.NextFrame(data, protocol.MaxServerFrame)
		if err != nil || frame == nil {
			return data, err
		}
		data = rest
		num, typ, n := protowire.ConsumeTag(frame)
		if num == fieldBatch && typ == protowire.BytesType {
			err = s.deliver(frame[n:])
		} else {
			err = s.control(c, frame)
		}
		if err != nil {
			return data, err
		}
	}
	return nil, nil
}

var errBatch = errors.New("a batch that is not protobuf")

// deliver reads a batch by hand: most of what the generator does is here.
func (s *session) deliver(field []byte) error {
	batch, n := protowire.ConsumeBytes(field)
	if n < 0 {
		return errBatch
	}
	for len(batch) > 0 {
		num, typ, n := protowire.ConsumeTag(batch)
		if n < 0 {
			return errBatch
		}
		batch = batch[n:]
		if num != fieldMessages || typ != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(num, typ, batch); n < 0 {
				return errBatch
			}
			batch = batch[n:]
			continue
		}
		message, n := protowire.ConsumeBytes(batch)
		if n < 0 {
			return errBatch
		}
		batch = batch[n:]
		if err := s.message(message); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) message(m []byte) error {
	var d ledger.Delivery
	known := false
	for len(m) > 0 {
		num, typ, n := protowire.ConsumeTag(m)
		if n < 0 {
			return errBatch
		}
		m = m[n:]
		if n = protowire.ConsumeFieldValue(num, typ, m); n < 0 {
			return errBatch
		}
		switch num {
		case fieldSeq:
			d.Seq, _ = protowire.ConsumeVarint(m)
		case fieldText:
			text, _ := protowire.ConsumeBytes(m)
			d.Publisher, d.N, d.Sent, known = ledger.ParseMarker(text)
		default: // the generator has no use for the others
		}
		m = m[n:]
	}
	if !known {
		d.Publisher = -1 // somebody else's; its seq still counts
	}
	s.m.batch = append(s.m.batch, d)
	return nil
}

// control handles everything but batches.
func (s *session) control(c *lean.Conn, frame []byte) error {
	var f wire.ServerFrame
	if err := proto.Unmarshal(frame, &f); err != nil {
		return fmt.Errorf("decode frame: %w", err)
	}
	switch body := f.Body.(type) {
	case *wire.ServerFrame_Error:
		return fmt.Errorf("refused: %s: %s", body.Error.GetName(), body.Error.GetMessage())
	case *wire.ServerFrame_Close:
		return fmt.Errorf("closed by the server: %d %s: %s", body.Close.GetCode(), body.Close.GetName(), body.Close.GetMessage())
	case *wire.ServerFrame_Joined:
		s.onJoined(body.Joined)
	case *wire.ServerFrame_Gap:
		s.m.track.Gap(body.Gap.GetLast())
	case *wire.ServerFrame_Heartbeat:
		ack, err := s.frames(&wire.ClientFrame{Command: &wire.ClientFrame_HeartbeatAck{HeartbeatAck: &wire.HeartbeatAck{}}})
		if err != nil {
			return err
		}
		return c.Write(ack)
	}
	return nil
}

func (s *session) onJoined(j *wire.Joined) {
	s.joined, s.head = true, j.GetHead()
	if !s.resumes {
		s.m.track.Begin(j.GetEpoch(), j.GetHead())
		return
	}
	if g := j.GetGap(); g != nil || !j.GetRecovered() {
		s.m.track.Gap(g.GetLast())
	}
	for _, m := range j.GetMessages() {
		d := ledger.Delivery{Seq: m.GetSeq()}
		var known bool
		if d.Publisher, d.N, d.Sent, known = ledger.ParseMarker([]byte(m.GetText())); !known {
			d.Publisher = -1
		}
		s.m.batch = append(s.m.batch, d)
	}
}

func (s *session) checkLive() {
	if s.isLive || !s.joined {
		return
	}
	if _, seq := s.m.track.Position(); seq >= s.head {
		s.isLive = true
		close(s.live)
	}
}

// Closed implements lean.Handler.
func (s *session) Closed(err error) {
	s.err = err
	if !s.expected.Load() && s.isLive {
		s.m.run.lostConnection(err)
	}
	close(s.ended)
}

// leave ends the member's connection for good, without its being counted.
func (m *member) leave() {
	m.mu.Lock()
	s := m.session
	m.mu.Unlock()
	if s != nil {
		s.expected.Store(true)
	}
}

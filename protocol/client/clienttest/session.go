package clienttest

import (
	"bytes"
	"io"
	"sync"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/wire"
)

// A session is one connection: the client.Conn and the edge behind it. A
// command is carried out by the goroutine that writes it.
type session struct {
	s        *Server
	id       string
	endpoint string
	enc      protocol.Encoding
	cond     sync.Cond

	// Guarded by Server.mu.
	user    string
	name    string
	greeted bool
	orders  map[string]uint64 // last order accepted, by room
	joined  map[string]bool
	out     []byte // to the client
	broken  bool

	// Owned by the reader.
	reading []byte
}

// ReadFrame returns the next frame from the server.
func (e *session) ReadFrame() ([]byte, error) {
	if len(e.reading) == 0 {
		e.s.mu.Lock()
		for len(e.out) == 0 && !e.broken {
			e.cond.Wait()
		}
		e.reading, e.out = e.out, nil
		e.s.mu.Unlock()
		if len(e.reading) == 0 {
			return nil, io.ErrUnexpectedEOF
		}
	}
	var frame []byte
	var err error
	if e.enc == protocol.JSON {
		frame, e.reading, _ = bytes.Cut(e.reading, []byte{'\n'})
	} else {
		frame, e.reading, err = protocol.NextFrame(e.reading, protocol.MaxServerFrame)
	}
	return frame, err
}

// WriteFrames carries out the commands in image.
func (e *session) WriteFrames(image []byte) error {
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	for len(image) > 0 {
		if e.broken {
			return io.ErrClosedPipe
		}
		var raw []byte
		var err error
		if e.enc == protocol.JSON {
			raw, image, _ = bytes.Cut(image, []byte{'\n'})
		} else if raw, image, err = protocol.NextFrame(image, protocol.MaxClientFrame); err != nil {
			return err
		}
		f, err := protocol.DecodeClient(e.enc, raw)
		if err != nil {
			return err
		}
		e.handleLocked(f)
	}
	return nil
}

// Close breaks the connection.
func (e *session) Close() error {
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	e.breakLocked()
	return nil
}

func (e *session) breakLocked() {
	if !e.broken {
		e.broken = true
		delete(e.s.sessions, e)
		e.cond.Broadcast()
	}
}

func (e *session) sendLocked(f *wire.ServerFrame) {
	if e.s.Deliver != nil {
		if f = e.s.Deliver(f); f == nil {
			return
		}
	}
	e.out = protocol.AppendServer(e.out, e.enc, f)
	e.cond.Signal()
}

func (e *session) handleLocked(f *wire.ClientFrame) {
	var reply *wire.ServerFrame
	if hook := e.s.Command; hook != nil && f.GetConnect() == nil {
		reply = hook(e.endpoint, f)
		if p := f.GetPublish(); p != nil && reply.GetError() != nil && !reply.GetError().GetTemporary() {
			e.orders[p.GetRoom()]++ // refused for good: the next one may come
		}
	}
	if reply == nil {
		reply = e.answerLocked(f)
	}
	if reply != nil && !e.broken {
		reply.Id = f.GetId()
		e.sendLocked(reply)
		if reply.GetClose() != nil {
			e.breakLocked()
		}
	}
}

func (e *session) answerLocked(f *wire.ClientFrame) *wire.ServerFrame {
	switch c := f.GetCommand().(type) {
	case *wire.ClientFrame_Connect:
		return e.connectLocked(c.Connect)
	case *wire.ClientFrame_Refresh:
		e.s.tokens = append(e.s.tokens, c.Refresh.GetToken())
		return &wire.ServerFrame{Body: &wire.ServerFrame_Refreshed{Refreshed: &wire.Refreshed{ExpiresMs: e.s.expiry()}}}
	case *wire.ClientFrame_Join:
		return e.joinLocked(c.Join)
	case *wire.ClientFrame_Leave:
		if !e.joined[c.Leave.GetRoom()] {
			return Refusal(&protocol.Error{Code: protocol.NotJoined})
		}
		delete(e.joined, c.Leave.GetRoom())
		return &wire.ServerFrame{Body: &wire.ServerFrame_Left{Left: &wire.Left{Room: c.Leave.GetRoom()}}}
	case *wire.ClientFrame_Publish:
		return e.publishLocked(c.Publish)
	case *wire.ClientFrame_History:
		return e.s.historyLocked(c.History)
	case *wire.ClientFrame_Members:
		return e.s.membersLocked(c.Members)
	case *wire.ClientFrame_Moderate:
		return e.moderateLocked(c.Moderate)
	case *wire.ClientFrame_Ping:
		return &wire.ServerFrame{Body: &wire.ServerFrame_Pong{Pong: &wire.Pong{TimeMs: time.Now().UnixMilli()}}}
	}
	return nil
}

// Refusal is the frame for an error.
func Refusal(e *protocol.Error) *wire.ServerFrame {
	return &wire.ServerFrame{Body: &wire.ServerFrame_Error{Error: &wire.Error{
		Code: uint32(e.Code), Name: e.Code.Name(), Message: e.Message, Temporary: e.Code.Temporary(),
		RetryAfterMs: uint64(e.RetryAfter), Seq: e.Seq, First: e.First, Head: e.Head, Epoch: e.Epoch,
	}}}
}

// CloseFrame is the last frame of a connection.
func CloseFrame(code protocol.Code, hint *wire.Reconnect) *wire.ServerFrame {
	return &wire.ServerFrame{Body: &wire.ServerFrame_Close{Close: &wire.Close{Code: uint32(code), Name: code.Name(), Reconnect: hint}}}
}

func (s *Server) expiry() int64 {
	if s.TokenLife == 0 {
		return 0
	}
	return time.Now().Add(s.TokenLife).UnixMilli()
}

func (e *session) connectLocked(c *wire.Connect) *wire.ServerFrame {
	e.s.tokens = append(e.s.tokens, c.GetToken())
	if e.s.Connect != nil {
		if reply := e.s.Connect(e.endpoint, c); reply != nil {
			return reply
		}
	}
	e.greeted, e.user, e.name = true, "anonymous", ""
	if t := c.GetToken(); t != "" {
		e.user = t
		if name, ok := bytes.CutPrefix([]byte(t), []byte("anonymous:")); ok {
			e.user, e.name = string(name), string(name)
		}
	}
	return &wire.ServerFrame{Body: &wire.ServerFrame_Connected{Connected: &wire.Connected{
		Session: e.id, User: e.user, Name: e.name, Region: "local", Edge: e.endpoint, Limits: e.s.Limits, Heartbeat: e.s.Heartbeat,
		ExpiresMs: e.s.expiry(), Endpoints: e.s.Endpoints, Resume: e.id, TimeMs: time.Now().UnixMilli(),
	}}}
}

func (e *session) joinLocked(j *wire.Join) *wire.ServerFrame {
	if e.joined[j.GetRoom()] {
		return Refusal(&protocol.Error{Code: protocol.AlreadyJoined})
	}
	if refusal := e.sanctionedLocked(j.GetRoom(), protocol.Ban); refusal != nil {
		return refusal
	}
	r := e.s.roomLocked(j.GetRoom())
	e.joined[j.GetRoom()] = true
	m := &wire.Joined{
		Room: j.GetRoom(), Epoch: r.epoch, Head: r.head(), First: r.first, Members: e.s.countLocked(j.GetRoom()), Survive: "zone",
		State: e.s.stateLocked(j.GetRoom()), Role: e.roleLocked(j.GetRoom()),
	}
	from := r.head() + 1
	switch {
	case j.Since == nil:
		from = max(r.first, from-min(uint64(j.GetRecent()), r.head()))
	case j.GetEpoch() != r.epoch:
		m.Gap = &wire.Gap{Room: j.GetRoom(), Reason: "epoch", Epoch: r.epoch, First: 1, Last: r.head()}
	default:
		from = j.GetSince() + 1
		if m.Recovered = from >= r.first; !m.Recovered {
			m.Gap = &wire.Gap{Room: j.GetRoom(), Reason: "trimmed", Epoch: r.epoch, First: from, Last: r.first - 1}
			from = r.first
		}
	}
	if from <= r.head() {
		m.Messages = r.log[from-r.first:]
	}
	return &wire.ServerFrame{Body: &wire.ServerFrame_Joined{Joined: m}}
}

func (e *session) publishLocked(p *wire.Publish) *wire.ServerFrame {
	if n := p.GetOrder(); n != 0 && n != e.orders[p.GetRoom()]+1 {
		return Refusal(&protocol.Error{Code: protocol.OutOfOrder})
	}
	if refusal := e.sanctionedLocked(p.GetRoom(), protocol.Ban, protocol.Mute); refusal != nil {
		if p.GetOrder() != 0 {
			e.orders[p.GetRoom()]++
		}
		return refusal
	}
	r := e.s.roomLocked(p.GetRoom())
	seq, duplicate := r.keys[e.user+"\x00"+p.GetKey()]
	if !duplicate {
		seq = e.s.appendLocked(p.GetRoom(), &wire.Message{
			Sender: e.user, Name: e.name, Kind: p.GetKind(), Text: p.GetText(), Data: p.GetData(),
		})
		r.keys[e.user+"\x00"+p.GetKey()] = seq
		if e.s.Appended != nil && e.s.Appended(p, seq) {
			e.breakLocked()
			return nil
		}
	}
	if p.GetOrder() != 0 {
		e.orders[p.GetRoom()]++
	}
	return &wire.ServerFrame{Body: &wire.ServerFrame_Published{Published: &wire.Published{
		Room: p.GetRoom(), Seq: seq, Epoch: r.epoch, Survive: "zone", Duplicate: duplicate, TimeMs: time.Now().UnixMilli(),
	}}}
}

func (s *Server) historyLocked(h *wire.History) *wire.ServerFrame {
	r := s.roomLocked(h.GetRoom())
	if h.GetEpoch() != "" && h.GetEpoch() != r.epoch {
		return Refusal(&protocol.Error{Code: protocol.EpochChanged, Epoch: r.epoch})
	}
	low, high := max(h.GetFrom(), r.first), r.head()
	if n := uint64(h.GetLimit()); h.GetReverse() {
		if h.GetFrom() != 0 {
			high = min(high, h.GetFrom())
		}
		low = r.first
		if high >= n {
			low = max(low, high-n+1)
		}
	} else {
		high = min(high, low+n-1)
	}
	m := &wire.Messages{Room: h.GetRoom(), Epoch: r.epoch, First: r.first, Head: r.head()}
	if low <= high {
		m.Messages = r.log[low-r.first : high-r.first+1]
		m.More = h.GetReverse() && low > r.first || !h.GetReverse() && high < r.head()
	}
	return &wire.ServerFrame{Body: &wire.ServerFrame_Messages{Messages: m}}
}

func (s *Server) membersLocked(m *wire.Members) *wire.ServerFrame {
	sessions := map[string]*wire.Member{}
	page := &wire.MembersPage{Room: m.GetRoom()}
	for e := range s.sessions {
		if !e.joined[m.GetRoom()] {
			continue
		}
		if sessions[e.user] == nil {
			sessions[e.user] = &wire.Member{User: e.user, Name: e.name}
			page.Members = append(page.Members, sessions[e.user])
		}
		sessions[e.user].Sessions++
	}
	page.Total = uint64(len(page.Members))
	return &wire.ServerFrame{Body: &wire.ServerFrame_Members{Members: page}}
}

func (s *Server) countLocked(name string) (n uint64) {
	for e := range s.sessions {
		if e.joined[name] {
			n++
		}
	}
	return n
}

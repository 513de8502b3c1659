package coretest

import (
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
	"github.com/barrage-im/barrage/protocol/wire"
)

type attachment struct {
	edge uint64
	out  chan *rpc.AttachResponse
}

func (a *attachment) send(m *rpc.AttachResponse) {
	select {
	case a.out <- m:
	default:
		panic("coretest: an edge does not read its answers")
	}
}

// Attach implements rpc.CoreServer.
func (c *Core) Attach(stream grpc.BidiStreamingServer[rpc.AttachRequest, rpc.AttachResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	a := &attachment{edge: first.GetHello().GetIncarnation(), out: make(chan *rpc.AttachResponse, 1<<16)}
	c.mu.Lock()
	c.edges[a.edge] = first.GetHello()
	c.attach = append(c.attach, a)
	a.send(&rpc.AttachResponse{Frame: &rpc.AttachResponse_Welcome{Welcome: &rpc.Welcome{Node: "fake", Region: "eu", State: c.state, Survive: "zone"}}})
	c.mu.Unlock()
	c.PutEdge(first.GetHello())
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for i, other := range c.attach {
			if other == a {
				c.attach = append(c.attach[:i:i], c.attach[i+1:]...)
			}
		}
	}()
	go func() {
		for {
			select {
			case m := <-a.out:
				if stream.Send(m) != nil {
					return
				}
			case <-stream.Context().Done():
				return
			}
		}
	}()
	for {
		m, err := stream.Recv()
		if err == io.EOF { //nolint:errorlint // Recv returns it bare
			c.mu.Lock()
			delete(c.edges, a.edge) // it has said good-bye
			c.mu.Unlock()
			return nil
		}
		if err != nil {
			return err
		}
		if hello := m.GetHello(); hello != nil {
			c.mu.Lock()
			c.edges[a.edge] = hello
			c.mu.Unlock()
			c.PutEdge(hello)
			continue
		}
		c.change(func() { c.apply(a, m.GetProposal()) })
	}
}

// apply does what a shard does with a section. Caller holds mu.
func (c *Core) apply(a *attachment, p *rpc.Proposal) {
	key := laneKey{a.edge, p.GetShard()}
	l := c.lanes[key]
	var commands []*rpc.Command
	for rest := p.GetCommands(); len(rest) > 0; {
		b, after, ok := rpc.NextCommand(rest)
		command := &rpc.Command{}
		if !ok || proto.Unmarshal(b, command) != nil {
			c.crossed = append(c.crossed, "a command cannot be read")
			return
		}
		commands, rest = append(commands, command), after
	}
	switch {
	case l == nil:
		l = &lane{held: map[string]bool{}}
		c.lanes[key] = l
		fallthrough
	case p.GetGeneration() > l.generation:
		l.generation, l.next = p.GetGeneration(), 1
		if commands[0].GetLease() == nil {
			c.crossed = append(c.crossed, fmt.Sprintf("generation %d does not begin with a lease", l.generation))
		}
		clear(l.held)
	case p.GetGeneration() < l.generation:
		return // fenced off
	}
	if p.GetFirst() != l.next {
		c.crossed = append(c.crossed, fmt.Sprintf("ordinal %d where %d was due", p.GetFirst(), l.next))
		return
	}
	l.next += uint64(len(commands))
	results := make([]*rpc.Result, len(commands))
	for i, command := range commands {
		results[i] = c.command(l, command)
	}
	if !c.silent {
		a.send(&rpc.AttachResponse{Frame: &rpc.AttachResponse_Results{Results: &rpc.ProposalResults{
			Shard: p.GetShard(), Generation: p.GetGeneration(), First: p.GetFirst(), Results: results,
		}}})
	}
}

func (c *Core) command(l *lane, command *rpc.Command) *rpc.Result {
	res := &rpc.Result{}
	switch op := command.GetOp().(type) {
	case *rpc.Command_Lease:
		if !l.leased {
			l.leased, res.Seq = true, 1
		}
	case *rpc.Command_Release:
		for _, name := range op.Release.GetRooms() {
			delete(l.held, name)
		}
	case *rpc.Command_Presence:
		for _, p := range op.Presence.GetRooms() {
			c.presence(p)
		}
	case *rpc.Command_Publish:
		c.publish(l, op.Publish, res)
	case *rpc.Command_Moderate:
		c.moderate(op.Moderate, res)
	}
	return res
}

func (c *Core) presence(p *rpc.RoomPresence) {
	r := c.room(p.GetRoom())
	r.statements++
	r.sessions = p.GetSessions()
	if p.GetReplace() {
		clear(r.users)
	}
	for _, u := range p.GetUsers() {
		if u.GetSessions() == 0 {
			delete(r.users, u.GetUser())
		} else {
			r.users[u.GetUser()] = u
		}
	}
}

func (c *Core) publish(l *lane, p *rpc.Publish, res *rpc.Result) {
	r := c.room(p.GetRoom())
	res.Epoch, res.SlowModeMs = r.epoch, c.moderations[p.GetRoom()].GetSlowModeMs()
	key := p.GetUser() + "\x00" + p.GetKey()
	if was := r.keys[key]; was != nil {
		res.Seq, res.TimeMs, res.Duplicate = was.GetSeq(), was.GetTimeMs(), true
		return
	}
	if l.held[p.GetRoom()] {
		res.Code = uint32(protocol.OutOfOrder)
		return
	}
	if code := c.barred(p.GetRoom(), p.GetUser(), p.GetRank(), protocol.Mute, protocol.Ban); code != protocol.OK {
		res.Code = uint32(code)
		return
	}
	if c.refuse != nil {
		if code := c.refuse(p); code != protocol.OK {
			res.Code = uint32(code)
			if code.Temporary() {
				res.RetryAfterMs = 20
				l.held[p.GetRoom()] = true
			}
			return
		}
	}
	res.Seq = r.put(protocol.RecordMark{Shadow: p.GetVerdict() == shadowVerdict}, p.GetBody())
	res.TimeMs = 1
	r.keys[key] = res
}

func textOf(record []byte) string {
	_, message, _, ok := protocol.NextRecord(record)
	m := &wire.Message{}
	if !ok || proto.Unmarshal(message, m) != nil {
		return "(damaged)"
	}
	return m.GetText()
}

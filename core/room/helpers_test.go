package room_test

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/core/machine"
	"github.com/barrage-im/barrage/core/room"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
	"github.com/barrage-im/barrage/protocol/wire"
)

func encode(cmd *rpc.Command) []byte {
	b, err := proto.Marshal(cmd)
	if err != nil {
		panic(err)
	}
	return b
}

func lease(name string, ttlMS uint32) []byte {
	return encode(&rpc.Command{Op: &rpc.Command_Lease{Lease: &rpc.Lease{Edge: name, Region: "eu", TtlMs: ttlMS}}})
}

func publish(roomName, user, key, text string) []byte {
	return encode(&rpc.Command{Op: &rpc.Command_Publish{Publish: &rpc.Publish{
		Room: roomName, User: user, Key: key, Body: protocol.AppendBody(nil, user, "", "", text, nil),
	}}})
}

func presence(rooms ...*rpc.RoomPresence) []byte {
	return encode(&rpc.Command{Op: &rpc.Command_Presence{Presence: &rpc.Presence{Rooms: rooms}}})
}

func release(rooms ...string) []byte {
	return encode(&rpc.Command{Op: &rpc.Command_Release{Release: &rpc.Release{Rooms: rooms}}})
}

func moderate(m *rpc.Moderate) []byte {
	return encode(&rpc.Command{Op: &rpc.Command_Moderate{Moderate: m}})
}

func tick() []byte { return encode(&rpc.Command{Op: &rpc.Command_Tick{Tick: &rpc.Tick{}}}) }
func term() []byte { return encode(&rpc.Command{Op: &rpc.Command_Term{Term: &rpc.Term{}}}) }

func policies(version uint64, table ...*rpc.Policy) []byte {
	return encode(&rpc.Command{Op: &rpc.Command_Policies{Policies: &rpc.Policies{Version: version, Policies: table}}})
}

// replica is a shard with its store.
type replica struct {
	*room.Shard
	store machine.Memory
	index uint64
}

func newReplica() *replica { return &replica{Shard: room.New(1)} }

// apply applies sections, made by room.AppendSection, as one entry.
func (r *replica) apply(timeMS int64, sections ...[]byte) (*room.Effects, error) {
	var all []byte
	for _, s := range sections {
		all = append(all, s...)
	}
	return r.applyEntry(room.AppendEntry(nil, timeMS, all))
}

func (r *replica) applyEntry(entry []byte) (*room.Effects, error) {
	r.index++
	effects, err := r.Apply(r.index, entry, &r.store)
	if err != nil {
		return nil, err
	}
	return effects.(*room.Effects), nil
}

// must is apply for entries that are sound.
func (r *replica) must(timeMS int64, sections ...[]byte) *room.Effects {
	effects, err := r.apply(timeMS, sections...)
	if err != nil {
		panic(err)
	}
	return effects
}

func section(edge, generation, first uint64, commands ...[]byte) []byte {
	return room.AppendSection(nil, edge, generation, first, rpc.PackCommands(commands...))
}

// describe writes effects as text, everything that is in them.
func describe(e *room.Effects) string {
	var b strings.Builder
	for _, s := range e.Sections {
		who := fmt.Sprintf("lane %d", s.Edge)
		if s.Edge == 0 {
			who = "leader"
		}
		if s.Reset != protocol.OK {
			fmt.Fprintf(&b, "%s reset: %s\n", who, s.Reset)
		}
		for i, r := range s.Results {
			fmt.Fprintf(&b, "%s %d: %s%s\n", who, s.First+uint64(i), protocol.Code(r.Code), describeResult(r))
		}
	}
	for _, bl := range e.Blocks {
		fmt.Fprintf(&b, "block %s@%d %d+%d: %s\n", bl.Room, bl.Epoch, bl.First, bl.Count, describeRecords(bl.Records))
	}
	for _, u := range e.Updates {
		fmt.Fprintf(&b, "update %s@%d: %d members", u.Room, u.Epoch, u.Members)
		for _, p := range u.Joined {
			fmt.Fprintf(&b, " +%s(%s)*%d", p.User, p.Name, p.Sessions)
		}
		for _, p := range u.Left {
			fmt.Fprintf(&b, " -%s", p.User)
		}
		if u.Policy != nil {
			fmt.Fprintf(&b, ", policy %s", u.Policy.Pattern)
			if u.Policy.SlowModeMs != 0 {
				fmt.Fprintf(&b, " slow=%d", u.Policy.SlowModeMs)
			}
		}
		if u.Moderation != nil {
			fmt.Fprintf(&b, ", moderation%s", describeModeration(u.Moderation))
		}
		b.WriteByte('\n')
	}
	for _, g := range e.Gone {
		fmt.Fprintf(&b, "gone %s@%d\n", g.Room, g.Epoch)
	}
	return b.String()
}

func describeResult(r *rpc.Result) string {
	out := ""
	if r.Seq != 0 {
		out += fmt.Sprintf(" seq=%d", r.Seq)
	}
	if r.TimeMs != 0 {
		out += fmt.Sprintf(" time=%d", r.TimeMs)
	}
	if r.Epoch != 0 {
		out += fmt.Sprintf(" epoch=%d", r.Epoch)
	}
	if r.Duplicate {
		out += " duplicate"
	}
	if r.RetryAfterMs != 0 {
		out += fmt.Sprintf(" retry_after=%d", r.RetryAfterMs)
	}
	if r.SlowModeMs != 0 {
		out += fmt.Sprintf(" slow=%d", r.SlowModeMs)
	}
	return out
}

// describeModeration shows sanctions as action:user until, rank and actor.
func describeModeration(m *rpc.Moderation) string {
	out := ""
	for _, s := range m.GetSanctions() {
		out += fmt.Sprintf(" %s:%s", s.Action, s.User)
		if s.UntilMs != 0 {
			out += fmt.Sprintf("<%d", s.UntilMs)
		}
		out += fmt.Sprintf("(%s/%d)", s.Actor, s.Rank)
		if s.Reason != "" {
			out += fmt.Sprintf("%q", s.Reason)
		}
	}
	if m.GetSlowModeMs() != 0 {
		out += fmt.Sprintf(" slow=%d", m.SlowModeMs)
	}
	if out == "" {
		return " none"
	}
	return out
}

// describeRecords shows messages as seq:sender:text, and their marks behind.
func describeRecords(records []byte) string {
	var out []string
	err := protocol.ForEachRecord(records, func(seq uint64, _ int64, record []byte) bool {
		_, message, _, _ := protocol.NextRecord(record)
		m := decodeMessage(message)
		if m.Seq != seq {
			out = append(out, "BAD")
		}
		text := fmt.Sprintf("%d:%s:%s", m.Seq, m.Sender, m.Text)
		if m.Retracts != 0 {
			text += fmt.Sprintf("[retracts %d]", m.Retracts)
		}
		if m.Gone != "" {
			text += "[" + m.Gone + "]"
		}
		if m.Shadow {
			text += "[shadow]"
		}
		out = append(out, text)
		return true
	})
	if err != nil {
		return "damaged"
	}
	return strings.Join(out, " ")
}

func decodeMessage(b []byte) *wire.Message {
	m := &wire.Message{}
	if err := proto.Unmarshal(b, m); err != nil {
		panic(err)
	}
	return m
}

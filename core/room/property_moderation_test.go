package room_test

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/core/room"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// moderated is the observer's model of moderation: a list to look through.
type moderated struct {
	sanctions map[string]map[string]*rpc.Sanction // by room, then action and user
	slow      map[string]uint32                   // by room
	by        map[place]uint64                    // the retracting message, by the retracted one
	marks     map[place]protocol.RecordMark       // what is not zero
}

// place is a message: room@epoch and seq.
type place struct {
	at  string
	seq uint64
}

func newModerated() moderated {
	return moderated{
		sanctions: map[string]map[string]*rpc.Sanction{}, slow: map[string]uint32{},
		by: map[place]uint64{}, marks: map[place]protocol.RecordMark{},
	}
}

func (o *moderated) sanctioned(room, user string, rank uint32, now int64) protocol.Code {
	for _, action := range []string{"ban", "mute"} {
		if x := o.sanctions[room][action+user]; x != nil && rank < x.Rank && (x.UntilMs == 0 || now < x.UntilMs) {
			return map[string]protocol.Code{"ban": protocol.Banned, "mute": protocol.Muted}[action]
		}
	}
	return protocol.OK
}

// moderate holds an answer against the model, and brings the model on.
func (o *observer) moderate(e *room.Effects, edge bool, m *rpc.Moderate, r *rpc.Result, appended map[string]uint64) error {
	code := protocol.Code(r.Code)
	fault := func(want protocol.Code) error {
		if code == want {
			return nil
		}
		return fmt.Errorf("%v was answered %v, want %s", m, r, want)
	}
	list := o.sanctions[m.Room]
	if list == nil {
		list = map[string]*rpc.Sanction{}
		o.sanctions[m.Room] = list
	}
	for k, x := range list {
		if x.UntilMs != 0 && x.UntilMs <= e.Time {
			delete(list, k)
		}
	}
	switch {
	case m.Rank == 3 && edge:
		return fault(protocol.BadCommand)
	case m.Rank == 0:
		return fault(protocol.Forbidden)
	case m.Action == "retract":
		return o.retract(e, m, r, appended)
	}
	key := strings.TrimPrefix(m.Action, "un") + m.User
	before := list[key]
	switch m.Action {
	case "slow":
		if code == protocol.Overloaded && o.slow[m.Room] == 0 && m.DurationMs != 0 {
			return nil
		}
		o.slow[m.Room] = uint32(m.DurationMs)
		return fault(protocol.OK)
	case "mute", "ban":
		if before != nil && before.Rank > m.Rank {
			return fault(protocol.Forbidden)
		}
		if code == protocol.Overloaded && before == nil {
			return nil
		}
		x := &rpc.Sanction{User: m.User, Action: m.Action, Rank: m.Rank, Actor: m.Actor, Reason: m.Reason}
		if m.DurationMs != 0 {
			x.UntilMs = e.Time + int64(m.DurationMs)
		}
		list[key] = x
	default:
		if before != nil && before.Rank > m.Rank {
			return fault(protocol.Forbidden)
		}
		delete(list, key)
	}
	return fault(protocol.OK)
}

func (o *observer) retract(e *room.Effects, m *rpc.Moderate, r *rpc.Result, appended map[string]uint64) error {
	code, at := protocol.Code(r.Code), fmt.Sprintf("%s@%d", m.Room, r.Epoch)
	target := place{at, m.Seq}
	head := o.heads[at] + appended[at]
	by, known := o.by[target]
	switch {
	case code == protocol.OK && r.Duplicate:
		if !known || r.Seq != by {
			return fmt.Errorf("%v is said to be known: %v", target, r)
		}
	case code == protocol.OK:
		if known || m.Seq == 0 || m.Seq > head || o.marks[target].Retracts != 0 || r.Seq != head+1 || r.TimeMs != e.Time {
			return fmt.Errorf("%v is retracted: %v", target, r)
		}
		appended[at]++
		o.by[target], o.marks[place{at, r.Seq}] = r.Seq, protocol.RecordMark{Retracts: m.Seq}
	case code == protocol.NotFound && r.Epoch == 0,
		code == protocol.Trimmed && m.Seq <= head,
		code == protocol.Future && m.Seq > head,
		code == protocol.BadArgument && (m.Seq == 0 || o.marks[target].Retracts != 0),
		code == protocol.KeysFull && !known:
	default:
		return fmt.Errorf("%v of %d: %v", target, head, r)
	}
	return nil
}

// left is what history must say from first on: the log with its tombstones.
func (o *observer) left(at string, first uint64, log []string) string {
	out := []byte(nil)
	for i, record := range log[first-1:] {
		if _, gone := o.by[place{at, first + uint64(i)}]; !gone {
			out = append(out, record...)
			continue
		}
		var err error
		if out, err = protocol.AppendTombstone(out, []byte(record)); err != nil {
			panic(err)
		}
	}
	return string(out)
}

// compareModeration compares what is in force with what the shard says.
func (o *observer) compareModeration(r *replica) error {
	for _, name := range roomNames {
		got := r.Moderation(name)
		if info, ok := r.Info(name); ok && info.Moderation != got {
			return fmt.Errorf("room %s says another moderation", name)
		}
		if got.GetSlowModeMs() != o.slow[name] {
			return fmt.Errorf("slow mode of %s is %d, want %d", name, got.GetSlowModeMs(), o.slow[name])
		}
		n := 0
		for _, x := range o.sanctions[name] {
			if x.UntilMs == 0 || x.UntilMs > r.Time() {
				n++
			}
		}
		for _, x := range got.GetSanctions() {
			if !proto.Equal(o.sanctions[name][x.Action+x.User], x) {
				return fmt.Errorf("sanction %v of %s, want %v", x, name, o.sanctions[name])
			}
		}
		if n != len(got.GetSanctions()) {
			return fmt.Errorf("%d sanctions of %s are told, %d are in force", len(got.GetSanctions()), name, n)
		}
	}
	return nil
}

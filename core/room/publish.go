package room

import (
	"encoding/binary"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

const (
	// MaxKeys bounds the keys that a room remembers. One more publish is
	// refused until the oldest is forgotten; no key is forgotten early.
	MaxKeys = 1 << 20
	// roomsWait (ms) is when to try again to make a room in a full shard.
	roomsWait = 1000
	// bodyOverhead is what a body may have besides text and data: the fields
	// sender, name and kind, and tags and lengths of all five.
	bodyOverhead = protocol.MaxUser + protocol.MaxName + protocol.MaxKind + 5*4
)

// publish is a decoded rpc.Publish; everything lies in the payload.
type publish struct {
	room, user, key, body []byte
	deadline              int64
	rank, verdict         uint64
	origin                uint64
}

// verdictShadow is the strongest verdict of an edge's filter that is relayed:
// the message is for its sender and moderators only.
const verdictShadow = 3

var shadowMark = protocol.RecordMark{Shadow: true}

// decode is false for what no edge of ours sends: a field that Publish does not
// have, or one that is cut off or holds what it may not.
func (p *publish) decode(b []byte) bool {
	*p = publish{}
	for len(b) > 0 {
		tag := b[0]
		v, n := binary.Uvarint(b[1:])
		if n <= 0 {
			return false
		}
		b = b[1+n:]
		if tag&7 == byte(protowire.VarintType) {
			switch tag >> 3 {
			case 5:
				p.deadline = int64(v)
			case 6:
				p.rank = v
			case 7:
				p.verdict = v
			case 8: // the rules' version is for the log's readers
			case 9:
				p.origin = v
			default:
				return false
			}
			continue
		}
		if v > uint64(len(b)) {
			return false
		}
		field := b[:v]
		b = b[v:]
		switch tag {
		case 1<<3 | byte(protowire.BytesType):
			p.room = field
		case 2<<3 | byte(protowire.BytesType):
			p.user = field
		case 3<<3 | byte(protowire.BytesType):
			p.key = field
		case 4<<3 | byte(protowire.BytesType):
			p.body = field
		default:
			return false
		}
	}
	return named(p.room, protocol.MaxRoomName) && named(p.user, protocol.MaxUser) && named(p.key, protocol.MaxKey) &&
		p.rank <= uint64(rpc.Rank_OWNER) && p.verdict <= verdictShadow && protocol.PlainBody(p.body)
}

func named[T string | []byte](name T, limit int) bool {
	return len(name) > 0 && len(name) <= limit && utf8.Valid([]byte(name))
}

// publish applies one Publish of a lane. What was published before is
// recognised first, whatever else would refuse it now: its outcome is known.
func (s *Shard) publish(l *lane, body []byte, res *rpc.Result) {
	p := &s.pub
	if !p.decode(body) {
		res.Code = uint32(protocol.BadCommand)
		return
	}
	var h keyHash
	h, s.scratch = hashKey(s.scratch, p.user, p.key)
	bodyHash := p.origin
	if bodyHash == 0 {
		bodyHash = protocol.BodyHash(p.body)
	}

	r := s.last
	if r == nil || r.name != string(p.room) {
		r = s.rooms[string(p.room)]
		s.last = r
	}
	if r != nil {
		s.touch(r)
		res.Epoch, res.SlowModeMs = r.epoch, r.mod.slow()
		if seq, body, at, ok := r.lookup(h, s.time); ok {
			res.Seq, res.TimeMs = seq, at
			if res.Duplicate = body == bodyHash; !res.Duplicate {
				res.Code = uint32(protocol.KeyConflict)
			}
			return
		}
	}
	if p.deadline != 0 && s.time > p.deadline {
		res.Code = uint32(protocol.Expired)
		return
	}
	var policy *rpc.Policy
	var mod *moderation
	if r != nil {
		policy, mod = r.policy.Policy, r.mod
	} else {
		policy, mod = s.table.match(string(p.room)).Policy, s.moderated[string(p.room)]
		res.SlowModeMs = mod.slow()
	}
	if mod != nil {
		if code, left := Sanctioned(mod.now, p.user, uint32(p.rank), s.time); code != protocol.OK {
			res.Code, res.RetryAfterMs = uint32(code), uint64(left)
			return
		}
	}
	if len(p.body) > int(policy.MessageBytes)+bodyOverhead {
		res.Code = uint32(protocol.TooLarge)
		return
	}
	if l.holds(p.room) {
		res.Code = uint32(protocol.OutOfOrder)
		return
	}
	if r == nil {
		name := string(p.room)
		if r = s.makeRoom(name); r == nil {
			res.Code, res.RetryAfterMs = uint32(protocol.Overloaded), roomsWait
			s.hold(l, name)
			return
		}
		s.touch(r)
		res.Epoch = r.epoch
	}
	if code, wait := s.refuse(r); code != protocol.OK {
		res.Code, res.RetryAfterMs = uint32(code), uint64(max(wait, 1))
		s.hold(l, r.name)
		return
	}
	r.tokens -= 1000
	if r.entry.block == nil {
		s.beginBlock(r)
	}
	var mark *protocol.RecordMark
	if p.verdict == verdictShadow {
		mark = &shadowMark
	}
	res.Seq = r.append(s.time, h, bodyHash, mark, p.body)
	res.TimeMs = s.time
}

// keysWait is how long (ms) until a room forgets its oldest key.
func (s *Shard) keysWait(r *room) int64 {
	return r.timeOf(r.keys.first, s.time) + keyWindowMS + 1 - s.time
}

// refuse says why a room takes no publish for now, and for how long (ms).
func (s *Shard) refuse(r *room) (code protocol.Code, wait int64) {
	switch {
	case r.head >= protocol.MaxSeq:
		return protocol.Overloaded, 0
	case r.keys.len() >= s.limits.keys:
		return protocol.KeysFull, s.keysWait(r)
	}
	rate, full := int64(r.policy.PublishRate), 1000*int64(r.policy.PublishBurst)
	if gone := s.time - r.tokensAt; gone > full/rate {
		r.tokens = full
	} else {
		r.tokens = min(full, r.tokens+gone*rate)
	}
	r.tokensAt = s.time
	if r.tokens < 1000 {
		return protocol.RateLimited, (1000 - r.tokens + rate - 1) / rate
	}
	return protocol.OK, 0
}

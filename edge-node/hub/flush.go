package hub

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/transport"
	"github.com/barrage-im/barrage/protocol/wire"
)

// maxBatch bounds the records of one batch, in bytes: in JSON, where a byte may
// become six, it stays below protocol.MaxServerFrame.
const maxBatch = 128 << 10

// schedule flushes now or when the window is over. Caller holds mu, and
// flushing is false.
func (r *Room) schedule(now time.Time) {
	window := r.pace.window()
	wait := r.lastFlush.Add(window).Sub(now)
	if wait <= 0 {
		r.queueFlush()
		return
	}
	r.hub.met.window.Observe(window.Seconds())
	r.flushing = true
	if r.timer == nil {
		r.timer = time.AfterFunc(wait, func() { r.hub.work.put(task{room: r}) })
		return
	}
	r.timer.Reset(wait)
}

// queueFlush lets a worker flush the room. Caller holds mu.
func (r *Room) queueFlush() {
	if !r.flushing {
		r.flushing = true
		r.hub.work.put(task{room: r})
	}
}

// A flush is one image for each format, on its way to the members whose cursor
// stands at from. Workers share its shards out among themselves.
type flush struct {
	room     *Room
	epoch    uint64
	from, to uint64
	images   [transport.NumFormats][]byte
	push     bool  // no messages: images go to everybody whatever their cursor
	what     stale // push: what members that cannot be sent it now get later
	cut      bool  // there was more than one batch holds: go on at once
	shards   []*shard
	next     atomic.Int32 // the next shard to take
	left     atomic.Int32 // shards not done

	// Shadow messages among the records, and the images for those who see them.
	records []byte
	shadows []shadow
	mu      sync.Mutex // guards private
	private map[privateKey][]byte
}

// A privateKey says whose image it is: those of moderators have no user.
type privateKey struct {
	format transport.Format
	user   string
}

// imageFor is what a member gets. Where there are shadow messages that it sees,
// that is an image that it shares with the other sessions of its user or, for
// moderators, with them.
func (f *flush) imageFor(m *Member) []byte {
	if len(f.shadows) == 0 {
		return f.images[m.format]
	}
	v := m.view()
	if !v.seesAny(f.shadows) {
		return f.images[m.format]
	}
	key := privateKey{format: m.format}
	if !v.moderates {
		key.user = v.user
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	image, made := f.private[key]
	if !made {
		image, _ = batchImage(m.format, f.room.name, f.epoch, v.open(f.records, f.shadows)) // nil: it is brought on by itself
		if f.private == nil {
			f.private = make(map[privateKey][]byte)
		}
		f.private[key] = image
	}
	return image
}

// flush sends what the tail has beyond flushed. One is under way in a room at
// a time, so that what comes meanwhile leaves together.
func (r *Room) flush() {
	now := r.hub.now()
	r.mu.Lock()
	f := &flush{room: r, epoch: r.epoch, from: r.flushed, shards: r.shards}
	var records []byte
	records, f.to = r.tail.read(f.from, r.tail.head, maxBatch)
	idle := f.to == f.from && !r.sweep
	if idle || len(f.shards) == 0 {
		r.flushed, r.flushing, r.sweep = r.tail.head, false, false
		r.mu.Unlock()
		return
	}
	f.records, f.shadows = records, r.tail.shadows(f.from, f.to)
	r.flushed, r.lastFlush, r.sweep = f.to, now, false
	f.cut = f.to < r.tail.head
	formats := r.formats
	r.mu.Unlock()

	if f.to > f.from {
		records = plantReorder(records)
		for format, n := range formats {
			if n == 0 {
				continue
			}
			image, err := batchImage(transport.Format(format), r.name, f.epoch, records)
			if err != nil { // members of this format are brought on one by one
				r.hub.log.Error("records that cannot be encoded", "err", err)
				continue
			}
			f.images[format] = image
		}
	}
	r.hub.met.flushes.Inc()
	r.hub.share(f)
}

// share works on a flush with whoever is free.
func (h *Hub) share(f *flush) {
	f.left.Store(int32(len(f.shards)))
	for range min(len(f.shards), h.workers) - 1 {
		h.work.put(task{flush: f})
	}
	f.work()
}

// work takes shards until none is left. The last to finish ends the flush.
func (f *flush) work() {
	for {
		i := int(f.next.Add(1)) - 1
		if i >= len(f.shards) {
			return
		}
		if f.push {
			f.pushTo(f.shards[i])
		} else {
			f.send(f.shards[i])
		}
		if f.left.Add(-1) == 0 && !f.push {
			f.room.flushDone(f.cut)
		}
	}
}

// send writes to the members of one shard. Nothing here allocates or wakes
// anybody for a member that is where it should be.
func (f *flush) send(s *shard) {
	h := f.room.hub
	clock := h.clock.Load()
	writes, size := 0, 0
	s.mu.Lock()
	for _, m := range s.members {
		if m.state != live {
			continue
		}
		if m.cursor != f.from || m.epoch != f.epoch {
			if m.epoch != f.epoch || m.cursor < f.to {
				m.bring()
			}
			continue
		}
		if f.from == f.to {
			continue
		}
		image := f.imageFor(m)
		if image == nil { // the first of its format came while we encoded
			m.bring()
			continue
		}
		switch err := m.conn.Send(image); {
		case err == nil:
			m.cursor = f.to
			m.sent.Store(clock)
			writes++
			size += len(image)
		case errors.Is(err, transport.ErrBusy):
			m.state = lagging
			h.met.lagged.Inc()
		default:
			m.state = lagging // closed: its owner will leave
		}
	}
	s.mu.Unlock()
	h.met.writes.Add(float64(writes))
	h.met.bytes.Add(float64(size))
	h.met.deliveries.Add(float64(writes) * float64(f.to-f.from))
}

// flushDone goes on with what came meanwhile.
func (r *Room) flushDone(cut bool) {
	now := r.hub.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flushing = false
	if r.closed {
		return
	}
	if r.sweep || cut {
		r.queueFlush()
	} else if r.flushed < r.tail.head {
		if r.count == 0 {
			r.flushed = r.tail.head
			return
		}
		r.schedule(now)
	}
}

// push sends a frame that is not a message to every member. Those that are
// joining or busy get what it is about later, in its newest form.
func (r *Room) push(frame *wire.ServerFrame, what stale) {
	r.mu.Lock()
	f := &flush{room: r, push: true, what: what, shards: r.shards}
	formats := r.formats
	r.mu.Unlock()
	if len(f.shards) == 0 {
		return
	}
	for format, n := range formats {
		if n > 0 {
			f.images[format] = frameImage(transport.Format(format), frame)
		}
	}
	f.left.Store(int32(len(f.shards)))
	r.hub.work.put(task{flush: f})
}

func (f *flush) pushTo(s *shard) {
	h := f.room.hub
	clock := h.clock.Load()
	writes := 0
	s.mu.Lock()
	for _, m := range s.members {
		image := f.images[m.format]
		if m.state == joining || image == nil {
			m.stale |= f.what
			continue
		}
		switch err := m.conn.Send(image); {
		case err == nil:
			m.sent.Store(clock)
			m.stale &^= f.what
			writes++
		case errors.Is(err, transport.ErrBusy):
			m.stale |= f.what
			h.met.dropped.WithLabelValues("push_busy").Inc()
		}
	}
	s.mu.Unlock()
	h.met.writes.Add(float64(writes))
}

// Presence counts are pushed at most once in presenceEvery, in a room of more
// than presenceRoom members less often still: a push costs a write to each.
const (
	presenceEvery = time.Second
	presenceRoom  = 1000
)

// pushPresence pushes a change of the count when its time has come.
func (r *Room) pushPresence(now time.Time) {
	r.mu.Lock()
	every := presenceEvery * time.Duration(max(1, r.count/presenceRoom))
	if !r.presence || r.count == 0 || now.Sub(r.lastPresence) < every {
		if r.presence {
			r.hub.later(r)
		}
		r.mu.Unlock()
		return
	}
	push := &wire.Presence{Room: r.name, Members: r.members, Joined: r.joined, Left: r.gone}
	r.presence, r.joined, r.gone, r.lastPresence = false, nil, nil, now
	r.mu.Unlock()
	r.push(&wire.ServerFrame{Body: &wire.ServerFrame_Presence{Presence: push}}, stalePresence)
}

// tooFar says whether a cursor is so far behind that its member is told of a
// gap instead of being sent everything.
func (h *Hub) tooFar(cursor, head uint64) bool { return head-cursor > uint64(h.cfg.Behind) }

var errNoCore = &protocol.Error{Code: protocol.Unavailable, Message: "core cannot be reached at the moment; join again", RetryAfter: 1000}

package hub

import (
	"context"
	"errors"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
	"github.com/barrage-im/barrage/protocol/wire"
)

// pageMessages bounds a page of history by count; maxBatch bounds it by bytes.
const pageMessages = protocol.MaxHistory

// A job is something that a member needs of core: a page of history behind its
// cursor, or, ahead of our replica, the room's true head.
type job struct {
	member *Member
	ahead  bool
}

func (h *Hub) read(j job) { h.reads.put(j) }

// retry reads again after a while: core could not answer.
func (h *Hub) retry(m *Member) {
	h.lateMu.Lock()
	h.again = append(h.again, m)
	h.lateMu.Unlock()
}

func (h *Hub) readAgain() {
	h.lateMu.Lock()
	again := h.again
	h.again = nil
	h.lateMu.Unlock()
	for _, m := range again {
		h.read(job{member: m})
	}
}

func (h *Hub) serve(ctx context.Context, j job) {
	switch m := j.member; {
	case j.ahead:
		h.joinAhead(ctx, m)
	case m.shard == nil:
		h.joinBehind(ctx, m)
	default:
		h.catchUp(ctx, m)
	}
}

// page reads what follows seq.
func (h *Hub) page(ctx context.Context, room string, epoch, seq uint64) (*rpc.HistoryPage, error) {
	h.met.reads.Inc()
	page, err := h.core.ReadHistory(ctx, &rpc.HistoryRequest{Room: room, Epoch: epoch, From: seq + 1, Limit: pageMessages, MaxBytes: maxBatch})
	if err != nil {
		return nil, err
	}
	switch code := protocol.Code(page.GetCode()); code {
	case protocol.OK:
		records, _, count, err := protocol.SplitAtSize(page.GetRecords(), maxBatch)
		if err != nil {
			return nil, err
		}
		page.Records, page.Count = records, uint32(count)
		return page, nil
	case protocol.Trimmed, protocol.EpochChanged, protocol.Future, protocol.NotFound:
		return page, nil
	default:
		return nil, &protocol.Error{Code: code, Message: "history cannot be read at the moment", RetryAfter: 1000}
	}
}

// joinBehind answers a join whose seq is older than the tail.
func (h *Hub) joinBehind(ctx context.Context, m *Member) {
	r, req := m.room, &m.Join
	r.mu.Lock()
	epoch := r.epoch
	r.mu.Unlock()
	page, err := h.page(ctx, r.name, epoch, req.Since)
	if err != nil {
		h.fail(m, refusal(err))
		return
	}
	r.mu.Lock()
	reply, tailBase, flushed := r.reply(), r.tail.base, r.flushed
	r.mu.Unlock()
	start := req.Since
	var records []byte
	switch code := protocol.Code(page.GetCode()); {
	case code == protocol.Trimmed:
		reply.First = page.GetFirst()
		start = max(start, page.GetFirst()-1)
		reply.Gap = &wire.Gap{Room: r.name, First: req.Since + 1, Last: start, Reason: "trimmed", Epoch: reply.Epoch}
	case code == protocol.OK && h.tooFar(req.Since, flushed):
		start = tailBase
		reply.Gap = &wire.Gap{Room: r.name, First: req.Since + 1, Last: start, Reason: "slow", Epoch: reply.Epoch}
	case code == protocol.OK && page.GetCount() > 0:
		reply.Recovered, reply.First = true, page.GetFirst()
		start = page.GetStart() + uint64(page.GetCount()) - 1
		if records, err = View(page.GetRecords(), m.user, m.view().moderates); err != nil {
			h.fail(m, refusal(err))
			return
		}
	case code == protocol.EpochChanged:
		h.fail(m, &protocol.Error{Code: protocol.Unavailable, Message: "the room is being made anew; join again", RetryAfter: 500})
		return
	default: // this replica is behind the one the tail came from: catch up later
		reply.Recovered = true
	}
	if reply.Gap != nil {
		h.met.gaps.WithLabelValues(reply.Gap.Reason).Inc()
	}
	h.admit(m, epoch, start, "history", reply, records)
}

// joinAhead answers a join whose seq this replica has not heard of yet.
func (h *Hub) joinAhead(ctx context.Context, m *Member) {
	r, req := m.room, &m.Join
	head, err := h.core.Head(ctx, r.name)
	if err == nil && head.GetCode() != 0 {
		err = &protocol.Error{Code: protocol.Code(head.GetCode()), Message: "the room's head cannot be asked for at the moment", RetryAfter: 500}
	}
	if err != nil {
		h.fail(m, refusal(err))
		return
	}
	r.mu.Lock()
	reply, epoch := r.reply(), r.epoch
	r.mu.Unlock()
	switch {
	case head.GetEpoch() != epoch:
		h.fail(m, &protocol.Error{Code: protocol.Unavailable, Message: "the room is being made anew; join again", RetryAfter: 500})
	case req.Since > head.GetHead():
		h.fail(m, &protocol.Error{
			Code: protocol.Future, Message: "since is beyond the room's newest message; join without since",
			First: head.GetFirst(), Head: head.GetHead(), Epoch: protocol.FormatEpoch(epoch),
		})
	default:
		reply.Head, reply.Recovered = head.GetHead(), true
		h.admit(m, epoch, req.Since, "ahead", reply, nil)
	}
}

// refusal is what a client is told of an error of core.
func refusal(err error) *protocol.Error {
	var e *protocol.Error
	if errors.As(err, &e) && e.Code < 300 {
		return e
	}
	return errNoCore
}

// catchUp sends a member that fell behind the tail the next page of history, or
// tells it of the gap.
func (h *Hub) catchUp(ctx context.Context, m *Member) {
	r := m.room
	m.shard.mu.Lock()
	cursor, epoch, want := m.cursor, m.epoch, m.state == reading
	if want && r.reaches(cursor, epoch) { // the room changed meanwhile
		m.bring()
		want = false
	}
	m.shard.mu.Unlock()
	if !want {
		return
	}
	page, err := h.page(ctx, r.name, epoch, cursor)
	if err != nil {
		h.met.dropped.WithLabelValues("history_retry").Inc()
		h.retry(m)
		return
	}
	r.mu.Lock()
	base, flushed := r.tail.base, r.flushed
	r.mu.Unlock()

	m.shard.mu.Lock()
	defer m.shard.mu.Unlock()
	if m.state != reading {
		return
	}
	gap := &wire.Gap{Room: r.name, First: cursor + 1, Epoch: protocol.FormatEpoch(epoch)}
	switch code := protocol.Code(page.GetCode()); {
	case code == protocol.Trimmed && page.GetFirst() > cursor+1:
		gap.Last, gap.Reason = page.GetFirst()-1, "trimmed"
	case code == protocol.OK && h.tooFar(cursor, flushed):
		gap.Last, gap.Reason = base, "slow"
	case code == protocol.OK && page.GetCount() > 0:
		records, err := View(page.GetRecords(), m.user, m.view().moderates)
		if err != nil {
			h.met.dropped.WithLabelValues("corrupt").Inc()
			h.retry(m)
			return
		}
		if m.sendBatch(epoch, records, page.GetStart()+uint64(page.GetCount())-1) {
			m.bring()
		}
		return
	default: // this replica is behind the one the tail came from, or changes epoch
		h.retry(m)
		return
	}
	if m.sendGap(gap) {
		m.cursor = max(m.cursor, gap.Last)
		m.bring()
	}
}

// reaches says whether a cursor needs no history: the tail covers it, or its
// epoch is over.
func (r *Room) reaches(cursor, epoch uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return epoch != r.epoch || r.tail.covers(cursor)
}

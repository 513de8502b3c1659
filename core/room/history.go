package room

import (
	"encoding/binary"

	"github.com/barrage-im/barrage/core/machine"
	"github.com/barrage-im/barrage/protocol"
)

// maxPageBytes bounds a page's records: a page fits into a frame to a client.
const maxPageBytes = protocol.MaxServerFrame - 4<<10

// Page is consecutive records of a room's history, in ascending order.
type Page struct {
	Start   uint64 // seq of the first record; where it would be when Count is 0
	Count   uint32
	Records []byte // as in Block
	CRC     uint32 // CRC-32C of Records
	More    bool   // history goes on in the direction of reading
}

// History reads a page that begins at from (0: at the oldest) or, in reverse,
// ends at from (0: at the newest). limit and maxBytes are cut to what a frame
// takes; a page holds at least one record if there is one. Of a message that
// was retracted it holds the tombstone (protocol.AppendTombstone). info is the
// room as Info returned it, at the time of the reader's snapshot or before.
//
// Errors: Trimmed (from is before First), Future (from is behind Head+1), with
// First and Head; NotFound and EpochChanged (the room went between info and
// snapshot); Corrupt; Unavailable (the reader's own error).
func History(r machine.Reader, info Info, from uint64, limit, maxBytes int, reverse bool) (Page, *protocol.Error) {
	if limit <= 0 || limit > protocol.MaxHistory {
		limit = protocol.MaxHistory
	}
	if maxBytes <= 0 || maxBytes > maxPageBytes {
		maxBytes = maxPageBytes
	}
	empty := info.First > info.Head
	switch {
	case from == 0 && reverse:
		from = info.Head
	case from == 0:
		from = info.First
	case from > info.Head+1:
		return Page{}, outside(protocol.Future, info, "there is no message %d yet", from)
	case from < info.First:
		return Page{}, outside(protocol.Trimmed, info, "history does not reach back to message %d", from)
	}
	if reverse && from > info.Head {
		from = info.Head
	}
	if empty || from > info.Head {
		return Page{Start: info.Head + 1, CRC: protocol.CRC(nil)}, nil
	}
	read := readOn
	if reverse {
		read = readBack
	}
	page, err := read(r, info, from, limit, maxBytes)
	if err == nil {
		err = bury(r, info, &page)
	}
	if err != nil {
		return Page{}, err
	}
	page.CRC = protocol.CRC(page.Records)
	return page, nil
}

func outside(code protocol.Code, info Info, message string, from uint64) *protocol.Error {
	err := protocol.Errorf(code, message, from)
	err.First, err.Head, err.Epoch = info.First, info.Head, protocol.FormatEpoch(info.Epoch)
	return err
}

// readOn reads forward from a seq that history holds.
func readOn(r machine.Reader, info Info, from uint64, limit, maxBytes int) (Page, *protocol.Error) {
	page := Page{Start: from}
	next := from
	start, err := blockAt(r, info, from)
	if err != nil {
		return Page{}, err
	}
	err = scan(r, info, start, info.Head, false, func(b block) (bool, *protocol.Error) {
		if page.Count > 0 && b.first != next {
			return false, damaged(info, next)
		}
		if page.Count == 0 && b.first > from {
			return false, nil
		}
		seq := b.first
		for run := b.records; len(run) > 0; seq++ {
			record, _, rest, ok := protocol.NextRecord(run)
			if !ok {
				return false, damaged(info, seq)
			}
			run = rest
			if seq < from {
				continue
			}
			if seq > info.Head || int(page.Count) == limit || page.Count > 0 && len(page.Records)+len(record) > maxBytes {
				return false, nil
			}
			page.Records = append(page.Records, record...)
			page.Count++
			next = seq + 1
		}
		return true, nil
	})
	if err != nil {
		return Page{}, err
	}
	if page.Count == 0 {
		return Page{}, missing(r, info, from)
	}
	page.More = next <= info.Head
	return page, nil
}

// readBack reads backward from a seq that history holds.
func readBack(r machine.Reader, info Info, from uint64, limit, maxBytes int) (Page, *protocol.Error) {
	var runs [][]byte // newest first, each ascending
	var page Page
	size, next := 0, from // next: the seq to come
	err := scan(r, info, 0, from, true, func(b block) (bool, *protocol.Error) {
		if b.last() < next {
			return false, missing(r, info, next)
		}
		var records [][]byte
		seq := b.first
		for run := b.records; len(run) > 0 && seq <= next; seq++ {
			record, _, rest, ok := protocol.NextRecord(run)
			if !ok {
				return false, damaged(info, seq)
			}
			records, run = append(records, record), rest
		}
		more := true
		var run []byte
		keep := len(records)
		for ; keep > 0; keep-- {
			record := records[keep-1]
			if next < info.First || int(page.Count) == limit || page.Count > 0 && size+len(record) > maxBytes {
				more = false
				break
			}
			size += len(record)
			page.Count++
			next--
		}
		for _, record := range records[keep:] {
			run = append(run, record...)
		}
		runs = append(runs, run)
		return more, nil
	})
	if err != nil {
		return Page{}, err
	}
	if page.Count == 0 {
		return Page{}, missing(r, info, from)
	}
	for i := len(runs) - 1; i >= 0; i-- {
		page.Records = append(page.Records, runs[i]...)
	}
	page.Start = next + 1
	page.More = page.Start > info.First
	return page, nil
}

// missing says why the block of a seq is not there: the store is later than the
// info, or damaged.
func missing(r machine.Reader, info Info, seq uint64) *protocol.Error {
	k := append([]byte{keyRoom}, info.Room...)
	value, ok, err := r.Get(k)
	switch {
	case err != nil:
		return protocol.Errorf(protocol.Unavailable, "read history: %v", err)
	case !ok:
		return protocol.Errorf(protocol.NotFound, "the room was idle and is gone")
	}
	content, err := machine.OpenSeal(k, value)
	if err != nil {
		return damaged(info, seq)
	}
	now, ok := decodeRoom(info.Room, content)
	switch {
	case ok && now.epoch != info.Epoch:
		return outside(protocol.EpochChanged, Info{First: now.first, Head: now.head, Epoch: now.epoch},
			"the room was made anew since message %d", seq)
	case ok && now.first > seq:
		return outside(protocol.Trimmed, Info{First: now.first, Head: now.head, Epoch: now.epoch},
			"history does not reach back to message %d any more", seq)
	}
	return damaged(info, seq)
}

// blockAt finds where the block begins that holds seq.
func blockAt(r machine.Reader, info Info, seq uint64) (uint64, *protocol.Error) {
	first := seq
	err := scan(r, info, 0, seq, true, func(b block) (bool, *protocol.Error) {
		first = b.first
		return false, nil
	})
	return first, err
}

// scan visits the blocks that begin at lo … hi, checked.
func scan(r machine.Reader, info Info, lo, hi uint64, reverse bool, visit func(block) (bool, *protocol.Error)) *protocol.Error {
	path := appendRoomKey([]byte{keyBlock}, info.Epoch, info.Room)
	from := binary.BigEndian.AppendUint64(append([]byte(nil), path...), lo)
	to := binary.BigEndian.AppendUint64(append([]byte(nil), path...), hi+1)
	var bad *protocol.Error
	err := r.Scan(from, to, reverse, func(key, value []byte) bool {
		v, err := machine.OpenSeal(key, value)
		b, ok := block{}, false
		if err == nil {
			b, ok = parseBlock(v)
		}
		if !ok {
			bad = damaged(info, binary.BigEndian.Uint64(key[len(path):]))
			return false
		}
		var more bool
		more, bad = visit(b)
		return more && bad == nil
	})
	if err != nil {
		return protocol.Errorf(protocol.Unavailable, "read history: %v", err)
	}
	return bad
}

func damaged(info Info, seq uint64) *protocol.Error {
	return outside(protocol.Corrupt, info, "message %d cannot be read from this replica: ask another", seq)
}

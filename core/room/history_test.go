package room_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/barrage-im/barrage/core/room"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// blockKeys are the stored blocks, in order.
func (r *replica) blockKeys() [][]byte {
	var keys [][]byte
	_ = r.store.Scan([]byte{'b'}, []byte{'c'}, false, func(k, _ []byte) bool {
		keys = append(keys, bytes.Clone(k))
		return true
	})
	return keys
}

// threeBlocks is a room with messages 1 to 6, two in a block.
func threeBlocks() (*replica, room.Info) {
	r := newReplica()
	r.must(1000, section(1, 1, 1, lease("e", 5000)))
	for i := range uint64(3) {
		r.must(1000, section(1, 1, 2+2*i,
			publish("a", "u", fmt.Sprint(2*i), "one"), publish("a", "u", fmt.Sprint(2*i+1), "two")))
	}
	info, _ := r.Info("a")
	return r, info
}

func TestHistoryNeverServesDamage(t *testing.T) {
	for _, reverse := range []bool{false, true} {
		r, info := threeBlocks()
		middle := r.blockKeys()[1]
		value, _, _ := r.store.Get(middle)
		for i := range value {
			value[i] ^= 0x10
			r.store.Set(middle, value)
			if _, err := room.History(&r.store, info, 0, 0, 0, reverse); !errors.Is(err, &protocol.Error{Code: protocol.Corrupt}) {
				t.Fatalf("reverse=%t: byte %d of a block is damaged, History says %v", reverse, i, err)
			}
			value[i] ^= 0x10
		}
		r.store.Delete(middle)
		if _, err := room.History(&r.store, info, 0, 0, 0, reverse); !errors.Is(err, &protocol.Error{Code: protocol.Corrupt}) {
			t.Errorf("reverse=%t: a block is missing, History says %v", reverse, err)
		}
		r.store.Set(middle, value)
		r.store.Set(append(middle[:len(middle)-1:len(middle)-1], 4), value)
		if _, err := room.History(&r.store, info, 0, 0, 0, reverse); !errors.Is(err, &protocol.Error{Code: protocol.Corrupt}) {
			t.Errorf("reverse=%t: a block is in the wrong place, History says %v", reverse, err)
		}
	}
}

// A reader's snapshot may be later than the info: what went meanwhile is told,
// not skipped.
func TestHistoryTellsWhatWentMeanwhile(t *testing.T) {
	r, info := threeBlocks()
	r.store.Delete(r.blockKeys()[0])
	if _, err := room.History(&r.store, info, 1, 0, 0, false); err.Code != protocol.Corrupt {
		t.Errorf("the first block is missing: %v, want corrupt", err)
	}

	r, info = threeBlocks()
	r.must(1000, section(0, 0, 0, policies(1, &rpc.Policy{Pattern: "*", RetainMessages: 3, IdleMs: 1})))
	r.must(125_000, section(1, 2, 1, lease("e", 5000), publish("a", "u", "new", "x")))
	for _, reverse := range []bool{false, true} {
		_, err := room.History(&r.store, info, 1, 0, 0, reverse)
		if err == nil || err.Code != protocol.Trimmed || err.First != 5 || err.Head != 7 {
			t.Errorf("reverse=%t: message 1 was trimmed: %+v, want trimmed with first 5 and head 7", reverse, err)
		}
	}

	r.must(90_000_000, section(0, 0, 0, tick()))
	if _, err := room.History(&r.store, info, 1, 0, 0, false); err.Code != protocol.NotFound {
		t.Errorf("the room is gone: %v, want not_found", err)
	}
	r.must(90_000_000, section(1, 3, 1, lease("e", 5000), publish("a", "u", "k", "x")))
	if _, err := room.History(&r.store, info, 6, 0, 0, false); err.Code != protocol.EpochChanged {
		t.Errorf("the room was made anew: %v, want epoch_changed", err)
	}
}

// A snapshot may hold more than the info: the page ends where the info does.
func TestHistoryEndsWithItsInfo(t *testing.T) {
	r, info := threeBlocks()
	info.Head = 3
	page, err := room.History(&r.store, info, 0, 0, 0, false)
	if err != nil || page.Start != 1 || page.Count != 3 || page.More {
		t.Errorf("History = %+v, %v; want messages 1 to 3", page, err)
	}
}

func TestHistoryPageFitsIntoAFrame(t *testing.T) {
	r := newReplica()
	r.must(1000, section(0, 0, 0, policies(1, bigMessages())), section(1, 1, 1, lease("e", 5000)))
	for i := range uint64(60) {
		r.must(1000, section(1, 1, 2+i, publish("a", "u", fmt.Sprint(i), strings.Repeat("x", 30<<10))))
	}
	info, _ := r.Info("a")
	for _, reverse := range []bool{false, true} {
		page, err := room.History(&r.store, info, 0, 1<<30, 1<<30, reverse)
		if err != nil || len(page.Records) > protocol.MaxServerFrame || page.Count < 30 || !page.More {
			t.Errorf("reverse=%t: page of %d records, %d bytes, more=%t, %v", reverse, page.Count, len(page.Records), page.More, err)
		}
	}
}

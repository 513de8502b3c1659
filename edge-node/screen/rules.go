package screen

import (
	"sync"
	"time"

	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// A set is compiled rules and where they hold. It never changes.
type set struct {
	name   string
	rooms  string // pattern
	stage  *rpc.FilterStage
	filter *filter.Filter
	built  time.Duration // that compiling took
	hits   float64       // share of the canary corpus
}

// holds says whether a set, which may be nil, is a stage's bundle.
func (r *set) holds(stage *rpc.FilterStage) bool { return r != nil && sameBundle(r.stage, stage) }

func (r *set) version() uint64 {
	if r == nil {
		return 0
	}
	return r.stage.GetVersion()
}

func (r *set) mode() string { return r.stage.GetMode() }

func (r *set) reports() bool { return r.stage.GetMode() != modeEnforce }

// with is the same rules in another place or mode; the set itself if nothing
// differs. A mode that this version does not know only reports.
func (r *set) with(rooms string, stage *rpc.FilterStage) *set {
	if rooms == r.rooms && stage.GetMode() == r.stage.GetMode() {
		return r
	}
	n := *r
	n.rooms, n.stage = rooms, stage
	return &n
}

// rate is the share of texts that the set hits.
func (r *set) rate(texts [][]byte) float64 {
	if len(texts) == 0 {
		return 0
	}
	hits := 0
	for _, text := range texts {
		if r.filter.Judge(text, filter.MinSeverity).Action != filter.Pass {
			hits++
		}
	}
	return float64(hits) / float64(len(texts))
}

// rules are the sets in force together. Only the cache of rooms changes.
type rules struct {
	sets       []*set // by name
	everywhere bool   // all of them cover every room

	mu     sync.RWMutex // guards covers
	covers map[string][]*set
}

func newRules(sets []*set) *rules {
	r := &rules{sets: sets, everywhere: true, covers: make(map[string][]*set)}
	for _, set := range sets {
		r.everywhere = r.everywhere && set.rooms == "*"
	}
	return r
}

// covering are the sets that cover a room.
func (r *rules) covering(room string) []*set {
	if r.everywhere {
		return r.sets
	}
	r.mu.RLock()
	list, known := r.covers[room]
	r.mu.RUnlock()
	if known {
		return list
	}
	for _, set := range r.sets {
		if protocol.MatchPattern(set.rooms, room) {
			list = append(list, set)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.covers) >= maxCovers {
		clear(r.covers) // those that are still talked in come back
	}
	r.covers[room] = list
	return list
}

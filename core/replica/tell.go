package replica

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// tellers are the followers to which word of a commit is on its way: true when
// there was another commit since.
type tellers struct {
	mu   sync.Mutex
	busy map[raft.ServerID]bool
}

// tell has the followers learn how far the log is committed. Raft tells them
// with the next entry, or within two commitTimeouts.
//
// The message is raft's own, AppendEntries without entries. It is true whenever
// it arrives: it says that the entry of an index and a term is committed, and a
// follower that does not have that very entry, or knows of a newer term,
// refuses it. So it needs no place in the order of raft's messages.
func (s *Shard) tell() {
	f := s.raft.GetConfiguration()
	if f.Error() != nil {
		return // shutting down
	}
	for _, peer := range f.Configuration().Servers {
		if peer.ID == raft.ServerID(s.node.cfg.Node) {
			continue
		}
		s.tellers.mu.Lock()
		_, busy := s.tellers.busy[peer.ID]
		s.tellers.busy[peer.ID] = busy
		s.tellers.mu.Unlock()
		if !busy {
			s.node.run(func(ctx context.Context) { s.tellPeer(ctx, peer) })
		}
	}
}

// tellPeer tells one follower until it knows the last commit, or cannot be told.
func (s *Shard) tellPeer(ctx context.Context, peer raft.Server) {
	pause := tellPause
	for again := true; again; {
		took, err := s.tellOnce(peer)
		s.tellers.mu.Lock()
		newer := s.tellers.busy[peer.ID]
		if again = err == nil && (newer || !took && pause < commitTimeout/2); again {
			s.tellers.busy[peer.ID] = false
		} else {
			delete(s.tellers.busy, peer.ID)
		}
		s.tellers.mu.Unlock()
		if again && !took { // the entry is on its way there
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			pause *= 2
		}
	}
}

// tellOnce reports whether the follower has the last entry that was applied
// here, and so knows now that it is committed.
func (s *Shard) tellOnce(peer raft.Server) (took bool, err error) {
	s.view.RLock()
	at := s.position
	s.view.RUnlock()
	if at.term != s.raft.CurrentTerm() || !s.elected.Load() {
		return false, ErrNotLeader
	}
	s.metrics.told.Inc()
	var answer raft.AppendEntriesResponse
	err = s.trans.AppendEntries(peer.ID, peer.Address, &raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{
			ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(s.node.cfg.Node),
			Addr: s.trans.EncodePeer(raft.ServerID(s.node.cfg.Node), raft.ServerAddress(s.node.cfg.Address)),
		},
		Term: at.term, PrevLogEntry: at.index, PrevLogTerm: at.term, LeaderCommitIndex: at.index,
	}, &answer)
	return answer.Success, err
}

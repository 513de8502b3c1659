package replica

import (
	"bytes"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// impostor is a raft transport of somebody who got as far as the raft port but
// is no member of the shard.
type impostor struct {
	t *testing.T
	m *member
}

func (i impostor) Dial(raft.ServerAddress, time.Duration) (net.Conn, error) {
	us, them := net.Pipe()
	i.m.Handoff(them)
	_, err := us.Write(shardHeader(1))
	return us, err
}
func (i impostor) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (i impostor) Close() error              { return nil }
func (i impostor) Addr() net.Addr            { return address("impostor") }

// B72, B73: well-formed requests of an old term, from a node that is no member.
// The snapshot is announced as a terabyte and then held open; the shard goes on.
func TestRequestsOfAnOldTermChangeNothing(t *testing.T) {
	t.Parallel()
	c, m := one(t, func(cfg *Config) { cfg.hooks.stall = 300 * time.Millisecond })
	c.put(1, "x")
	before := dump(m, 1)
	r := m.Shard(1).raft
	term, last := r.CurrentTerm(), r.LastIndex()
	trans := raft.NewNetworkTransport(impostor{t, m}, 1, 10*time.Second, io.Discard)
	defer trans.Close()
	who := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("z"), Addr: []byte("z")}
	me, at := raft.ServerID("a"), raft.ServerAddress(m.cfg.Address)

	var appended raft.AppendEntriesResponse
	if err := trans.AppendEntries(me, at, &raft.AppendEntriesRequest{
		RPCHeader: who, Term: term - 1, PrevLogEntry: last, PrevLogTerm: term, LeaderCommitIndex: last + 1,
		Entries: []*raft.Log{{Index: last + 1, Term: term - 1, Data: []byte("forged")}},
	}, &appended); err != nil || appended.Success {
		t.Errorf("append: %v, %v", appended, err)
	}
	var voted raft.RequestVoteResponse
	if err := trans.RequestVote(me, at, &raft.RequestVoteRequest{RPCHeader: who, Term: term - 1, LastLogIndex: last + 9, LastLogTerm: term}, &voted); err != nil || voted.Granted {
		t.Errorf("vote: %v, %v", voted, err)
	}
	var installed raft.InstallSnapshotResponse
	err := trans.InstallSnapshot(me, at, &raft.InstallSnapshotRequest{
		RPCHeader: who, SnapshotVersion: raft.SnapshotVersionMax, Term: term - 1, LastLogIndex: last + 9, LastLogTerm: term, Size: 1 << 40,
	}, &installed, strings.NewReader("not a terabyte"))
	if err == nil && installed.Success {
		t.Errorf("snapshot: %v", installed)
	}
	if r.CurrentTerm() != term || r.LastIndex() != last || !bytes.Equal(dump(m, 1), before) {
		t.Errorf("term %d, last %d; were %d, %d", r.CurrentTerm(), r.LastIndex(), term, last)
	}
	c.put(1, "still here")
}

// B73: a snapshot that is announced large and cut half way leaves nothing: it
// is made beside the state, and never swapped in.
func TestASnapshotThatIsCutLeavesNothing(t *testing.T) {
	t.Parallel()
	c, m := one(t, nil)
	c.put(1, "x")
	before := dump(m, 1)
	s := m.Shard(1)
	sink, err := s.snaps.Create(raft.SnapshotVersionMax, 1000, 9, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	stream, _ := streamOf(t, 1000)
	if _, err := sink.Write(stream[:len(stream)/2]); err != nil {
		t.Fatal(err)
	}
	if err := sink.Cancel(); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(s.snaps.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), receivedPrefix) {
			t.Errorf("%s is left", f.Name())
		}
	}
	if !bytes.Equal(dump(m, 1), before) {
		t.Error("the state has changed")
	}
	c.put(1, "still here")
}

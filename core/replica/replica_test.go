package replica

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestSectionsAreCommittedInOrderOnEveryNode(t *testing.T) {
	t.Parallel()
	c := three(t, nil, 0, 1)
	for i := range 100 {
		c.put(1, fmt.Sprint("n", i))
		if i%10 == 0 {
			c.put(0, fmt.Sprint("control", i))
		}
	}
	c.equal(0)
	c.equal(1)
	if n := count(c.leader(1), 1); n < 101 { // and a term's first
		t.Fatalf("%d sections, want 101 or more", n)
	}
}

func TestDoneTellsPositionAndEffectsInSubmitOrder(t *testing.T) {
	t.Parallel()
	c, m := one(t, nil)
	_ = c
	const n = 5000
	var mu sync.Mutex
	var order []int
	var at []uint64
	all := make(chan struct{})
	for k := range n {
		m.Shard(1).Submit(tallySection(fmt.Sprint(k)), func(i int, effects any, err error) {
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			order = append(order, k)
			if e, ok := effects.(tallied); ok {
				at = append(at, e.first+uint64(i))
			}
			if len(order) == n {
				close(all)
			}
		})
	}
	<-all
	for k := range n {
		if order[k] != k || at[k] != at[0]+uint64(k) {
			t.Fatalf("answer %d is of section %d at %d", k, order[k], at[k])
		}
	}
	if calls := m.tally[1].calls.Load(); calls > n/2 {
		t.Errorf("%d sections took %d entries: nothing was packed", n, calls)
	}
}

func TestFollowerRefusesAtOnce(t *testing.T) {
	t.Parallel()
	c := three(t, nil)
	f := c.followers(1)[0]
	if got := submit(f, 1, "x"); !errors.Is(got.err, ErrNotLeader) {
		t.Fatalf("got %v, want ErrNotLeader", got.err)
	}
	if err := f.Shard(1).Verify(t.Context()); !errors.Is(err, ErrNotLeader) {
		t.Fatalf("verify on a follower: %v", err)
	}
	eventually(t, "the follower to know its leader", func() bool {
		id, addr, ok := f.Shard(1).Leader()
		return ok && id == c.leader(1).cfg.Node && addr == c.leader(1).cfg.Address
	})
}

func TestLeaderLossAnswersEverythingOnceAndTheRestGoesOn(t *testing.T) {
	t.Parallel()
	c := three(t, nil)
	c.put(1, "before")
	old := c.leader(1)
	c.setCut(old.cfg.Node, true)
	answers := make(chan answer, 200)
	for i := range 100 {
		old.Shard(1).Submit(tallySection(fmt.Sprint("lost", i)), func(i int, e any, err error) { answers <- answer{i, e, err} })
	}
	for range 100 {
		a := <-answers
		if !errors.Is(a.err, ErrUnknown) && !errors.Is(a.err, ErrNotLeader) {
			t.Fatalf("without a majority: %v", a.err)
		}
	}
	for i := range 20 {
		c.put(1, fmt.Sprint("after", i))
	}
	c.setCut(old.cfg.Node, false)
	c.put(1, "healed")
	c.equal(1)
	select {
	case a := <-answers:
		t.Fatalf("answered twice: %v", a)
	default:
	}
}

func TestRestartReplaysOnlyWhatIsMissing(t *testing.T) {
	t.Parallel()
	c, m := one(t, nil)
	for i := range 200 {
		c.put(1, fmt.Sprint(i))
	}
	want := dump(m, 1)
	c.stop("a")
	m = c.must(c.restart(m, nil))
	if got := dump(m, 1); string(got) != string(want) {
		t.Fatalf("after restart, before any election:\n%s\nwant\n%s", got, want)
	}
	c.put(1, "more")
	// The new term's first section and the one just put: nothing of the past.
	if n := m.tally[1].calls.Load(); n > 3 {
		t.Fatalf("%d entries were applied again", n-2)
	}
}

func TestRestartAppliesWhatTheStoreHadNotKept(t *testing.T) {
	t.Parallel()
	c, m := one(t, nil)
	for i := range 50 {
		c.put(1, fmt.Sprint(i))
	}
	want := count(m, 1)
	c.stop("a")
	// The store was not synced when the power went: it is as it was at first.
	removeAll(t, m.cfg.Dir+"/state")
	m = c.must(c.restart(m, nil))
	c.put(1, "more")
	if n := count(m, 1); n < want+1 {
		t.Fatalf("%d sections after replay, want %d or more", n, want+1)
	}
}

func TestNewNodeCatchesUpBySnapshotAfterTruncation(t *testing.T) {
	t.Parallel()
	c := three(t, func(cfg *Config) { cfg.TrailingEntries = 10 })
	for i := range 300 {
		c.put(1, fmt.Sprint(i))
	}
	leader := c.leader(1)
	if err := leader.Shard(1).Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if first, err := leader.Shard(1).logs.FirstIndex(); err != nil || first < 100 {
		t.Fatalf("log begins at %d (%v): not truncated", first, err)
	}
	restored := make(chan uint32, 10)
	d := c.must(c.open("d", "", func(cfg *Config) { cfg.Restored = func(shard uint32) { restored <- shard } }))
	if err := leader.Shard(1).AddPeer(t.Context(), Peer{ID: "d", Address: d.cfg.Address}); err != nil {
		t.Fatal(err)
	}
	c.put(1, "after")
	c.equal(1)
	if shard := <-restored; shard != 1 {
		t.Fatalf("told of shard %d", shard)
	}
	if n := d.tally[1].calls.Load(); n > 50 {
		t.Fatalf("%d entries were applied: it came by log, not by snapshot", n)
	}
	eventually(t, "the learner to know what it is", func() bool { return d.Shard(1).Status().State == "learner" })

	// And it survives its restart, with what came by snapshot.
	c.stop("d")
	d = c.must(c.restart(d, nil))
	c.put(1, "again")
	c.equal(1)
}

func TestMembership(t *testing.T) {
	t.Parallel()
	c := three(t, nil)
	d := c.must(c.open("d", "", nil))
	leader := c.leader(1)
	ctx := t.Context()
	if err := leader.Shard(1).AddPeer(ctx, Peer{ID: "d", Address: d.cfg.Address, Voter: true}); err != nil {
		t.Fatal(err)
	}
	c.put(1, "with d")
	c.equal(1)
	if err := leader.Shard(1).Transfer(ctx, "d"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "d to lead", func() bool { return d.Shard(1).Verify(ctx) == nil })
	c.put(1, "by d")
	if err := d.Shard(1).AddPeer(ctx, Peer{ID: leader.cfg.Node, Address: leader.cfg.Address}); err != nil {
		t.Fatal(err)
	}
	st := d.Shard(1).Status()
	if len(st.Voters) != 3 || len(st.Nonvoters) != 1 || st.Nonvoters[0] != leader.cfg.Node {
		t.Fatalf("after demotion: voters %v, others %v", st.Voters, st.Nonvoters)
	}
	if err := d.Shard(1).RemovePeer(ctx, leader.cfg.Node); err != nil {
		t.Fatal(err)
	}
	if n := len(d.Shard(1).Peers()); n != 3 {
		t.Fatalf("%d members after removal", n)
	}
	if err := leader.Shard(1).AddPeer(ctx, Peer{ID: "x", Address: "127.0.0.1:1"}); !errors.Is(err, ErrNotLeader) {
		t.Fatalf("a node that does not lead changed members: %v", err)
	}
}

// Between regions a commit takes long. What arrives meanwhile must not wait for
// it, or a publish would take twice as long.
func TestAnEntryDoesNotWaitForTheOneBefore(t *testing.T) {
	t.Parallel()
	c := three(t, nil)
	leader := c.leader(1)
	from := leader.cfg.Node
	for _, f := range c.followers(1) {
		c.freeze(from, f.cfg.Node, true)
		defer c.freeze(from, f.cfg.Node, false)
	}
	s := leader.Shard(1)
	before := s.raft.LastIndex()
	for i := range 3 {
		s.Submit(tallySection(fmt.Sprint(i)), func(int, any, error) {})
		eventually(t, fmt.Sprint("entry ", i, " in the log"), func() bool { return s.raft.LastIndex() > before+uint64(i) })
	}
	if got := count(leader, 1); got > 1 {
		t.Fatalf("%d sections applied without a majority", got)
	}
}

// Without the empty entry behind a commit, a follower of a quiet group hears of
// it one to two CommitTimeouts (50 ms) later.
func TestFollowerHearsOfACommitAtOnce(t *testing.T) {
	t.Parallel()
	c := three(t, nil)
	f, leader := c.followers(1)[0], c.leader(1)
	type moment struct {
		index uint64
		at    time.Time
	}
	watch := func(m *member) chan moment {
		seen := make(chan moment, 100)
		report := func(_ uint32, index uint64, _ any) { seen <- moment{index, time.Now()} }
		m.applied.Store(&report)
		return seen
	}
	atLeader, atFollower := watch(leader), watch(f)
	var delays []time.Duration
	for i := range 20 {
		if a := submit(leader, 1, fmt.Sprint("quiet", i)); a.err != nil {
			t.Fatal(a.err)
		}
		l, m := <-atLeader, <-atFollower
		for m.index < l.index { // of before we watched
			m = <-atFollower
		}
		delays = append(delays, m.at.Sub(l.at))
		eventually(t, "a quiet group", func() bool {
			last := leader.Shard(1).raft.LastIndex()
			return leader.Shard(1).raft.AppliedIndex() == last && f.Shard(1).raft.LastIndex() == last
		})
	}
	slices.Sort(delays)
	t.Logf("a follower applies %s after the leader (median; worst %s)", delays[len(delays)/2], delays[len(delays)-1])
	if d := delays[len(delays)/2]; d > 40*time.Millisecond {
		t.Fatalf("a follower applies %s after the leader", d)
	}
}

// A node that starts again is behind what it has answered before until it has
// applied its log, which it can only once it hears of a leader.
func TestANodeThatStartsAgainCatchesUp(t *testing.T) {
	t.Parallel()
	c := three(t, nil)
	for i := range 20 {
		c.put(1, fmt.Sprint(i))
	}
	c.equal(1)
	f := c.followers(1)[0]
	if !f.Shard(1).CaughtUp() {
		t.Error("a node that has applied everything is behind")
	}
	c.stop(f.cfg.Node)
	c.setCut(f.cfg.Node, true)
	f = c.must(c.restart(f, nil))
	if f.Shard(1).CaughtUp() {
		t.Error("a node that hears nobody has caught up with its log")
	}
	c.setCut(f.cfg.Node, false)
	eventually(t, "the node to catch up", f.Shard(1).CaughtUp)
}

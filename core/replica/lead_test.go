package replica

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestLeadershipGoesToItsPreferredRegion(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds of elections")
	}
	regions := map[string]string{"a": "eu", "b": "us", "c": "ap"}
	c := three(t, func(cfg *Config) {
		cfg.Region = regions[cfg.Node]
		cfg.PeerRegion = func(node string) string { return regions[node] }
		cfg.Preferred = func(uint32) string { return "us" }
	})
	eventually(t, "b to lead", func() bool { return c.nodes["b"].Shard(1).Verify(t.Context()) == nil })
	c.put(1, "x")

	// And when that region is gone, somebody else leads and keeps leading.
	c.setCut("b", true)
	other := c.leader(1)
	c.put(1, "y")
	if err := other.Shard(1).Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.setCut("b", false)
	eventually(t, "b to lead again", func() bool { return c.nodes["b"].Shard(1).Verify(t.Context()) == nil })
}

func TestOneTransferAtATime(t *testing.T) {
	t.Parallel()
	c := three(t, nil)
	leader := c.leader(1)
	leader.Shard(1).transfers.Lock()
	if err := leader.Shard(1).Transfer(t.Context(), ""); !errors.Is(err, ErrBusy) {
		t.Fatalf("a second transfer: %v", err)
	}
	leader.Shard(1).transfers.Unlock()
	if err := leader.Shard(1).Transfer(t.Context(), "nobody"); err == nil {
		t.Fatal("transferred to nobody")
	}
	changes := leader.Shard(1).LeaderChanges()
	if err := leader.Shard(1).Transfer(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	<-changes
	eventually(t, "another leader", func() bool { return c.leader(1) != leader })
}

func TestALeaderStuckInATransferEnds(t *testing.T) {
	t.Parallel()
	c, m := one(t, nil)
	_ = c
	m.Shard(1).stuck.Store(time.Now().Add(-time.Minute).UnixNano())
	err := <-m.fatal
	if !strings.Contains(err.Error(), "696") {
		t.Fatal(err)
	}
}

// Hashicorp/raft issue 696: two transfers to a voter that hangs leave a leader
// that refuses every entry, also after it lost and regained leadership. Such a
// leader must end, and work after its restart.
func TestTransfersToAHangingVoter(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds of elections")
	}
	c := three(t, nil)
	leader := c.leader(1)
	id, target := leader.cfg.Node, c.followers(1)[0].cfg.Node
	c.freeze(id, target, true)
	defer c.freeze(id, target, false)
	for i := range 3 {
		// An entry that the target misses: the transfer waits for it.
		if a := submit(leader, 1, fmt.Sprint("missed ", i)); a.err != nil && !errors.Is(a.err, ErrNotLeader) {
			t.Fatal(a.err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err := leader.Shard(1).Transfer(ctx, target)
		cancel()
		t.Logf("transfer %d from %s to %s: %v", i, id, target, err)
	}
	c.setCut(id, true)
	c.put(1, "meanwhile")
	c.freeze(id, target, false)
	c.setCut(id, false)
	c.put(1, "healed")

	ended := false
	eventually(t, "the node to lead again and work", func() bool {
		m := c.nodes[id]
		select {
		case err := <-m.fatal:
			if !strings.Contains(err.Error(), "696") {
				t.Fatal(err)
			}
			t.Log(err)
			ended = true
			c.stop(id)
			c.must(c.restart(m, nil))
			return false
		default:
		}
		if submit(m, 1, "again").err == nil {
			return true
		}
		for _, now := range c.nodes {
			if now != m && now.Shard(1).Verify(t.Context()) == nil {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				_ = now.Shard(1).Transfer(ctx, id) // seen in the next round
				cancel()
			}
		}
		return false
	})
	c.equal(1)
	t.Logf("the leader had to end: %v", ended)
}

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
	c, m := one(t, nil)
	_ = c
	m.Shard(1).stuck.Store(time.Now().Add(-time.Minute).UnixNano())
	err := <-m.fatal
	if !strings.Contains(err.Error(), "696") {
		t.Fatal(err)
	}
}

// Transfers that are interrupted by a partition must not leave a leader that
// refuses every entry for ever (hashicorp/raft issue 696): either it works when
// it is elected again, or it ends and works after its restart.
func TestTransfersUnderPartitions(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds of elections")
	}
	c := three(t, nil)
	ended := 0
	for round := range 5 {
		leader := c.leader(1)
		id := leader.cfg.Node
		target := c.followers(1)[0].cfg.Node
		c.freeze(id, true)
		// An entry that cannot be sent: the transfer has to wait for it.
		answered := make(chan error, 1)
		leader.Shard(1).Submit(tallySection(fmt.Sprint("round", round)), func(_ int, _ any, err error) { answered <- err })
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err := leader.Shard(1).Transfer(ctx, target)
		cancel()
		t.Logf("round %d: transfer %s to %s: %v", round, id, target, err)
		c.setCut(id, true)
		c.freeze(id, false)
		<-answered
		c.put(1, "meanwhile") // on the majority
		c.setCut(id, false)
		c.put(1, "healed")
		// Have the node lead again; it may have to end first.
		eventually(t, "the node to lead again and work", func() bool {
			m := c.nodes[id]
			select {
			case err := <-m.fatal:
				t.Logf("round %d: %v", round, err)
				ended++
				c.stop(id)
				c.must(c.restart(m, nil))
				return false
			default:
			}
			if submit(m, 1, "again").err == nil {
				return true
			}
			if now := c.leader(1); now != m {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_ = now.Shard(1).Transfer(ctx, id) // looked at in the next round
			}
			return false
		})
	}
	c.equal(1)
	t.Logf("%d of 5 transfers ended their process", ended)
}

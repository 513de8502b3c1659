package replica

import (
	"fmt"
	"testing"
	"time"
)

// Whether a majority is near decides if an entry waits for the one in flight.
func TestAnEntryWaitsForTheOneInFlightOnlyWhereAMajorityIsNear(t *testing.T) {
	for _, c := range []struct {
		name        string
		commit      time.Duration
		least, most time.Duration
	}{
		{"within a region", 2 * time.Millisecond, closeAfter + time.Millisecond, closeNear},
		{"between regions", 80 * time.Millisecond, 0, closeAfter},
	} {
		p := &proposer{}
		for range 20 {
			p.committed(c.commit)
		}
		p.inFlight, p.last = 1, time.Now().Add(time.Minute) // as if proposed later: no time has passed
		due := p.due() - time.Until(p.last)
		if due < c.least || due > c.most+time.Millisecond {
			t.Errorf("%s: the next entry is due in %s; want %s to %s", c.name, due, c.least, c.most)
		}
		p.bytes = entryBytes
		if p.due() != 0 {
			t.Errorf("%s: a full entry waits", c.name)
		}
	}
}

// What waits for the entry in flight is proposed soon after that is answered,
// though nothing more comes: not when it would have overtaken it.
func TestTheEndOfAnEntryBringsTheNextForward(t *testing.T) {
	p := newProposer(nil)
	p.mu.Lock() // the timer waits
	defer p.mu.Unlock()
	defer p.timer.Stop()
	p.committed(2 * time.Millisecond)
	later := time.Now().Add(time.Minute) // as if all happened then: no time has passed
	p.leading, p.busy, p.inFlight, p.last = true, true, 1, later
	p.queue, p.bytes = []section{{bytes: make([]byte, busyBytes)}}, busyBytes
	p.look()
	if after := p.alarm.Sub(p.last); after < closeAfter {
		t.Fatalf("while one is in flight, the next is due %s after it", after)
	}
	p.inFlight, p.ended = 0, later
	p.look()
	if after := p.alarm.Sub(p.ended); after > gatherMax {
		t.Errorf("after the end of the one in flight, the next is due in %s", after)
	}
}

// The followers of an idle shard know of a commit long before raft tells them.
func TestFollowersAreToldOfACommit(t *testing.T) {
	t.Parallel()
	c := three(t, nil)
	leader := c.leader(1)
	for i := range 5 {
		c.put(1, fmt.Sprint(i))
		put := time.Now()
		want := leader.Shard(1).AppliedIndex()
		for _, f := range c.followers(1) {
			for f.Shard(1).AppliedIndex() < want {
				if time.Since(put) > commitTimeout*9/10 {
					t.Fatalf("%s has applied %d of %d entries after %s", f.cfg.Node, f.Shard(1).AppliedIndex(), want, time.Since(put))
				}
				time.Sleep(time.Millisecond)
			}
		}
	}
}

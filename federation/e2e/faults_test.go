package e2e

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// seed is where the faults of a run come from: BARRAGE_SEED, or the clock. It
// reproduces which faults come when; what the cluster is doing meanwhile is
// the machine's affair.
func seed(t *testing.T) uint64 {
	t.Helper()
	s := uint64(time.Now().UnixNano())
	if text := os.Getenv("BARRAGE_SEED"); text != "" {
		var err error
		if s, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("BARRAGE_SEED: %v", err)
		}
	}
	t.Logf("BARRAGE_SEED=%d", s)
	return s
}

// between is a random time in a range.
func between(source *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(source.Int64N(int64(most-least)))
}

// progress waits until n more messages were acknowledged: the cluster works.
func (l *load) progress(t *testing.T, n int64) time.Duration {
	t.Helper()
	start, from := time.Now(), l.acked.Load()
	for l.acked.Load() < from+n {
		if time.Since(start) > settle {
			for _, p := range l.cluster.all() {
				t.Logf("%s: metrics and goroutines are in %s", p.name, p.examine(t.Context()))
			}
			t.Fatalf("only %d messages were acknowledged within %s after the fault", l.acked.Load()-from, settle)
		}
		time.Sleep(20 * time.Millisecond) // real processes, real time
	}
	return time.Since(start)
}

// 200 publishers in 50 rooms pipeline and retry blindly while the leader, a
// follower, an edge and then all cores at once are killed and started again.
// What the clients saw proves C1 and C2 (docs/reliability.md).
func TestNothingIsLostDoubledOrReorderedUnderKills(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes for a minute")
	}
	s := seed(t)
	source := rand.New(rand.NewPCG(s, 1))
	c := startCluster(t, clusterOptions{})
	l := startLoad(t, c, loadOptions{rooms: 50, perRoom: 4, pause: 200 * time.Millisecond, seed: s})
	l.progress(t, 500)

	restart := func(what string, victims ...*process) {
		time.Sleep(between(source, 200*time.Millisecond, time.Second)) // when the fault comes
		for _, p := range victims {
			p.kill()
		}
		away := between(source, 500*time.Millisecond, 3*time.Second)
		time.Sleep(away) // how long they are away
		for _, p := range victims {
			if err := p.start(); err != nil {
				t.Fatal(err)
			}
		}
		c.waitReady(t, victims...)
		t.Logf("%s: away for %v, then 500 acknowledgements in %v", what, away.Round(time.Millisecond), l.progress(t, 500).Round(time.Millisecond))
	}
	leader := c.leader(t)
	restart("kill -9 the leader", c.cores[leader])
	restart("kill -9 a follower", c.cores[(c.leader(t)+1+source.IntN(coreCount-1))%coreCount])
	restart("kill -9 an edge", c.edges[source.IntN(edgeCount)])
	restart("kill -9 all cores at once", c.cores...)

	if report := l.finish(t); !report.OK() {
		t.Errorf("promises were broken:\n%s", report)
	}
}

// All cores lose power at once, again and again, on file systems that keep
// only what was synced: every acknowledged message is there afterwards (C4).
func TestPowerCutLosesNothingAcknowledged(t *testing.T) {
	if testing.Short() {
		t.Skip("cuts the power for minutes")
	}
	s := seed(t)
	source := rand.New(rand.NewPCG(s, 2))
	var volumes []*volume
	var dirs []string
	for i := range coreCount {
		v := newVolume(t, "c"+strconv.Itoa(i+1), 1500)
		volumes, dirs = append(volumes, v), append(dirs, v.dir)
	}
	c := startCluster(t, clusterOptions{data: dirs})
	l := startLoad(t, c, loadOptions{rooms: 20, perRoom: 2, pause: 20 * time.Millisecond, seed: s})
	for cut := range powerCuts {
		l.progress(t, 300)
		time.Sleep(between(source, 0, time.Second)) // when the power goes
		if err := cutPower(volumes, c.cores...); err != nil {
			t.Fatal(err)
		}
		for _, v := range volumes {
			if err := v.unmount(); err != nil {
				t.Fatal(err)
			}
			if err := v.mount(); err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range c.cores {
			if err := p.start(); err != nil {
				t.Fatal(err)
			}
		}
		c.waitReady(t, c.cores...)
		t.Logf("cut %d of %d: %d acknowledged so far", cut+1, powerCuts, l.acked.Load())
	}
	if report := l.finish(t); !report.OK() {
		t.Errorf("promises were broken:\n%s", report)
	}
}

// powerCuts is how often the power goes in one run, each time at another
// moment of the load.
const powerCuts = 20

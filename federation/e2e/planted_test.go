package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/barrage-im/barrage/protocol/client"
	"github.com/barrage-im/barrage/protocol/history"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// A faultScript is the least that must happen for a bug to show. It is run with
// publishers at work, and leaves them at work.
type faultScript struct {
	name string
	load loadOptions
	run  func(*testing.T, *load, []*witness)
}

var (
	steady   = faultScript{"steady load", loadOptions{rooms: 1, perRoom: 6, pause: 10 * time.Millisecond}, untroubled}
	cuts     = faultScript{"cut connections", loadOptions{rooms: 1, perRoom: 6, pause: 10 * time.Millisecond}, cutConnections}
	restart  = faultScript{"restart of all cores", loadOptions{rooms: 4, perRoom: 2, pause: 20 * time.Millisecond}, restartCores}
	isolated = faultScript{"leader isolated and lost", loadOptions{rooms: 8, perRoom: 4, pause: 40 * time.Millisecond}, loseIsolatedLeader}
)

// plantedBugs are the bugs that a build with the tag plantedbugs can be asked
// to have, what brings each to light, and the promises it must be seen to
// break.
var plantedBugs = []struct {
	name   string // in BARRAGE_PLANT
	script faultScript
	breaks []history.Promise
}{
	{"ack-before-commit", isolated, []history.Promise{history.C4Lost}},
	{"forget-keys", restart, []history.Promise{history.C1a, history.C2Twice}},
	{"reuse-seq", restart, []history.Promise{history.C1b, history.C4Lost}},
	{"reorder-fanout", steady, []history.Promise{history.C2Hole}},
	{"lost-tail-on-resume", cuts, []history.Promise{history.C2Hole}},
}

// The checker is checked: the same binary, faults and checker say that all is
// well when no bug is planted, and name the broken promise when one is.
func TestPlantedBugsAreCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("starts six clusters")
	}
	t.Run("none", func(t *testing.T) {
		c := plantedCluster(t, "")
		for _, script := range []faultScript{steady, cuts, isolated, restart} {
			t.Run(script.name, func(t *testing.T) {
				report, behind := script.play(t, c)
				if !report.OK() || len(behind) > 0 {
					t.Errorf("promises are broken without a planted bug; behind are %v\n%s", behind, report)
				}
			})
			c.revive(t)
		}
	})
	for _, bug := range plantedBugs {
		t.Run(bug.name, func(t *testing.T) {
			report, _ := bug.script.play(t, plantedCluster(t, bug.name))
			for _, promise := range bug.breaks {
				if report.Counts[promise] == 0 {
					t.Errorf("the checker does not see that %s is broken: %s", promise, report)
				}
			}
			for _, v := range report.Violations {
				if slices.Contains(bug.breaks, v.Promise) {
					t.Logf("such as %s", v)
					break
				}
			}
		})
	}
}

// catchUpTime is enough for readers to catch up with a few hundred messages, and
// short, since with some planted bugs they never do.
const catchUpTime = 3 * time.Second

// plantedCluster starts a cluster that may be ended in any way.
func plantedCluster(t *testing.T, plant string) *cluster {
	t.Helper()
	c := startCluster(t, clusterOptions{tags: "plantedbugs", plant: plant})
	t.Cleanup(func() {
		for _, p := range c.all() {
			p.kill()
		}
	})
	return c
}

// play runs the script under load. It returns what the checker says, and who
// did not come to the end of the log.
func (s faultScript) play(t *testing.T, c *cluster) (report *history.Report, behind []string) {
	t.Helper()
	o := s.load
	o.patience = catchUpTime
	o.seed, o.prefix = seed(t), strings.ReplaceAll(s.name, " ", "-")+"-"
	l := startLoad(t, c, o)
	witnesses := l.watch(t)
	l.progress(t, 100)
	s.run(t, l, witnesses)
	l.progress(t, 100)
	events := l.complete(t)
	l.hearOut(events, witnesses)
	report = history.Check(l.record.Events())
	t.Logf("%d sent, %d acknowledged, %d delivered, %d gaps; broken: %v", report.Sends, report.Acks, report.Deliveries, report.Gaps, report.Counts)
	return report, l.behind
}

// hearOut gives the witnesses time to come to the ends of the logs in events.
func (l *load) hearOut(events []history.Event, witnesses []*witness) {
	last := map[string]uint64{}
	for _, e := range events {
		if e.Kind == history.Log {
			last[e.Room] = e.Last
		}
	}
	deadline := time.Now().Add(catchUpTime)
	for _, w := range witnesses {
		for w.seq.Load() < last[w.room] && time.Now().Before(deadline) {
			time.Sleep(20 * time.Millisecond) // real processes, real time
		}
		if at := w.seq.Load(); at < last[w.room] {
			l.behind = append(l.behind, fmt.Sprintf("%s (at %d of %d)", w.name, at, last[w.room]))
		}
		l.record.Add(history.Event{Kind: history.End, Client: w.name, Room: w.room})
	}
}

// revive starts the cores that a script has left dead.
func (c *cluster) revive(t *testing.T) {
	t.Helper()
	for _, p := range c.cores {
		if !p.running() {
			if err := p.start(); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.waitReady(t, c.all()...)
}

func untroubled(t *testing.T, l *load, _ []*witness) { l.progress(t, 500) }

// cutConnections breaks everybody's connection while messages flow.
func cutConnections(t *testing.T, l *load, witnesses []*witness) {
	for range 5 {
		for _, w := range witnesses {
			w.cut()
		}
		for _, c := range l.clients {
			c.Reconnect()
		}
		l.progress(t, 50)
	}
}

// restartCores restarts all cores and has messages sent again that were
// acknowledged before. It lets the cores rest first and ends them in good
// order, so that their replicas are loaded in one and the same state: those
// that are loaded in different ones would disagree about what a planted bug
// makes them forget, and that would be another bug.
func restartCores(t *testing.T, l *load, _ []*witness) {
	l.quiesce(t)
	time.Sleep(500 * time.Millisecond) // for followers to hear of the last commits
	for _, p := range l.cluster.cores {
		p.signal(syscall.SIGTERM)
	}
	for _, p := range l.cluster.cores {
		if !p.wait(settle) {
			t.Fatalf("%s does not stop; its last lines:\n%s", p.name, p.tail(20))
		}
	}
	l.cluster.revive(t)
	l.repeatAcknowledged(t, 5)
	l.resume()
}

// repeatAcknowledged publishes the first messages of every member again, under
// their keys, as an application does that has missed the acknowledgement.
func (l *load) repeatAcknowledged(t *testing.T, each int) {
	t.Helper()
	acked := map[string]history.Event{}
	for _, e := range l.record.Events() {
		if e.Kind == history.Ack {
			acked[e.ID] = e
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), settle)
	defer cancel()
	for _, m := range l.members {
		for n := 1; n <= each; n++ {
			e, ok := acked[fmt.Sprintf("%s/%d", m.name, n)]
			if !ok {
				continue
			}
			e.Kind, e.Seq, e.Epoch = history.Send, 0, ""
			l.record.Add(e)
			ack, err := m.in.Publish(ctx, client.Message{Key: e.ID, Kind: "chat", Text: e.ID})
			if err != nil {
				t.Fatalf("%s publishes %s again: %v", m.name, e.ID, err)
			}
			l.settle(m, e.ID, ack, nil)
		}
	}
}

// loseIsolatedLeader stops the core nodes around the leader, so that it cannot
// commit, and kills it a moment later: what it has acknowledged by itself dies
// with it. The leader is the core of the first edge, which alone can still
// propose.
func loseIsolatedLeader(t *testing.T, l *load, _ []*witness) {
	c := l.cluster
	leader := c.cores[1]
	c.lead(t, leader)
	l.progress(t, 100)
	for _, p := range c.cores {
		if p != leader {
			p.signal(syscall.SIGSTOP)
		}
	}
	time.Sleep(400 * time.Millisecond) // less than the lease of a leader that hears nothing
	leader.kill()
	for _, p := range c.cores {
		if p != leader {
			p.signal(syscall.SIGCONT)
		}
	}
}

// lead hands all room shards to one core node.
func (c *cluster) lead(t *testing.T, node *process) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), settle)
	defer cancel()
	c.eventually(t, ctx, "hand all shards to "+node.name, func() error {
		return c.ask(ctx, func(ctx context.Context, op rpc.OperatorClient) error {
			status, err := op.ClusterStatus(ctx, &rpc.StatusRequest{})
			if err != nil {
				return err
			}
			elsewhere := map[uint32]string{}
			for _, n := range status.GetNodes() {
				for _, shard := range n.GetShards() {
					if shard.GetShard() > 0 && shard.GetState() == "leader" && n.GetNode().GetId() != node.name {
						elsewhere[shard.GetShard()] = n.GetNode().GetId()
					}
				}
			}
			if len(elsewhere) == 0 {
				return nil
			}
			for _, shard := range slices.Sorted(maps.Keys(elsewhere)) {
				res, err := op.TransferLeader(ctx, &rpc.TransferLeaderRequest{Shard: shard, Node: node.name})
				if err != nil {
					return err
				}
				if res.GetCode() != 0 {
					return fmt.Errorf("shard %d: code %d: %s", shard, res.GetCode(), res.GetMessage())
				}
			}
			return fmt.Errorf("shards led elsewhere: %v", elsewhere)
		})
	})
}

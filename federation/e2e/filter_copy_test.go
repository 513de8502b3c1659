package e2e

import (
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/client"
)

// An edge that starts while no core node can be reached has the rules in force
// that it had when it ended; with the first message after core is back they
// hold.
func TestRulesOutliveCoreAndEdge(t *testing.T) {
	g := startTarget(t)
	keys, rules := t.TempDir(), filepath.Join(t.TempDir(), "rules")
	o := g.command(t, 0)
	if out, err := o.local(t, "filter", "key", "--out", keys); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	list, key := wordList(t, "block", "zounds"), filepath.Join(keys, "filter.key")

	// An edge that trusts nobody refuses rules, and says so.
	o.fail(t, []string{"refuse", "filter.keys"}, "filter", "push", list, "--key", key)
	edge := g.edges[0]
	if n := metric(t, edge, `barrage_filter_refused_total{reason="no_key"}`); n != 1 {
		t.Errorf("%v refusals for want of a key", n)
	}
	for i, e := range g.edges {
		e.stop(settle)
		e.args = append(e.args, "--filter-keys", filepath.Join(keys, "filter.pub"))
		if i == 0 {
			e.args = append(e.args, "--filter-dir", rules)
		}
		if err := e.start(); err != nil {
			t.Fatal(err)
		}
	}
	g.waitReady(t, g.edges...)
	g.inForce(t, edge, 1)
	// Those before the restart have said good-bye: nobody waits for them, as one
	// would for the 15 s of a lease that lapses.
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) { // real processes, real time
		out := o.run(t, "filter", "status")
		if strings.Count(out, "in force") == 2 && !strings.Contains(out, "waiting") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("want two edges with the rules in force:\n%s", out)
		}
	}
	says(t, o.run(t, "filter", "push", wordList(t, "block", "zounds", "gadzooks"), "--key", key), "in force")
	g.inForce(t, edge, 2)

	edge.stop(settle)
	g.cores[0].kill()
	if err := edge.start(); err != nil {
		t.Fatal(err)
	}
	g.inForce(t, edge, 2)
	says(t, edge.said(t), "rules are in force, from a copy")
	if err := edge.askReady(t.Context()); err == nil {
		t.Error("an edge without core says that it is ready")
	}

	if err := g.cores[0].start(); err != nil {
		t.Fatal(err)
	}
	v := connect(t, g.endpoints[0], "ann", g.token)
	if err := v.join(t.Context(), "lobby", client.JoinOptions{}); err != nil {
		t.Fatal(err)
	}
	v.refused(t, "gadzooks", protocol.Blocked)
	v.say(t, "hello")
	if n := metric(t, edge, `barrage_filter_messages_total{verdict="block"}`); n != 1 {
		t.Errorf("%v messages blocked, want 1", n)
	}
}

// inForce waits until an edge has a version of the default set in force.
func (g *target) inForce(t *testing.T, edge *process, version float64) {
	t.Helper()
	for deadline := time.Now().Add(settle); ; time.Sleep(20 * time.Millisecond) { // real processes, real time
		if edge.get(t.Context(), "/metrics", io.Discard) == nil && metric(t, edge, `barrage_filter_version{set="default"}`) == version &&
			metric(t, edge, "barrage_filter_words") > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s has not version %v in force:\n%s", edge.name, version, edge.tail(20))
		}
	}
}

package core_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/barrage-im/barrage/core"
	"github.com/barrage-im/barrage/protocol/pki"
)

// stallable is a connection whose writes wait while the network stalls: the
// peer hears nothing, and nobody is told.
type stallable struct {
	net.Conn
	stalled *atomic.Bool
	over    <-chan struct{}
}

func (s *stallable) Write(b []byte) (int, error) {
	if s.stalled.Load() {
		<-s.over
		return 0, net.ErrClosed
	}
	return s.Conn.Write(b)
}

// A leader that is cut off keeps its connections; its followers' edges must not
// wait for them to break.
func TestALeaderThatHangsIsNotWaitedFor(t *testing.T) {
	if testing.Short() {
		t.Skip("several nodes, several elections")
	}
	c := startCluster(t, 3)
	leader, follower := c.leads(1), c.follows(1)
	var stalled atomic.Bool
	over := make(chan struct{})
	defer close(over)
	follower.kill(t)
	dial := func(ctx context.Context, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil || address != leader.cfg.Advertise {
			return conn, err
		}
		return &stallable{Conn: conn, stalled: &stalled, over: over}, nil
	}
	var err error
	follower.Core, err = core.Start(t.Context(), follower.cfg, core.Options{Credentials: c.credentials(pki.Core, follower.cfg.Node), Dial: dial})
	if err != nil {
		t.Fatal(err)
	}
	c.ready(follower)
	if now := c.leads(1); now != leader {
		t.Skip("the leader changed before the test began")
	}
	e := c.attach(follower, 7, 1)
	room := roomOf(t, e.welcome.GetState(), 1, "lobby")
	f := c.feed(follower, 7)
	f.listen()
	f.subscribe(room, 0, 0, 0)
	e.publish(room, "ann", "k0", "m0")
	_ = e.published()
	stalled.Store(true)
	for i := 1; i < 50; i++ {
		e.publish(room, fmt.Sprint("user", i), fmt.Sprint("k", i), fmt.Sprint("m", i))
	}
	leader.kill(t) // its connections from the follower are closed by nobody but itself
	last := uint64(0)
	for _, r := range e.published() {
		if r.GetCode() != 0 || r.GetSeq() != last+1 {
			t.Fatalf("after seq %d: %v", last, r)
		}
		last = r.GetSeq()
	}
	texts := f.texts(room, 1, 50)
	if i := slices.IndexFunc(texts, func(s string) bool { return s == "m49" }); i != 49 {
		t.Fatalf("the feed says %v", texts)
	}
}

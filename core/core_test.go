package core_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/core"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/pki"
	"github.com/barrage-im/barrage/protocol/rpc"
	"github.com/barrage-im/barrage/protocol/wire"
)

func decodeBatch(t testing.TB, records []byte) *wire.Batch {
	t.Helper()
	b := &wire.Batch{}
	if err := proto.Unmarshal(records, b); err != nil {
		t.Fatal(err)
	}
	return b
}

// roomOf makes a room name that lies in a shard.
func roomOf(t testing.TB, e *rpc.ControlState, shard uint32, name string) string {
	t.Helper()
	for i := range 1000 {
		room := fmt.Sprintf("%s-%d", name, i)
		if s, ok := rpc.ShardOf(e, room); ok && s == shard {
			return room
		}
	}
	t.Fatal("no such room")
	return ""
}

func TestOneNodePublishesAndFeeds(t *testing.T) {
	c := startCluster(t, 1)
	e := c.attach(c.nodes[0], 7, 1)
	room := roomOf(t, e.welcome.GetState(), 1, "lobby")
	f := c.feed(c.nodes[0], 7)
	f.listen()
	f.subscribe(room, 0, 0, 0) // before it exists
	var want []string
	for i := range 100 {
		want = append(want, fmt.Sprint("m", i))
		e.publish(room, "ann", fmt.Sprint("k", i), want[i])
		if i == 9 || i == 19 {
			_ = e.published()
		}
		if i == 9 {
			if s := f.subscribed(); s.GetEpoch() == 0 || s.GetSurvive() != "zone" {
				t.Fatalf("subscribed: %v", s)
			}
		}
	}
	results := e.published()
	if len(results) != 100 {
		t.Fatalf("%d results for 100 publishes", len(results))
	}
	for i, r := range results {
		if r.GetCode() != 0 || r.GetSeq() != uint64(i+1) {
			t.Fatalf("result %d: %v", i, r)
		}
	}
}

func TestPublishThroughAFollowerSurvivesTheLeader(t *testing.T) {
	c := startCluster(t, 3)
	leader, follower := c.leads(1), c.follows(1)
	e := c.attach(follower, 7, 1)
	room := roomOf(t, e.welcome.GetState(), 1, "lobby")
	f := c.feed(follower, 7)
	f.listen()
	e.publish(room, "ann", "first", "first")
	_ = e.published()
	f.subscribe(room, 0, 0, 10)
	if s := f.subscribed(); s.GetSurvive() != "region" {
		t.Fatalf("three regions vote, but the room survives %q", s.GetSurvive())
	}
	var want []string
	for i := range 300 {
		if i == 150 {
			leader.kill(t)
		}
		want = append(want, fmt.Sprint("m", i))
		e.publish(room, fmt.Sprint("user", i%100), fmt.Sprint("k", i), want[i])
	}
	results := e.published()
	var last uint64
	for i, r := range results {
		if r.GetCode() != 0 || r.GetSeq() <= last {
			t.Fatalf("result %d after seq %d: %v", i, last, r)
		}
		last = r.GetSeq()
	}
	if len(results) != 301 || last != 301 {
		t.Fatalf("%d results, the last with seq %d; want 301", len(results), last)
	}
	if e.resets == 0 {
		t.Error("the leader was killed and no lane was reset")
	}
	if got := f.texts(room, 1, 301); !slices.Equal(got[1:], want) {
		t.Fatalf("the feed lost, doubled or reordered messages: %v", got)
	}
	c.start(leader)
	c.ready(leader)
	head, err := rpc.NewCoreClient(c.dial(leader, "edge", "edge")).Head(t.Context(), &rpc.HeadRequest{Room: room})
	if err != nil || head.GetHead() != 301 {
		t.Fatalf("head %v, %v", head, err)
	}
}

func TestSecondAttachFencesTheFirst(t *testing.T) {
	c := startCluster(t, 1)
	first := c.attach(c.nodes[0], 7, 1)
	_ = first.published()
	second := c.attach(c.nodes[0], 7, 1)
	second.generation = 1
	second.mu.Lock()
	second.unanswered = nil
	second.again() // above the first one's generation
	second.mu.Unlock()
	if err := <-first.ended; status.Code(err) != codes.Aborted {
		t.Fatalf("first attach ended with %v", err)
	}
	_ = second.published()
	stranger := rpc.NewCoreClient(c.dial(c.nodes[0], "edge", "mallory"))
	stream, err := stranger.Attach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&rpc.AttachRequest{Frame: &rpc.AttachRequest_Hello{Hello: &rpc.Edge{Incarnation: 7, Name: "x", Region: "r"}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.PermissionDenied {
		t.Fatalf("another identity took over the incarnation: %v", err)
	}
}

func TestAttachedEdgesAreInTheControlState(t *testing.T) {
	c := startCluster(t, 1)
	e := c.attach(c.nodes[0], 7, 1)
	edges := func() int {
		state, _ := c.nodes[0].State()
		return len(state.GetEdges())
	}
	eventually(t, "the edge is in the control state", func() bool { return edges() == 1 })
	eventually(t, "the edge is told", func() bool { e.mu.Lock(); defer e.mu.Unlock(); return e.states > 0 })
	if err := e.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the edge has left the control state", func() bool { return edges() == 0 })
}

func TestExpiredDeadlinesAreNotAppended(t *testing.T) { // B61
	c := startCluster(t, 1)
	e := c.attach(c.nodes[0], 7, 1)
	room := roomOf(t, e.welcome.GetState(), 1, "lobby")
	e.send(publishCommand(t, room, "ann", "k1", "late", 1), publishCommand(t, room, "ann", "k2", "in time", 0))
	results := e.published()
	if code := protocol.Code(results[0].GetCode()); code != protocol.Expired {
		t.Fatalf("expired publish: %v", code)
	}
	if results[1].GetSeq() != 1 {
		t.Fatalf("the expired publish took a seq: %v", results[1])
	}
}

func TestNothingAcknowledgedIsLostWhenAllNodesDieAtOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("several nodes, several elections")
	}
	c := startCluster(t, 3)
	e := c.attach(c.nodes[0], 7, 1)
	room := roomOf(t, e.welcome.GetState(), 1, "lobby")
	for i := range 100 {
		e.publish(room, fmt.Sprint("user", i%20), fmt.Sprint("k", i), fmt.Sprint("m", i+1))
	}
	epoch := e.published()[0].GetEpoch()
	for _, n := range c.nodes {
		n.kill(t)
	}
	for _, n := range c.nodes {
		c.start(n)
	}
	for _, n := range c.nodes {
		c.ready(n)
	}
	again := c.attach(c.nodes[2], 8, 1)
	for i := 90; i < 110; i++ { // the last ten blindly again, and ten new ones
		again.publish(room, fmt.Sprint("user", i%20), fmt.Sprint("k", i), fmt.Sprint("m", i+1))
	}
	for i, r := range again.published() {
		if r.GetCode() != 0 || r.GetSeq() != uint64(91+i) || r.GetDuplicate() != (i < 10) || r.GetEpoch() != epoch {
			t.Fatalf("publish %d: %v", 90+i, r)
		}
	}
	f := c.feed(c.nodes[1], 8)
	f.listen()
	f.subscribe(room, epoch, 0, 0)
	for i, text := range f.texts(room, 1, 110) {
		if text != fmt.Sprint("m", i+1) {
			t.Fatalf("message %d is %q", i+1, text)
		}
	}
}

func TestADamagedIdentityIsAReasonToStop(t *testing.T) {
	c := startCluster(t, 1)
	n := c.nodes[0]
	n.kill(t)
	if err := os.WriteFile(filepath.Join(n.cfg.Data, "MEMBER"), []byte(`{"node":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := core.Start(t.Context(), n.cfg, core.Options{Credentials: c.credentials(pki.Core, "n1")}); err == nil || !strings.Contains(err.Error(), "MEMBER") {
		t.Fatalf("started with %v", err)
	}
	other := n.cfg
	other.Node = "n2"
	if _, err := core.Start(t.Context(), other, core.Options{Credentials: c.credentials(pki.Core, "n1")}); err == nil {
		t.Fatal("n2 started with n1's certificate")
	}
	other = core.Default()
	if err := other.Validate(); err == nil || !strings.Contains(err.Error(), "node") {
		t.Fatalf("a node without a name is valid: %v", err)
	}
}

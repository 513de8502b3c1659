package core_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/barrage-im/barrage/core/api"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/pki"
	"github.com/barrage-im/barrage/protocol/rpc"
)

func TestStrangersDoNotGetThroughTheDoor(t *testing.T) { // B72
	c := startCluster(t, 1)
	address := c.nodes[0].cfg.Advertise
	closes := func(name string, conn net.Conn, send string) {
		t.Helper()
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.WriteString(conn, send)
		if b, err := io.ReadAll(io.LimitReader(conn, 1<<16)); err != nil && !strings.Contains(err.Error(), "reset") && !strings.Contains(err.Error(), "tls:") {
			t.Errorf("%s: the connection stays open: %v, %q", name, err, b)
		}
	}
	dial := func() net.Conn {
		t.Helper()
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	closes("HTTP", dial(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	closes("random bytes", dial(), strings.Repeat("\x93\x07\xff\x00barrage", 100))
	edge := c.credentials(pki.Edge, "e")
	closes("an edge that speaks raft", tls.Client(dial(), edge.ClientConfig(pki.Core, api.ALPNRaft)), "\x01")
	closes("a client without ALPN", tls.Client(dial(), edge.ClientConfig(pki.Core)), "x")
	closes("raft with a shard that is not here", tls.Client(dial(), c.credentials(pki.Core, "x").ClientConfig(pki.Core, api.ALPNRaft)), "\xff\xff\x7f")

	e := c.attach(c.nodes[0], 7, 1) // and nobody minds
	_ = e.published()
}

func TestRolesMayCallWhatTheyNeed(t *testing.T) { // B71
	c := startCluster(t, 1)
	call := func(role pki.Role, method string) codes.Code {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		conn := c.dial(c.nodes[0], role, "n1")
		if strings.HasSuffix(method, "Attach") || strings.HasSuffix(method, "Feed") || strings.HasSuffix(method, "Relay") {
			return codes.OK // streams: below
		}
		return status.Code(conn.Invoke(ctx, method, &rpc.StatusRequest{}, &rpc.StatusRequest{}))
	}
	services := map[string][]string{
		"Core":     {"ReadHistory", "ListMembers", "Head"},
		"Peer":     {"Head", "Status"},
		"Operator": {"ClusterStatus", "GetNode", "ListRooms", "ShowRoom", "RoomHistory", "RoomMembers", "GetPolicies", "Audit"},
	}
	may := map[pki.Role][]string{pki.Edge: {"Core"}, pki.Core: {"Peer", "Operator"}, pki.Operator: {"Operator"}}
	for service, methods := range services {
		for _, method := range methods {
			for role, open := range may {
				got := call(role, "/barrage.rpc.v1."+service+"/"+method)
				if denied := got == codes.PermissionDenied; denied == slices.Contains(open, service) {
					t.Errorf("%s calls %s.%s: %v", role, service, method, got)
				}
			}
		}
	}
	for role := range may {
		if got := call(role, "/barrage.rpc.v1.Operator/SetPolicies"); (got == codes.PermissionDenied) == (role == pki.Operator) {
			t.Errorf("%s sets policies: %v", role, got)
		}
		if got := call(role, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"); got == codes.OK {
			t.Errorf("%s reflects", role)
		}
	}
	for _, role := range []pki.Role{pki.Core, pki.Operator} {
		stream, err := rpc.NewCoreClient(c.dial(c.nodes[0], role, "n1")).Attach(t.Context())
		if err == nil {
			_, err = stream.Recv()
		}
		if status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s attaches: %v", role, err)
		}
	}
	stream, err := rpc.NewPeerClient(c.dial(c.nodes[0], pki.Edge, "e")).Relay(t.Context())
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("an edge relays: %v", err)
	}
	join, err := rpc.NewPeerClient(c.dial(c.nodes[0], pki.Core, "n9")).Join(t.Context(), &rpc.JoinRequest{Node: &rpc.Node{Id: "n1", Address: "x:1", Region: "r"}})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("n9 joins as n1: %v, %v", join, err)
	}
}

func TestBadCallsAreRefusedAndBounded(t *testing.T) { // B70
	c := startCluster(t, 1)
	conn := c.dial(c.nodes[0], pki.Edge, "edge")
	client := rpc.NewCoreClient(conn)
	attach := func(frames ...*rpc.AttachRequest) codes.Code {
		t.Helper()
		stream, err := client.Attach(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range frames {
			if stream.Send(f) != nil {
				break
			}
		}
		for {
			if _, err := stream.Recv(); err != nil {
				return status.Code(err)
			}
		}
	}
	hello := &rpc.AttachRequest{Frame: &rpc.AttachRequest_Hello{Hello: &rpc.Edge{Incarnation: 5, Name: "e", Region: "r"}}}
	propose := func(p *rpc.Proposal) *rpc.AttachRequest {
		return &rpc.AttachRequest{Frame: &rpc.AttachRequest_Proposal{Proposal: p}}
	}
	lease := rpc.PackCommands(encode(t, &rpc.Command{Op: &rpc.Command_Lease{Lease: &rpc.Lease{}}}))
	for name, frames := range map[string][]*rpc.AttachRequest{
		"no incarnation":    {{Frame: &rpc.AttachRequest_Hello{Hello: &rpc.Edge{}}}},
		"proposal first":    {propose(&rpc.Proposal{Shard: 1, Generation: 1, First: 1, Commands: lease})},
		"control shard":     {hello, propose(&rpc.Proposal{Shard: 0, Generation: 1, First: 1, Commands: lease})},
		"unknown shard":     {hello, propose(&rpc.Proposal{Shard: 99, Generation: 1, First: 1, Commands: lease})},
		"no commands":       {hello, propose(&rpc.Proposal{Shard: 1, Generation: 1, First: 1})},
		"too many commands": {hello, propose(&rpc.Proposal{Shard: 1, Generation: 1, First: 1, Commands: slices.Repeat(lease, 5000)})},
		"damaged commands":  {hello, propose(&rpc.Proposal{Shard: 1, Generation: 1, First: 1, Commands: append(slices.Clone(lease), 0x22, 0xff, 1)})},
		"unknown command":   {hello, propose(&rpc.Proposal{Shard: 1, Generation: 1, First: 1, Commands: rpc.PackCommands([]byte{0x9a, 0x06, 0x01, 0x00})})},
		"empty frame":       {hello, {}},
	} {
		if got := attach(frames...); got != codes.InvalidArgument && got != codes.FailedPrecondition {
			t.Errorf("%s: %v", name, got)
		}
	}
	big := make([]byte, 5<<20)
	if got := attach(hello, propose(&rpc.Proposal{Shard: 1, Generation: 1, First: 1, Commands: rpc.PackCommands(big)})); got != codes.ResourceExhausted && got != codes.Unavailable {
		t.Errorf("a message of 5 MiB: %v", got)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x", strings.Repeat("y", 1<<20))
	if _, err := client.Head(ctx, &rpc.HeadRequest{Room: "a"}); err == nil {
		t.Error("1 MiB of metadata was taken")
	}
	f := c.feed(c.nodes[0], 5)
	f.listen()
	f.subscribe("not a room name", 0, 0, 0)
	if err := <-f.ended; status.Code(err) != codes.InvalidArgument {
		t.Errorf("bad room name: %v", err)
	}
	e := c.attach(c.nodes[0], 7, 1) // and nobody minds
	_ = e.published()
}

func TestHistoryReadsAreBoundedAndTyped(t *testing.T) { // B62, B63
	c := startCluster(t, 1)
	e := c.attach(c.nodes[0], 7, 1)
	room := roomOf(t, e.welcome.GetState(), 1, "lobby")
	for i := range 50 {
		e.publish(room, fmt.Sprint("u", i%10), fmt.Sprint("k", i), fmt.Sprint("m", i))
	}
	epoch := e.published()[0].GetEpoch()
	client := rpc.NewCoreClient(c.dial(c.nodes[0], pki.Edge, "edge"))
	read := func(req *rpc.HistoryRequest) *rpc.HistoryPage {
		t.Helper()
		page, err := client.ReadHistory(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if protocol.CRC(page.GetRecords()) != page.GetCrc() {
			t.Fatal("page with a wrong checksum")
		}
		return page
	}
	for name, c := range map[string]struct {
		req   *rpc.HistoryRequest
		code  protocol.Code
		start uint64
		count uint32
	}{
		"all":           {&rpc.HistoryRequest{Room: room}, 0, 1, 50},
		"huge limit":    {&rpc.HistoryRequest{Room: room, Limit: 1e9, MaxBytes: 1 << 31}, 0, 1, 50},
		"page":          {&rpc.HistoryRequest{Room: room, From: 11, Limit: 5, Epoch: epoch}, 0, 11, 5},
		"back":          {&rpc.HistoryRequest{Room: room, Limit: 5, Reverse: true}, 0, 46, 5},
		"future":        {&rpc.HistoryRequest{Room: room, From: 1<<64 - 1}, protocol.Future, 0, 0},
		"other epoch":   {&rpc.HistoryRequest{Room: room, Epoch: epoch + 1}, protocol.EpochChanged, 0, 0},
		"no such room":  {&rpc.HistoryRequest{Room: "nowhere"}, protocol.NotFound, 0, 0},
		"no room name":  {&rpc.HistoryRequest{Room: "a b"}, protocol.BadRoom, 0, 0},
		"one byte only": {&rpc.HistoryRequest{Room: room, MaxBytes: 1}, 0, 1, 1},
	} {
		p := read(c.req)
		if protocol.Code(p.GetCode()) != c.code || p.GetStart() != c.start || p.GetCount() != c.count {
			t.Errorf("%s: code %v, %d messages from %d", name, protocol.Code(p.GetCode()), p.GetCount(), p.GetStart())
		}
	}
	head, err := client.Head(t.Context(), &rpc.HeadRequest{Room: room})
	if err != nil || head.GetHead() != 50 || head.GetFirst() != 1 {
		t.Fatalf("head: %v, %v", head, err)
	}
	if m, err := client.ListMembers(t.Context(), &rpc.MembersRequest{Room: room, Limit: 1e9}); err != nil || m.GetCode() != 0 {
		t.Fatalf("members: %v, %v", m, err)
	}
}

func TestManyHistoryReadsLeaveRoomForPublishes(t *testing.T) { // B63
	c := startCluster(t, 1)
	e := c.attach(c.nodes[0], 7, 1)
	room := roomOf(t, e.welcome.GetState(), 1, "lobby")
	for i := range 200 {
		e.publish(room, fmt.Sprint("u", i), fmt.Sprint("k", i), strings.Repeat("x", 2000))
	}
	_ = e.published()
	client := rpc.NewCoreClient(c.dial(c.nodes[0], pki.Edge, "edge"))
	var wg sync.WaitGroup
	var short atomic.Int64
	for range 200 {
		wg.Go(func() {
			page, err := client.ReadHistory(t.Context(), &rpc.HistoryRequest{Room: room, Limit: 1000})
			if err != nil || page.GetCount() < 200 {
				short.Add(1)
			}
		})
	}
	began := time.Now()
	e.publish(room, "ann", "live", "live")
	_ = e.published()
	took := time.Since(began)
	wg.Wait()
	if all := time.Since(began); took > all/2 && took > 2*time.Second {
		t.Errorf("a publish waited %s for 200 reads, which took %s", took, all)
	}
	if n := short.Load(); n > 0 {
		t.Errorf("%d reads failed or were cut", n)
	}
}

func TestABadProposalDoesNotBreakARelay(t *testing.T) {
	c := startCluster(t, 1)
	stream, err := rpc.NewPeerClient(c.dial(c.nodes[0], pki.Core, "n2")).Relay(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lease := encode(t, &rpc.Command{Op: &rpc.Command_Lease{Lease: &rpc.Lease{Edge: "e", TtlMs: 60_000}}})
	relay := func(edge uint64, command []byte) *rpc.RelayResponse {
		t.Helper()
		p := &rpc.Proposal{Shard: 1, Generation: 1, First: 1, Commands: rpc.PackCommands(command)}
		if err := stream.Send(&rpc.RelayRequest{Edge: edge, Proposal: p}); err != nil {
			t.Fatal(err)
		}
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	if m := relay(5, []byte{0x9a, 0x06, 0x01, 0x00}); protocol.Code(m.GetReset_().GetCode()) != protocol.BadCommand || m.GetEdge() != 5 {
		t.Fatalf("a command of a newer version: %v", m)
	}
	if m := relay(6, lease); len(m.GetResults().GetResults()) != 1 || m.GetEdge() != 6 {
		t.Fatalf("another edge's lane: %v", m)
	}
}

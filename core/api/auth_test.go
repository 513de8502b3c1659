package api

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/barrage-im/barrage/protocol/pki"
	"github.com/barrage-im/barrage/protocol/rpc"
)

func TestEveryMethodHasItsRoles(t *testing.T) { // B71
	services := map[string]int{}
	for _, m := range rpc.Core_ServiceDesc.Methods {
		services["/"+rpc.Core_ServiceDesc.ServiceName+"/"+m.MethodName]++
	}
	for _, m := range rpc.Peer_ServiceDesc.Methods {
		services["/"+rpc.Peer_ServiceDesc.ServiceName+"/"+m.MethodName]++
	}
	for _, m := range rpc.Operator_ServiceDesc.Methods {
		services["/"+rpc.Operator_ServiceDesc.ServiceName+"/"+m.MethodName]++
	}
	for m := range services {
		if len(allowed[m]) == 0 {
			t.Errorf("nobody may call %s", m)
		}
	}
	for m, roles := range allowed {
		for _, r := range roles {
			if r == pki.Edge && m[:len("/barrage.rpc.v1.Core/")] != "/barrage.rpc.v1.Core/" {
				t.Errorf("an edge may call %s", m)
			}
		}
	}
}

func TestCallsAreDeniedByDefaultAndWhenTooLate(t *testing.T) { // B61, B71
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{metrics: m, log: slog.New(slog.DiscardHandler)}
	edge := peer.NewContext(t.Context(), &peer.Peer{AuthInfo: authInfo{id: pki.Identity{Cluster: "c", Role: pki.Edge, Name: "e"}}})
	late, cancel := context.WithDeadline(edge, time.Now().Add(-time.Second))
	defer cancel()
	for name, c := range map[string]struct {
		ctx    context.Context //nolint:containedctx // it is the case
		method string
		want   codes.Code
	}{
		"allowed":         {edge, rpc.Core_Head_FullMethodName, codes.OK},
		"other role":      {edge, rpc.Operator_SetPolicies_FullMethodName, codes.PermissionDenied},
		"unknown method":  {edge, "/barrage.rpc.v1.Core/New", codes.PermissionDenied},
		"no identity":     {t.Context(), rpc.Core_Head_FullMethodName, codes.Unauthenticated},
		"deadline passed": {late, rpc.Core_Head_FullMethodName, codes.DeadlineExceeded},
	} {
		if got := status.Code(s.authorise(c.ctx, c.method)); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestNodesAreOnlyDroppedWhileAMajorityRemains(t *testing.T) {
	status := func(id string, applied uint64, voters ...string) *rpc.NodeStatus {
		return &rpc.NodeStatus{Node: &rpc.Node{Id: id}, Shards: []*rpc.ShardStatus{{Shard: 1, AppliedIndex: applied, Voters: voters}}}
	}
	for _, c := range []struct {
		answered []*rpc.NodeStatus
		drop     string
		safe     bool
	}{
		{[]*rpc.NodeStatus{status("a", 1, "a", "b", "c"), status("b", 1, "a", "b", "c"), status("c", 1, "a", "b", "c")}, "a", true},
		{[]*rpc.NodeStatus{status("a", 1, "a", "b", "c"), status("b", 1, "a", "b", "c")}, "c", true},
		{[]*rpc.NodeStatus{status("a", 1, "a", "b", "c"), status("b", 1, "a", "b", "c")}, "a", false},
		{[]*rpc.NodeStatus{status("a", 1, "a")}, "a", false},
		{[]*rpc.NodeStatus{status("a", 9, "a", "b"), status("b", 1, "a", "b", "c")}, "a", true}, // b has not heard yet
	} {
		if err := safeToDrop(c.answered, c.drop); (err == nil) != c.safe {
			t.Errorf("drop %s of %v: %v", c.drop, c.answered, err)
		}
	}
}

func TestIdsAreNeverUsedAgain(t *testing.T) {
	state := &rpc.ControlState{Nodes: []*rpc.Node{{Id: "core-1", Removed: true}, {Id: "core-1.2"}}}
	if got := NextID(state, "core-0") + " " + NextID(state, "core-1"); got != "core-0 core-1.3" {
		t.Fatal(got)
	}
	for id, want := range map[string]string{"core-1": "core-1", "core-1.2": "core-1", "core.eu": "core.eu", "core.": "core.", ".2": ".2"} {
		if got := BaseName(id); got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
}

package core_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/barrage-im/barrage/protocol/pki"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// BenchmarkPublish keeps 256 publishes outstanding on two shards of three nodes,
// through one edge's stream to one of them. cpu-µs/op is what this process
// uses: three nodes and the edge.
func BenchmarkPublish(b *testing.B) {
	const outstanding = 256
	c := startCluster(b, 3)
	open := &rpc.Policy{Pattern: "*", PublishRate: 100_000, PublishBurst: 100_000, UserRate: 100_000, UserBurst: 100_000}
	if res, err := c.operator(c.nodes[0]).SetPolicies(b.Context(), &rpc.PutPolicies{Policies: []*rpc.Policy{open}}); err != nil || res.GetCode() != 0 {
		b.Fatal(res, err)
	}
	stream, err := rpc.NewCoreClient(c.dial(c.nodes[1], pki.Edge, "edge")).Attach(b.Context(), grpc.WaitForReady(true))
	if err != nil {
		b.Fatal(err)
	}
	hello := &rpc.Edge{Incarnation: 5, Name: "edge", Region: "r1"}
	if err := stream.Send(&rpc.AttachRequest{Frame: &rpc.AttachRequest_Hello{Hello: hello}}); err != nil {
		b.Fatal(err)
	}
	m, err := stream.Recv()
	if err != nil {
		b.Fatal(err)
	}
	rooms := map[uint32][]string{}
	for s := uint32(1); s <= shards; s++ {
		for i := range 25 {
			rooms[s] = append(rooms[s], roomOf(b, m.GetWelcome().GetState(), s, fmt.Sprint("room", i)))
		}
	}
	next, sent := map[uint32]uint64{}, 0
	send := func(s uint32, n int) {
		p := &rpc.Proposal{Shard: s, Generation: 1, First: next[s] + 1}
		var commands [][]byte
		if next[s] == 0 {
			commands = append(commands, encode(b, &rpc.Command{Op: &rpc.Command_Lease{Lease: &rpc.Lease{Edge: "edge", TtlMs: 60_000}}}))
		}
		for range n {
			sent++
			commands = append(commands, publishCommand(b, rooms[s][sent%25], fmt.Sprint("user", sent%200), fmt.Sprint("key", sent),
				"a line of chat as people write them, not too long", 0))
		}
		p.Commands = rpc.PackCommands(commands...)
		next[s] += uint64(len(commands))
		if err := stream.Send(&rpc.AttachRequest{Frame: &rpc.AttachRequest_Proposal{Proposal: p}}); err != nil {
			b.Fatal(err)
		}
	}
	done, frames := 0, 0
	receive := func() (shard uint32, n int) {
		m, err := stream.Recv()
		if err != nil || m.GetReset_() != nil {
			b.Fatal(m, err)
		}
		for _, r := range m.GetResults().GetResults() {
			if r.GetCode() != 0 {
				b.Fatal(r)
			}
			n++
		}
		done += n
		frames++
		return m.GetResults().GetShard(), n
	}
	for s := uint32(1); s <= shards; s++ {
		send(s, outstanding/shards)
	}
	for done < 2*outstanding {
		s, n := receive()
		if n > 0 {
			send(s, n)
		}
	}
	done, frames = 0, 0
	used := cpu(b)
	for b.Loop() {
		for done == 0 {
			s, n := receive()
			if n > 0 {
				send(s, n)
			}
		}
		done--
	}
	b.ReportMetric(float64((cpu(b)-used).Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(b.N)/float64(max(frames, 1)), "op/frame")
}

func cpu(tb testing.TB) time.Duration {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

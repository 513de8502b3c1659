//go:build plantedbugs

package room

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/core/machine"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

func TestPlantedBugsAreThere(t *testing.T) {
	defer func(forget, reuse bool) { plantForget, plantReuse = forget, reuse }(plantForget, plantReuse)
	for _, c := range []struct {
		forget, reuse bool
		again, next   uint64 // seqs of the first message sent again and of a new one, after a restart
	}{
		{false, false, 1, 4},
		{true, false, 4, 5},
		{false, true, 1, 3},
	} {
		plantForget, plantReuse = c.forget, c.reuse
		s, store, index := New(1), &machine.Memory{}, uint64(0)
		publish := func(n int) uint64 {
			index++
			var commands [][]byte
			for _, op := range []*rpc.Command{
				{Op: &rpc.Command_Lease{Lease: &rpc.Lease{Edge: "e", TtlMs: 5000}}},
				{Op: &rpc.Command_Publish{Publish: &rpc.Publish{
					Room: "a", User: "u", Key: fmt.Sprint(n), Body: protocol.AppendBody(nil, "u", "", "", fmt.Sprint(n), nil),
				}}},
			} {
				b, err := proto.Marshal(op)
				if err != nil {
					t.Fatal(err)
				}
				commands = append(commands, b)
			}
			effects, err := s.Apply(index, AppendEntry(nil, 1000, AppendSection(nil, 7, index, 1, rpc.PackCommands(commands...))), store)
			if err != nil {
				t.Fatal(err)
			}
			return effects.(*Effects).Sections[0].Results[1].Seq
		}
		for n := 1; n <= 3; n++ {
			publish(n)
		}
		if err := s.Load(store); err != nil {
			t.Fatal(err)
		}
		if again, next := publish(1), publish(4); again != c.again || next != c.next {
			t.Errorf("forget-keys %t, reuse-seq %t: the first message sent again has seq %d, a new one %d; want %d and %d",
				c.forget, c.reuse, again, next, c.again, c.next)
		}
	}
}

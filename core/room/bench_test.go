package room_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/barrage-im/barrage/core/room"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// discard is a store that costs nothing.
type discard struct{}

func (discard) Set(_, _ []byte)         {}
func (discard) Delete(_ []byte)         {}
func (discard) DeleteRange(_, _ []byte) {}

// BenchmarkApply is one entry of 256 publishes of 100 bytes; ns/publish is the
// cost of one of them. Time passes so that keys are forgotten and blocks deleted
// as fast as they come, from 600 entries on.
func BenchmarkApply(b *testing.B) {
	for _, rooms := range []int{1, 50} {
		b.Run(fmt.Sprintf("rooms=%d", rooms), func(b *testing.B) {
			const publishes = 256
			s := room.New(1)
			now := int64(1)
			table := section(0, 0, 0, policies(1, bigRate()))
			open := section(7, 1, 1, lease("e", 600_000))
			if _, err := s.Apply(1, room.AppendEntry(nil, now, append(table, open...)), discard{}); err != nil {
				b.Fatal(err)
			}
			// The key of each is counted up in place.
			const mark = "00000000"
			commands, numbers := make([][]byte, publishes), make([][]byte, publishes)
			for j := range commands {
				commands[j] = publish(fmt.Sprintf("room-%d", j%rooms), fmt.Sprintf("user-%d", j), "key-"+mark, strings.Repeat("m", 100))
				at := bytes.Index(commands[j], []byte(mark))
				numbers[j] = commands[j][at : at+len(mark)]
			}
			var entry []byte
			next := uint64(2)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				now += 200
				for _, n := range numbers {
					hex.Encode(n, binary.BigEndian.AppendUint32(nil, uint32(i)))
				}
				entry = room.AppendEntry(entry[:0], now, room.AppendSection(nil, 7, 1, next, rpc.PackCommands(commands...)))
				effects, err := s.Apply(uint64(i)+2, entry, discard{})
				if err != nil {
					b.Fatal(err)
				}
				if r := effects.(*room.Effects).Sections[0].Results[publishes-1]; r.Code != 0 || r.Duplicate {
					b.Fatal(r)
				}
				next += publishes
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/publishes, "ns/publish")
		})
	}
}

func bigRate() *rpc.Policy {
	return &rpc.Policy{Pattern: "*", PublishRate: room.EffectivePolicy(&rpc.Policy{PublishRate: 1 << 31}).PublishRate, PublishBurst: 1 << 31}
}

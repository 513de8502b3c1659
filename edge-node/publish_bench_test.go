package edgenode

import (
	"fmt"
	"strings"
	"testing"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/transport"
	"github.com/barrage-im/barrage/protocol/wire"
)

// BenchmarkPublish keeps 256 publishes of one connection outstanding, through
// the edge to a fake core and back; the client's cost is included.
func BenchmarkPublish(b *testing.B) {
	e := startEdge(b, startCore(b), func(c *Config) { c.Limits.FrameRate, c.Limits.FrameBurst = 1e6, 1e6 })
	conn, err := transport.Dial(b.Context(), e.Endpoints()[1], transport.DialOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	if err := conn.WriteFrames(protocol.AppendClient(nil, protocol.Proto, connectAs("ann"))); err != nil {
		b.Fatal(err)
	}
	reply := func() *wire.ServerFrame {
		raw, err := conn.ReadFrame()
		if err != nil {
			b.Fatal(err)
		}
		f, err := protocol.DecodeServer(protocol.Proto, raw)
		if err != nil {
			b.Fatal(err)
		}
		return f
	}
	reply()
	const window = 256
	text := strings.Repeat("x", 100)
	var out []byte
	sent, got := 0, 0
	b.ResetTimer()
	busy := cpu()
	for got < b.N {
		out = out[:0]
		for sent < b.N && sent-got < window {
			sent++
			f := publish(fmt.Sprint("room-", sent%8), fmt.Sprint("key-", sent), text)
			f.Id = uint64(sent + 1)
			out = protocol.AppendClient(out, protocol.Proto, f)
		}
		if len(out) > 0 {
			if err := conn.WriteFrames(out); err != nil {
				b.Fatal(err)
			}
		}
		for {
			if f := reply(); f.GetPublished() == nil {
				b.Fatalf("publish: %v", f)
			}
			got++
			if got == sent || sent-got < window/2 {
				break
			}
		}
	}
	b.StopTimer()
	b.ReportMetric(float64((cpu()-busy).Nanoseconds())/1e3/float64(b.N), "cpu-µs/publish")
}

func connectAs(name string) *wire.ClientFrame {
	f := connect("anonymous:" + name)
	f.Id = 1
	return f
}

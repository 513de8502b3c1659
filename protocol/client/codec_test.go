package client

import (
	"bytes"
	"testing"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/wire"
)

func TestAppendPublishWritesWhatTheSchemaSays(t *testing.T) {
	long := string(bytes.Repeat([]byte("x"), 300))
	for _, m := range []Message{{}, {Key: "k", Text: "t"}, {Key: "k", Kind: long, Text: long, Data: []byte(long)}} {
		for _, enc := range []protocol.Encoding{protocol.Proto, protocol.JSON} {
			c := codec{enc: enc}
			want := c.append(nil, &wire.ClientFrame{Id: 300, Command: &wire.ClientFrame_Publish{Publish: &wire.Publish{
				Room: "lobby", Key: m.Key, Kind: m.Kind, Text: m.Text, Data: m.Data, Order: 7, TimeoutMs: 30_000,
			}}})
			if got := c.appendPublish(nil, 300, "lobby", &m, 7, 30_000); !bytes.Equal(got, want) {
				t.Errorf("%v: got %x, want %x", enc, got, want)
			}
		}
	}
}

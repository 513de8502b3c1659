package protocol_test

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/wire"
)

// The quick decoders take what the golden frames say a publish and its
// acknowledgement look like, and none of the others.
func TestQuickDecodersTakeTheirFrames(t *testing.T) {
	for _, g := range goldenFrames() {
		b := g.encoded(protocol.Proto)
		took, want := new(protocol.Publish).Decode(b), g.name == "client_publish"
		if strings.HasPrefix(g.name, "server_") {
			took, want = new(protocol.Published).Decode(b), strings.HasPrefix(g.name, "server_published")
		}
		if took != want {
			t.Errorf("%s was taken: %v", g.name, took)
		}
		checkQuick(t, b)
	}
}

// What a quick decoder takes, the schema reads the same.
func FuzzQuick(f *testing.F) {
	for _, g := range goldenFrames() {
		f.Add(g.encoded(protocol.Proto))
	}
	f.Add([]byte{8, 1, 0x32, 0})
	f.Add([]byte{8, 1, 0x32, 4, 0x38, 0xff, 0xff, 0x7f})
	f.Add([]byte{8, 1, 8, 2, 0x32, 3, 10, 1, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) { checkQuick(t, b) })
}

func checkQuick(t *testing.T, b []byte) {
	t.Helper()
	var p protocol.Publish
	if p.Decode(b) {
		got := &wire.Publish{
			Room: string(p.Room), Key: string(p.Key), Kind: string(p.Kind), Text: string(p.Text), Data: p.Data,
			Order: p.Order, TimeoutMs: p.TimeoutMS,
		}
		if f, err := protocol.DecodeClient(protocol.Proto, b); err != nil || f.GetId() != p.ID || !proto.Equal(f.GetPublish(), got) {
			t.Errorf("%x is the publish %d %v; the schema says %v, %v", b, p.ID, got, f, err)
		}
	}
	var a protocol.Published
	if a.Decode(b) {
		f, err := protocol.DecodeServer(protocol.Proto, b)
		want := &wire.Published{
			Room: f.GetPublished().GetRoom(), Seq: a.Seq, TimeMs: a.TimeMS, Survive: string(a.Survive), Epoch: string(a.Epoch), Duplicate: a.Duplicate,
			Verdict: string(a.Verdict), Text: string(a.Text),
		}
		if err != nil || f.GetId() != a.ID || !proto.Equal(f.GetPublished(), want) {
			t.Errorf("%x is the acknowledgement %d %v; the schema says %v, %v", b, a.ID, want, f, err)
		}
	}
}

func TestAppendPublishedIsWhatTheSchemaSays(t *testing.T) {
	for _, m := range []*wire.Published{
		{},
		{Room: "lobby", Seq: 1, TimeMs: 1_790_000_000_000, Survive: "region", Epoch: "2s"},
		{Room: "lobby", Seq: 2, TimeMs: 1_790_000_000_000, Survive: "region", Epoch: "2s", Verdict: "mask", Text: strings.Repeat("*", 200)},
		{Room: "lobby", Seq: protocol.MaxSeq, TimeMs: 5, Survive: "zone", Epoch: protocol.FormatEpoch(math.MaxUint64), Duplicate: true},
	} {
		for _, enc := range []protocol.Encoding{protocol.Proto, protocol.JSON} {
			epoch := uint64(0)
			if m.Epoch != "" {
				var err error
				if epoch, err = protocol.ParseEpoch(m.Epoch); err != nil {
					t.Fatal(err)
				}
			} else {
				m.Epoch = "0" // epochs begin at 1
			}
			want := protocol.AppendServer(nil, enc, &wire.ServerFrame{Id: 300, Body: &wire.ServerFrame_Published{Published: m}})
			got := protocol.AppendPublished(nil, enc, 300, m.Room, m.Seq, m.TimeMs, m.Survive, epoch, m.Duplicate, m.Verdict, m.Text)
			if !bytes.Equal(got, want) {
				t.Errorf("%v: %x, the schema says %x", m, got, want)
			}
		}
	}
}

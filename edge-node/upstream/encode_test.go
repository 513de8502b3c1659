package upstream

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// The hand-written encoder and the schema agree, for every size of length
// prefix and with and without a deadline.
func TestPublishIsEncodedAsTheSchemaSays(t *testing.T) {
	for _, size := range []int{0, 1, 127, 128, 16_383, 16_384, 70_000} {
		for _, deadline := range []int64{0, 1, 1_800_000_000_000} {
			p := &Publish{Room: "lobby", DeadlineMS: deadline}
			m := &Message{
				User: strings.Repeat("u", 1+size%128), Name: "U", Key: []byte("k"), Kind: []byte("chat"), Text: []byte("hi"), Data: make([]byte, size),
				Rank: uint32(size % 3), Verdict: uint32(deadline % 4), Rules: uint64(size), Origin: uint64(deadline) * 7,
			}
			var got rpc.Command
			if err := proto.Unmarshal(encodePublish(p, m), &got); err != nil {
				t.Fatalf("body of %d bytes: %v", size, err)
			}
			want := &rpc.Command{Op: &rpc.Command_Publish{Publish: &rpc.Publish{
				Room: p.Room, User: m.User, Key: string(m.Key), Body: protocol.AppendBody(nil, m.User, m.Name, m.Kind, m.Text, m.Data), DeadlineMs: p.DeadlineMS,
				Rank: m.Rank, Verdict: m.Verdict, Rules: m.Rules, Origin: m.Origin,
			}}}
			if !proto.Equal(&got, want) {
				t.Errorf("body of %d bytes: got %v, want %v", size, &got, want)
			}
		}
	}
}

func BenchmarkEncodePublish(b *testing.B) {
	p := &Publish{Room: "lobby", DeadlineMS: 1_800_000_000_000}
	m := &Message{User: "somebody", Key: []byte("0123456789abcdef"), Text: make([]byte, 128)}
	b.ReportAllocs()
	for b.Loop() {
		encodePublish(p, m)
	}
}

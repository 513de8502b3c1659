package upstream

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol/rpc"
)

// The hand-written encoder and the schema agree, for every size of length
// prefix and with and without a deadline.
func TestPublishIsEncodedAsTheSchemaSays(t *testing.T) {
	for _, size := range []int{0, 1, 127, 128, 16_383, 16_384, 70_000} {
		for _, deadline := range []int64{0, 1, 1_800_000_000_000} {
			p := &Publish{Room: "lobby", User: strings.Repeat("u", 1+size%128), Key: "k", Body: make([]byte, size), DeadlineMS: deadline}
			var got rpc.Command
			if err := proto.Unmarshal(encodePublish(p), &got); err != nil {
				t.Fatalf("body of %d bytes: %v", size, err)
			}
			want := &rpc.Command{Op: &rpc.Command_Publish{Publish: &rpc.Publish{
				Room: p.Room, User: p.User, Key: p.Key, Body: p.Body, DeadlineMs: p.DeadlineMS,
			}}}
			if len(p.Body) == 0 { // an empty body is written, and reads as an empty one
				want.GetPublish().Body = nil
				got.GetPublish().Body = nil
			}
			if !proto.Equal(&got, want) {
				t.Errorf("body of %d bytes: got %v, want %v", size, &got, want)
			}
		}
	}
}

func BenchmarkEncodePublish(b *testing.B) {
	p := &Publish{Room: "lobby", User: "somebody", Key: "0123456789abcdef", Body: make([]byte, 128), DeadlineMS: 1_800_000_000_000}
	b.ReportAllocs()
	for b.Loop() {
		encodePublish(p)
	}
}

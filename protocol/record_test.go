package protocol_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/wire"
)

func records(messages ...*wire.Message) []byte {
	var run []byte
	for _, m := range messages {
		body := protocol.AppendBody(nil, m.Sender, m.Name, m.Kind, m.Text, m.Data)
		mark := protocol.RecordMark{Retracts: m.Retracts, Gone: m.Gone, Shadow: m.Shadow}
		run = protocol.AppendMarkedRecord(run, m.Seq, m.TimeMs, mark, body)
	}
	return run
}

func run(n int) []byte {
	var b []byte
	for i := range n {
		b = protocol.AppendRecord(b, uint64(i+1), 1000+int64(i), protocol.AppendBody(nil, "ada", "", "", fmt.Sprint("message ", i), nil))
	}
	return b
}

func TestFramesAroundRecordsEqualEncodedOnes(t *testing.T) {
	for _, g := range goldenFrames() {
		f, ok := g.frame.(*wire.ServerFrame)
		if !ok {
			continue
		}
		for _, enc := range []protocol.Encoding{protocol.Proto, protocol.JSON} {
			var got []byte
			var err error
			switch body := f.Body.(type) {
			case *wire.ServerFrame_Batch:
				b := body.Batch
				got, err = protocol.AppendBatch([]byte("x"), enc, b.Room, b.Epoch, b.Merged, b.Dropped, records(b.Messages...))
			case *wire.ServerFrame_Joined:
				head := proto.CloneOf(body.Joined)
				head.Messages = nil
				got, err = protocol.AppendJoined([]byte("x"), enc, f.Id, head, records(body.Joined.Messages...))
			case *wire.ServerFrame_Messages:
				head := proto.CloneOf(body.Messages)
				head.Messages = nil
				got, err = protocol.AppendMessages([]byte("x"), enc, f.Id, head, records(body.Messages.Messages...))
			default:
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := append([]byte("x"), g.framed(enc)...); !bytes.Equal(got, want) && !sameFields(enc, got[1:], want[1:]) {
				t.Errorf("%s %s:\n got %q\nwant %q", g.name, enc, got, want)
			}
		}
	}
}

// sameFields says whether two binary frames differ in the order of fields only:
// a record has its mark before its body, whatever its fields' numbers.
func sameFields(enc protocol.Encoding, a, b []byte) bool {
	if enc == protocol.JSON || len(a) != len(b) {
		return false
	}
	var frames [2]*wire.ServerFrame
	for i, framed := range [][]byte{a, b} {
		frame, rest, err := protocol.NextFrame(framed, protocol.MaxServerFrame)
		if err != nil || len(rest) > 0 {
			return false
		}
		if frames[i], err = protocol.DecodeServer(protocol.Proto, frame); err != nil {
			return false
		}
	}
	return proto.Equal(frames[0], frames[1])
}

func TestAnEmptyReplyIsWhole(t *testing.T) {
	for _, enc := range []protocol.Encoding{protocol.Proto, protocol.JSON} {
		got, err := protocol.AppendMessages(nil, enc, 7, &wire.Messages{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := protocol.AppendServer(nil, enc, &wire.ServerFrame{Id: 7, Body: &wire.ServerFrame_Messages{Messages: &wire.Messages{}}})
		if !bytes.Equal(got, want) {
			t.Errorf("%s: got %q want %q", enc, got, want)
		}
	}
}

func TestRecordsAreVisitedAndCut(t *testing.T) {
	whole := run(10)
	var seqs []uint64
	var joined []byte
	err := protocol.ForEachRecord(whole, func(seq uint64, timeMS int64, record []byte) bool {
		if timeMS != 999+int64(seq) {
			t.Errorf("time of %d: %d", seq, timeMS)
		}
		seqs = append(seqs, seq)
		joined = append(joined, record...)
		return true
	})
	if err != nil || len(seqs) != 10 || seqs[9] != 10 || !bytes.Equal(joined, whole) {
		t.Fatalf("visited %v, %v", seqs, err)
	}
	for seq := uint64(0); seq <= 12; seq++ {
		before, from, err := protocol.SplitAtSeq(whole, seq)
		if err != nil {
			t.Fatal(err)
		}
		if want := int(min(max(seq, 1), 11)) - 1; count(t, before) != want || count(t, from) != 10-want {
			t.Errorf("cut before %d: %d and %d records", seq, count(t, before), count(t, from))
		}
	}
	for size := 0; size <= len(whole)+1; size++ {
		head, rest, n, err := protocol.SplitAtSize(whole, size)
		if err != nil || n != count(t, head) || n == 0 || len(head)+len(rest) != len(whole) || len(head) > size && n > 1 {
			t.Fatalf("cut at %d bytes: %d records of %d bytes, %v", size, n, len(head), err)
		}
	}
}

func count(t *testing.T, run []byte) (n int) {
	t.Helper()
	if err := protocol.ForEachRecord(run, func(uint64, int64, []byte) bool { n++; return true }); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestADamagedRunIsReported(t *testing.T) {
	whole := run(3)
	corrupt := &protocol.Error{Code: protocol.Corrupt}
	for i := 1; i < len(whole); i++ {
		cut := whole[:i]
		_, err := protocol.AppendRecordsJSON(nil, cut)
		visited := 0
		each := protocol.ForEachRecord(cut, func(_ uint64, _ int64, record []byte) bool { visited += len(record); return true })
		if visited == i { // cut between two records
			continue
		}
		if !errors.Is(err, corrupt) || !errors.Is(each, corrupt) {
			t.Errorf("cut to %d bytes: %v, %v", i, err, each)
		}
	}
}

func BenchmarkBatchProto1(b *testing.B)  { benchmarkBatch(b, protocol.Proto, 1) }
func BenchmarkBatchProto50(b *testing.B) { benchmarkBatch(b, protocol.Proto, 50) }
func BenchmarkBatchJSON1(b *testing.B)   { benchmarkBatch(b, protocol.JSON, 1) }
func BenchmarkBatchJSON50(b *testing.B)  { benchmarkBatch(b, protocol.JSON, 50) }

func benchmarkBatch(b *testing.B, enc protocol.Encoding, n int) {
	records, dst := run(n), make([]byte, 0, 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := protocol.AppendBatch(dst, enc, "lobby", "2s", 0, 0, records); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRecord(b *testing.B) {
	dst, body := make([]byte, 0, 4096), make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		body = protocol.AppendBody(body[:0], "ada", "Ada", "text", "hello, world", nil)
		dst = protocol.AppendRecord(dst[:0], 42, 1_790_000_000_000, body)
	}
}

func BenchmarkDecodePublishProto(b *testing.B) { benchmarkDecode(b, protocol.Proto) }
func BenchmarkDecodePublishJSON(b *testing.B)  { benchmarkDecode(b, protocol.JSON) }

func benchmarkDecode(b *testing.B, enc protocol.Encoding) {
	var frame []byte
	for _, g := range goldenFrames() {
		if g.name == "client_publish" {
			frame = g.encoded(enc)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := protocol.DecodeClient(enc, frame); err != nil {
			b.Fatal(err)
		}
	}
}

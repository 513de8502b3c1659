package protocol_test

import (
	"bytes"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/wire"
)

func markOf(m *wire.Message) protocol.RecordMark {
	return protocol.RecordMark{Retracts: m.Retracts, Gone: m.Gone, Shadow: m.Shadow}
}

func markedRecord(m *wire.Message) []byte {
	body := protocol.AppendBody(nil, m.Sender, m.Name, m.Kind, m.Text, m.Data)
	return protocol.AppendMarkedRecord(nil, m.Seq, m.TimeMs, markOf(m), body)
}

func drawMessage(t *rapid.T) *wire.Message {
	text := rapid.StringN(0, 20, 40)
	return &wire.Message{
		Seq: rapid.Uint64Range(1, protocol.MaxSeq).Draw(t, "seq"), TimeMs: rapid.Int64Range(0, 1<<50).Draw(t, "time"),
		Sender: text.Draw(t, "sender"), Name: text.Draw(t, "name"), Kind: text.Draw(t, "kind"), Text: text.Draw(t, "text"),
		Data:     rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "data"),
		Retracts: rapid.SampledFrom([]uint64{0, 1, 300, protocol.MaxSeq}).Draw(t, "retracts"),
		Gone:     rapid.SampledFrom([]string{"", protocol.GoneRetracted, protocol.GoneWithheld, "of a later version"}).Draw(t, "gone"),
		Shadow:   rapid.Bool().Draw(t, "shadow"),
	}
}

// decodeBoth reads a record as clients of either encoding do.
func decodeBoth(t *rapid.T, record []byte) *wire.Message {
	var out [2]*wire.Message
	for i, enc := range []protocol.Encoding{protocol.Proto, protocol.JSON} {
		frame, err := protocol.AppendBatch(nil, enc, "lobby", "2s", 0, 0, record)
		if err != nil {
			t.Fatal(err)
		}
		if enc == protocol.Proto {
			if frame, _, err = protocol.NextFrame(frame, protocol.MaxServerFrame); err != nil {
				t.Fatal(err)
			}
		}
		f, err := protocol.DecodeServer(enc, frame)
		if err != nil || len(f.GetBatch().GetMessages()) != 1 {
			t.Fatalf("%s: %v, %v", enc, f, err)
		}
		out[i] = f.GetBatch().GetMessages()[0]
	}
	if !proto.Equal(out[0], out[1]) {
		t.Fatalf("binary says %v, JSON says %v", out[0], out[1])
	}
	return out[0]
}

func TestMarkedRecordsReadTheSameInBothEncodings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMessage(t)
		record := markedRecord(m)
		if got := decodeBoth(t, record); !proto.Equal(got, m) {
			t.Fatalf("got %v, want %v", got, m)
		}
		if body := protocol.BodySize(m.Sender, m.Name, m.Kind, m.Text, m.Data); m.Gone != "of a later version" && len(record) > body+protocol.RecordOverhead {
			t.Fatalf("a mark takes %d bytes", len(record)-body)
		}
		_, message, _, _ := protocol.NextRecord(record)
		if mark, ok := protocol.RecordMarkOf(message); !ok || mark != markOf(m) {
			t.Fatalf("mark %v, %t; want %v", mark, ok, markOf(m))
		}
		if markOf(m) == (protocol.RecordMark{}) && !bytes.Equal(record, records(m)) {
			t.Fatal("a mark that says nothing takes bytes")
		}
		n := 0
		err := protocol.ForEachMarkedRecord(append(bytes.Clone(record), run(2)...), func(seq uint64, mark protocol.RecordMark, r []byte) bool {
			if n++; n == 1 && (seq != m.Seq || mark != markOf(m) || !bytes.Equal(r, record)) || n == 2 && mark != (protocol.RecordMark{}) {
				t.Fatalf("visited %d %v", seq, mark)
			}
			return n < 2
		})
		if err != nil || n != 2 {
			t.Fatalf("%d visits, %v", n, err)
		}
	})
}

func TestWhatIsLeftOfARecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMessage(t)
		record := markedRecord(m)
		for name, c := range map[string]struct {
			append func(dst, record []byte) ([]byte, error)
			want   *wire.Message
		}{
			"tombstone": {protocol.AppendTombstone, &wire.Message{Seq: m.Seq, TimeMs: m.TimeMs, Sender: m.Sender, Name: m.Name, Retracts: m.Retracts, Gone: "retracted", Shadow: m.Shadow}},
			"withheld":  {protocol.AppendWithheld, &wire.Message{Seq: m.Seq, TimeMs: m.TimeMs, Gone: "withheld"}},
			"unmarked": {protocol.AppendUnmarked, &wire.Message{
				Seq: m.Seq, TimeMs: m.TimeMs, Sender: m.Sender, Name: m.Name, Kind: m.Kind, Text: m.Text, Data: m.Data, Retracts: m.Retracts, Gone: m.Gone,
			}},
		} {
			out, err := c.append([]byte("x"), record)
			if err != nil || out[0] != 'x' {
				t.Fatalf("%s: %q, %v", name, out, err)
			}
			if got := decodeBoth(t, out[1:]); !proto.Equal(got, c.want) {
				t.Fatalf("%s of %v: got %v, want %v", name, m, got, c.want)
			}
		}
	})
}

func TestADamagedMarkIsReported(t *testing.T) {
	record := markedRecord(&wire.Message{Seq: 300, TimeMs: 1_790_000_000_000, Sender: "ada", Text: "hi", Retracts: 299, Gone: "retracted", Shadow: true})
	_, message, _, _ := protocol.NextRecord(record)
	for i := range message {
		whole := protocol.AppendMarkedRecord(nil, 1, 0, protocol.RecordMark{}, nil)
		cut := append([]byte{whole[0], byte(i)}, message[:i]...)
		_, jsonErr := protocol.AppendRecordsJSON(nil, cut)
		_, markOK := protocol.RecordMarkOf(message[:i])
		each := protocol.ForEachMarkedRecord(cut, func(uint64, protocol.RecordMark, []byte) bool { return true })
		if markOK != (each == nil) || !markOK && jsonErr == nil {
			t.Errorf("cut to %d bytes: mark %t, visit %v, JSON %v", i, markOK, each, jsonErr)
		}
		for _, f := range []func(dst, record []byte) ([]byte, error){protocol.AppendTombstone, protocol.AppendWithheld, protocol.AppendUnmarked} {
			if out, err := f([]byte("x"), record[:i]); !errors.Is(err, &protocol.Error{Code: protocol.Corrupt}) || string(out) != "x" {
				t.Errorf("cut to %d bytes: %q, %v", i, out, err)
			}
			if out, err := f([]byte("x"), append(bytes.Clone(record), 0)); err == nil || string(out) != "x" {
				t.Errorf("with something behind it: %q, %v", out, err)
			}
		}
	}
}

func TestMarksCostNoMemory(t *testing.T) {
	_, message, _, _ := protocol.NextRecord(markedRecord(&wire.Message{Seq: 300, TimeMs: 1, Sender: "ada", Text: "hi", Retracts: 299, Gone: "retracted", Shadow: true}))
	if n := testing.AllocsPerRun(100, func() { _, _ = protocol.RecordMarkOf(message) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzMarkedRecord(f *testing.F) {
	f.Add(markedRecord(&wire.Message{Seq: 300, TimeMs: 1, Sender: "ada", Text: "hi", Retracts: 299, Gone: "retracted", Shadow: true}))
	f.Add(run(1))
	f.Add([]byte("z\x1e\b\xac0X0X000000000000000000000000")) // a mark that comes twice
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, cut := range []func(dst, record []byte) ([]byte, error){protocol.AppendTombstone, protocol.AppendWithheld, protocol.AppendUnmarked} {
			out, err := cut(nil, b)
			if err != nil {
				continue
			}
			if protocol.RecordSeq(out) != protocol.RecordSeq(b) {
				t.Fatalf("%x became %x", b, out)
			}
			again, err := cut(nil, out)
			if err != nil || !bytes.Equal(again, out) {
				t.Fatalf("%x, cut again: %x, %v", out, again, err)
			}
		}
	})
}

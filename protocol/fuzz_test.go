package protocol_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/barrage-im/barrage/protocol"
)

func FuzzClientFrame(f *testing.F) { fuzzDecoder(f, "client_") }
func FuzzServerFrame(f *testing.F) { fuzzDecoder(f, "server_") }

func fuzzDecoder(f *testing.F, side string) {
	for _, g := range goldenFrames() {
		if strings.HasPrefix(g.name, side) {
			f.Add(false, g.encoded(protocol.Proto))
			f.Add(true, g.encoded(protocol.JSON))
		}
	}
	f.Fuzz(func(t *testing.T, json bool, b []byte) {
		enc := protocol.Proto
		if json {
			enc = protocol.JSON
		}
		checkDecoded(t, golden{name: side}, enc, b)
	})
}

func FuzzFraming(f *testing.F) {
	for _, g := range goldenFrames() {
		f.Add(g.framed(protocol.Proto))
	}
	f.Add([]byte{0x80, 0x00})
	f.Add(bytes.Repeat([]byte{0xff}, 11))
	f.Fuzz(func(t *testing.T, b []byte) {
		rest, rebuilt := b, []byte(nil)
		for {
			frame, after, err := protocol.NextFrame(rest, protocol.MaxClientFrame)
			if err != nil || frame == nil {
				if len(after) != len(rest) {
					t.Fatal("something was taken without giving a frame")
				}
				break
			}
			rebuilt = protocol.AppendFrame(rebuilt, frame)
			rest = after
		}
		if !bytes.Equal(append(rebuilt, rest...), b) {
			t.Fatalf("%x was cut into something else", b)
		}
	})
}

func FuzzRecords(f *testing.F) {
	f.Add(run(3))
	f.Add(records(hello, sticker))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, size := 0, 0
		err := protocol.ForEachRecord(b, func(_ uint64, _ int64, record []byte) bool {
			n, size = n+1, size+len(record)
			return true
		})
		if err == nil && size != len(b) {
			t.Fatalf("%d of %d bytes were visited", size, len(b))
		}
		out, jsonErr := protocol.AppendRecordsJSON(nil, b)
		if jsonErr == nil && (err != nil || !utf8.Valid(out)) {
			t.Fatalf("JSON of a damaged run: %q", out)
		}
	})
}

func FuzzNames(f *testing.F) {
	for _, name := range []string{"lobby", "", "../x", "a*", "a\u0301", "\u00e1", "群聊", "a\u202eb", "x\x00", "%2e", strings.Repeat("a\u0316\u0317", 30)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		canonical, err := protocol.CanonicalRoom(name)
		if err != nil {
			return
		}
		if canonical != name || protocol.Canonical(name) != name || protocol.CheckUser(name) != nil {
			t.Fatalf("%q is accepted as %q", name, canonical)
		}
		if len(name) > protocol.MaxRoomName || strings.ContainsAny(name, "/\\*>%#? \x00\u202e") {
			t.Fatalf("%q is accepted", name)
		}
		if !protocol.MatchPattern("*", name) || !protocol.MatchPattern(name, name) || !protocol.MatchPattern(name[:1]+"*", name) {
			t.Fatalf("%q does not match itself", name)
		}
	})
}

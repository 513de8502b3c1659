package protocol_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/barrage-im/barrage/protocol"
)

func TestFramesAreCutOneByOne(t *testing.T) {
	stream := protocol.AppendFrame(protocol.AppendFrame(nil, []byte("one")), bytes.Repeat([]byte("2"), 300))
	frame, rest, err := protocol.NextFrame(stream, 1000)
	if err != nil || string(frame) != "one" {
		t.Fatalf("first frame %q, %v", frame, err)
	}
	for i := range rest { // any beginning of a frame asks for more
		if f, r, err := protocol.NextFrame(rest[:i], 1000); f != nil || err != nil || len(r) != i {
			t.Fatalf("%d bytes of a frame: %q, %v", i, f, err)
		}
	}
	if frame, rest, err = protocol.NextFrame(rest, 1000); err != nil || len(frame) != 300 || len(rest) != 0 {
		t.Fatalf("second frame of %d bytes, %d left, %v", len(frame), len(rest), err)
	}
}

func TestBadLengthsAreRefusedAtOnce(t *testing.T) {
	for why, c := range map[string]struct {
		in   []byte
		code protocol.Code
	}{
		"zero":                      {[]byte{0}, protocol.CloseMalformed},
		"above the limit":           {binary.AppendUvarint(nil, 1001), protocol.CloseTooLarge},
		"2^32-1":                    {binary.AppendUvarint(nil, 1<<32-1), protocol.CloseTooLarge},
		"2^63":                      {binary.AppendUvarint(nil, 1<<63), protocol.CloseTooLarge},
		"eleven bytes":              {bytes.Repeat([]byte{0x80}, 11), protocol.CloseTooLarge},
		"not minimal":               {[]byte{0x81, 0x00, 'x'}, protocol.CloseMalformed},
		"zero, not minimal":         {[]byte{0x80, 0x00}, protocol.CloseMalformed},
		"longer than any length is": {[]byte{0x80, 0x80}, protocol.CloseTooLarge},
	} {
		if _, _, err := protocol.NextFrame(c.in, 1000); !errors.Is(err, &protocol.Error{Code: c.code}) {
			t.Errorf("%s: %v", why, err)
		}
	}
}

func TestWhatClientsMustNotSend(t *testing.T) {
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	group := bytes.Repeat([]byte{0x63}, 20_000) // field 12, start of group
	for why, c := range map[string]struct {
		enc  protocol.Encoding
		in   string
		code protocol.Code
	}{
		"truncated protobuf":     {protocol.Proto, "\x08", protocol.Malformed},
		"groups":                 {protocol.Proto, string(group), protocol.Malformed},
		"groups in a command":    {protocol.Proto, string(protowire.AppendBytes([]byte{0x08, 1, 0x12}, group)), protocol.Malformed},
		"invalid UTF-8":          {protocol.Proto, "\x08\x01\x1a\x03\x0a\x01\xff", protocol.Malformed},
		"no command":             {protocol.Proto, "\x08\x07", protocol.Unsupported},
		"later command":          {protocol.Proto, "\x08\x07\xa2\x06\x00", protocol.Unsupported},
		"no id":                  {protocol.Proto, "\x4a\x00", protocol.Malformed},
		"JSON: empty":            {protocol.JSON, "", protocol.Malformed},
		"JSON: array":            {protocol.JSON, `[{"id":1,"ping":{}}]`, protocol.Malformed},
		"JSON: two objects":      {protocol.JSON, `{"id":1,"ping":{}}{}`, protocol.Malformed},
		"JSON: deep":             {protocol.JSON, `{"id":1,"x":` + deep + `,"ping":{}}`, protocol.Malformed},
		"JSON: twice":            {protocol.JSON, `{"id":1,"id":2,"ping":{}}`, protocol.Malformed},
		"JSON: unknown twice":    {protocol.JSON, `{"id":1,"x":{"a":1,"a":1},"ping":{}}`, protocol.Malformed},
		"JSON: both spellings":   {protocol.JSON, `{"heartbeat_ack":{},"heartbeatAck":{}}`, protocol.Malformed},
		"JSON: escaped name":     {protocol.JSON, `{"\u0069d":1,"ping":{}}`, protocol.Malformed},
		"JSON: two commands":     {protocol.JSON, `{"id":1,"ping":{},"leave":{"room":"a"}}`, protocol.Malformed},
		"JSON: 2^53":             {protocol.JSON, `{"id":9007199254740992,"ping":{}}`, protocol.Malformed},
		"JSON: 2^64-1, quoted":   {protocol.JSON, `{"id":"18446744073709551615","ping":{}}`, protocol.Malformed},
		"JSON: 1e400":            {protocol.JSON, `{"id":1e400,"ping":{}}`, protocol.Malformed},
		"JSON: fraction":         {protocol.JSON, `{"id":1.0,"ping":{}}`, protocol.Malformed},
		"JSON: -0":               {protocol.JSON, `{"id":-0,"ping":{}}`, protocol.Malformed},
		"JSON: NaN":              {protocol.JSON, `{"id":NaN,"ping":{}}`, protocol.Malformed},
		"JSON: negative":         {protocol.JSON, `{"id":-1,"ping":{}}`, protocol.Malformed},
		"JSON: leading zero":     {protocol.JSON, `{"id":01,"ping":{}}`, protocol.Malformed},
		"JSON: invalid UTF-8":    {protocol.JSON, "{\"id\":1,\"leave\":{\"room\":\"\xff\"}}", protocol.Malformed},
		"JSON: lone surrogate":   {protocol.JSON, `{"id":1,"leave":{"room":"\ud800"}}`, protocol.Malformed},
		"JSON: byte order mark":  {protocol.JSON, "\ufeff" + `{"id":1,"ping":{}}`, protocol.Malformed},
		"JSON: control":          {protocol.JSON, "{\"id\":1,\"leave\":{\"room\":\"a\x01\"}}", protocol.Malformed},
		"JSON: wrong type":       {protocol.JSON, `{"id":1,"leave":{"room":7}}`, protocol.Malformed},
		"JSON: bad base64":       {protocol.JSON, `{"id":1,"publish":{"data":"?"}}`, protocol.Malformed},
		"JSON: later command":    {protocol.JSON, `{"id":7,"dance":{}}`, protocol.Unsupported},
		"JSON: many members":     {protocol.JSON, `{"id":1,` + members(100) + `"ping":{}}`, protocol.Malformed},
		"JSON: above the limit":  {protocol.JSON, `{"id":1,"ping":{}}` + strings.Repeat(" ", protocol.MaxClientFrame), protocol.TooLarge},
		"JSON: trailing comma":   {protocol.JSON, `{"id":1,"ping":{},}`, protocol.Malformed},
		"JSON: unquoted name":    {protocol.JSON, `{id:1,"ping":{}}`, protocol.Malformed},
		"JSON: string, no quote": {protocol.JSON, `{"id":1,"leave":{"room":"a`, protocol.Malformed},
	} {
		f, err := protocol.DecodeClient(c.enc, []byte(c.in))
		if !errors.Is(err, &protocol.Error{Code: c.code}) {
			t.Errorf("%s: %v, want %s", why, err, c.code)
		}
		if c.code == protocol.Unsupported && f.GetId() != 7 {
			t.Errorf("%s: the id is lost: %v", why, f)
		}
	}
}

func members(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`"x` + strings.Repeat("y", i) + `":0,`)
	}
	return b.String()
}

func TestUnknownFieldsAreIgnored(t *testing.T) {
	for enc, in := range map[protocol.Encoding]string{
		protocol.JSON:  ` { "later" : [ {"deep":[null,true,false,-3]} ], "id" : 1 , "leave" : { "room" : "\u0061\ud83c\udf89", "why" : "\"" } } `,
		protocol.Proto: "\x08\x01\x2a\x0a\x0a\x05a🎉\xfa\x01\x00\xf8\x7f\x01",
	} {
		f, err := protocol.DecodeClient(enc, []byte(in))
		if err != nil || f.GetLeave().GetRoom() != "a🎉" {
			t.Errorf("%s: %v, %v", enc, f, err)
		}
	}
}

func TestDecodingTakesNoMoreThanTheFrame(t *testing.T) {
	for _, in := range []string{
		`{"id":1,"x":` + strings.Repeat("[", 60_000),
		`{"id":1,"x":[` + strings.Repeat("0,", 30_000) + `0],"ping":{}}`,
		`{"id":1,"publish":{"text":"` + strings.Repeat("a", 60_000) + `"}}`,
	} {
		per := testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = protocol.DecodeClient(protocol.JSON, []byte(in))
			}
		}).AllocedBytesPerOp() - int64(len(in)) // the conversion's copy
		if limit := int64(2*len(in) + 4096); per > limit {
			t.Errorf("%.40s…: %d bytes for %d", in, per, len(in))
		}
	}
}

func TestErrorsSurviveTheWire(t *testing.T) {
	want := &protocol.Error{Code: protocol.Trimmed, Message: "m", RetryAfter: 5, Seq: 1, First: 2, Head: 3, Epoch: "e"}
	frame, _, _ := protocol.NextFrame(protocol.AppendError(nil, protocol.Proto, 9, want), 1000)
	f, err := protocol.DecodeServer(protocol.Proto, frame)
	if err != nil || f.Id != 9 {
		t.Fatal(f, err)
	}
	if got := protocol.FromWire(f.GetError()); *got != *want {
		t.Errorf("got %+v", got)
	}
}

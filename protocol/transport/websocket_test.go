package transport

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/barrage-im/barrage/protocol"
)

// answer is what the server says to a handshake.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a handshake request as it is.
func ask(t *testing.T, r *rig, request string) (answer, net.Conn) {
	t.Helper()
	nc, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(r.url, "ws://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(nc, request); err != nil {
		t.Logf("the request was cut off: %v", err)
	}
	res, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer res.Body.Close()
	a := answer{status: res.StatusCode, header: res.Header}
	if a.status != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(io.LimitReader(res.Body, 200))
		a.body = string(body)
	}
	return a, nc
}

func handshake(headers string) string {
	return "GET /v1/ws HTTP/1.1\r\nHost: chat.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" + headers + "\r\n"
}

const wantProto = "Sec-WebSocket-Protocol: barrage.v1.proto\r\n"

// B14, B19, B22, B23, and what else a handshake may get wrong.
func TestHandshakes(t *testing.T) {
	good := Options{Origins: []string{"https://good.example", SameHost}}
	for _, c := range []struct {
		name, headers string
		opts          Options
		status        int
	}{
		{"no origin", wantProto, good, 101},
		{"no origin where one is required", wantProto, Options{RequireOrigin: true}, 403},
		{"allowed origin", wantProto + "Origin: https://good.example\r\n", good, 101},
		{"same host", wantProto + "Origin: https://chat.example.com\r\n", good, 101},
		{"same host by default", wantProto + "Origin: https://chat.example.com\r\n", Options{}, 101},
		{"foreign origin", wantProto + "Origin: https://evil.example\r\n", good, 403},
		{"foreign origin by default", wantProto + "Origin: https://evil.example\r\n", Options{}, 403},
		{"any origin", wantProto + "Origin: https://evil.example\r\n", Options{Origins: []string{"*"}}, 101},
		{"same host not in the list", wantProto + "Origin: https://chat.example.com\r\n", Options{Origins: []string{"https://good.example"}}, 403},
		{"null", wantProto + "Origin: null\r\n", good, 403},
		{"empty", wantProto + "Origin: \r\n", good, 403},
		{"look-alike suffix", wantProto + "Origin: https://good.example.evil\r\n", good, 403},
		{"look-alike prefix", wantProto + "Origin: https://evilgood.example\r\n", good, 403},
		{"user part", wantProto + "Origin: https://good.example@evil.example\r\n", good, 403},
		{"same host as user part", wantProto + "Origin: https://chat.example.com@evil.example\r\n", good, 403},
		{"other scheme", wantProto + "Origin: http://good.example\r\n", good, 403},
		{"other port", wantProto + "Origin: https://good.example:444\r\n", good, 403},
		{"two origins", wantProto + "Origin: https://good.example\r\nOrigin: https://evil.example\r\n", good, 403},
		{"no subprotocol", "", good, 400},
		{"unknown subprotocol", "Sec-WebSocket-Protocol: chat\r\n", good, 400},
		{"one known of two", "Sec-WebSocket-Protocol: chat, barrage.v1.json\r\n", good, 101},
		{"compression is not answered", wantProto + "Sec-WebSocket-Extensions: permessage-deflate\r\n", good, 101},
		{"1 MiB of headers", wantProto + "X: " + strings.Repeat("x", 1<<20) + "\r\n", good, 431},
		{"10,000 headers", wantProto + strings.Repeat("X: y\r\n", 10_000), good, 431},
		{"chunked and length", wantProto + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", good, 400},
		{"length and chunked", wantProto + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", good, 400},
		{"two lengths", wantProto + "Content-Length: 5\r\nContent-Length: 6\r\n", good, 400},
		{"a signed length", wantProto + "Content-Length: +5\r\n", good, 400},
		{"a body", wantProto + "Content-Length: 5\r\n", good, 400},
		{"a chunked body", wantProto + "Transfer-Encoding: chunked\r\n", good, 400},
		{"chunked twice", wantProto + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", good, 501},
		{"another transfer encoding", wantProto + "Transfer-Encoding: chunked, identity\r\n", good, 501},
		{"space before a colon", wantProto + "Transfer-Encoding : chunked\r\n", good, 400},
		{"a folded header", wantProto + "X: a\r\n b\r\n", good, 101},
		{"two hosts", wantProto + "Host: chat.example.com\r\n", good, 400},
		{"NUL in a header", wantProto + "X: a\x00b\r\n", good, 400},
		{"two upgrades", wantProto + "Upgrade: h2c\r\n", good, 101},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, "ws/proto", c.opts, nil)
			res, _ := ask(t, r, handshake(c.headers))
			if res.status != c.status {
				t.Errorf("answered %d %q, want %d", res.status, res.body, c.status)
			}
			if res.header.Get("Sec-WebSocket-Extensions") != "" {
				t.Error("an extension was agreed on")
			}
		})
	}
}

func TestAnUnfinishedRequestIsCutOff(t *testing.T) {
	srv := NewHTTPServer(http.NotFoundHandler())
	if srv.ReadHeaderTimeout != 5*time.Second || srv.Protocols.HTTP2() || srv.Protocols.UnencryptedHTTP2() {
		t.Errorf("header timeout %s, protocols %v", srv.ReadHeaderTimeout, srv.Protocols)
	}
}

func TestOriginListsAreChecked(t *testing.T) {
	for _, bad := range []string{"example.com", "https://", "https://example.com/", "https://example.com/path", "https://*.example.com/x", ""} {
		if CheckOrigins([]string{bad}) == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	if err := CheckOrigins([]string{"https://example.com:8443", SameHost, "*"}); err != nil {
		t.Error(err)
	}
}

// readWS reads the server's frames up to its close frame.
func closeStatus(t *testing.T, br *bufio.Reader) uint16 {
	t.Helper()
	for {
		opcode, payload := readWS(t, br)
		if opcode == opClose {
			return binary.BigEndian.Uint16(payload)
		}
	}
}

func readWS(t *testing.T, br *bufio.Reader) (opcode byte, payload []byte) {
	t.Helper()
	head := make([]byte, 2)
	if _, err := io.ReadFull(br, head); err != nil {
		t.Fatalf("waiting for a frame: %v", err)
	}
	if head[0]&finBit == 0 || head[1]&maskBit != 0 || head[1] > 125 {
		t.Fatalf("a frame from the server begins with %x", head)
	}
	payload = make([]byte, head[1])
	if _, err := io.ReadFull(br, payload); err != nil {
		t.Fatal(err)
	}
	return head[0] & 0x0f, payload
}

func raw(first, second byte, rest ...byte) []byte { return append([]byte{first, second}, rest...) }

// B15 to B18, B21, B25: each ends with the status, after a close frame of ours.
func TestWebSocketBreaches(t *testing.T) {
	fragments := func(n int, payload string) (b []byte) {
		b = masked(false, opBinary, []byte(payload))
		for range n {
			b = append(b, masked(false, opContinuation, []byte(payload))...)
		}
		return b
	}
	huge := raw(finBit|opBinary, maskBit|127, 0x80, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4)
	nearly := raw(finBit|opBinary, maskBit|127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4)
	for _, c := range []struct {
		name   string
		json   bool
		bytes  []byte
		status uint16
	}{
		{"unmasked", false, raw(finBit|opBinary, 1, 'x'), 1002},
		{"RSV1", false, raw(finBit|0x40|opBinary, maskBit|1, 0, 0, 0, 0, 'x'), 1002},
		{"RSV3", false, raw(finBit|0x10|opBinary, maskBit|1, 0, 0, 0, 0, 'x'), 1002},
		{"reserved opcode", false, masked(true, 0x3, nil), 1002},
		{"reserved control opcode", false, masked(true, 0xb, nil), 1002},
		{"fragmented ping", false, masked(false, opPing, nil), 1002},
		{"ping of 126 bytes", false, masked(true, opPing, make([]byte, 126)), 1002},
		{"continuation of nothing", false, masked(true, opContinuation, nil), 1002},
		{"message inside a message", false, append(masked(false, opBinary, nil), masked(true, opBinary, nil)...), 1002},
		{"length with its top bit", false, huge, 1002},
		{"length 2^63-1", false, nearly, 4302},
		{"length that overflows a sum", false, append(masked(false, opBinary, []byte("x")), append([]byte{finBit}, nearly[1:]...)...), 4302},
		{"message above the limit", false, raw(finBit|opBinary, maskBit|127, 0, 0, 0, 0, 0, 1, 0, 4, 0, 0, 0, 0), 4302},
		{"fragments above the limit", false, fragments(9, strings.Repeat("x", 8000)), 4302},
		{"a thousand fragments of one byte", false, fragments(1000, "x"), 1002},
		{"a thousand empty fragments", false, fragments(1000, ""), 1002},
		{"ping flood", false, bytes.Repeat(masked(true, opPing, nil), 101), 4305},
		{"close with one byte", false, masked(true, opClose, []byte{3}), 1002},
		{"close with a reserved status", false, masked(true, opClose, []byte{0x03, 0xed}), 1002},
		{"close with a reason that is no UTF-8", false, masked(true, opClose, []byte{0x03, 0xe8, 0xff}), 1002},
		{"text where binary is spoken", false, masked(true, opText, []byte(`{"id":1,"ping":{}}`)), 4306},
		{"binary where text is spoken", true, masked(true, opBinary, []byte{2, 1, 1}), 4306},
		{"text that is no UTF-8", true, masked(true, opText, []byte("\"\xff\"")), 1007},
		{"a message that ends inside a frame", false, masked(true, opBinary, []byte{5, 'x'}), 4300},
		{"the client's close", false, masked(true, opClose, []byte{0x03, 0xe8}), 1000},
		{"the client's close without status", true, masked(true, opClose, nil), 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, "ws/proto", Options{}, nil)
			protocols := wantProto
			if c.json {
				protocols = "Sec-WebSocket-Protocol: barrage.v1.json\r\n"
			}
			res, nc := ask(t, r, handshake(protocols))
			if res.status != 101 {
				t.Fatal(res.status, res.body)
			}
			s := wait(t, "a session", r.sessions)
			if _, err := nc.Write(c.bytes); err != nil {
				t.Fatal(err)
			}
			if got := closeStatus(t, bufio.NewReader(nc)); got != c.status {
				t.Errorf("closed with %d, want %d", got, c.status)
			}
			_ = nc.Close()
			err := wait(t, "the end", s.closed)
			var told *protocol.Error
			if c.status == 1000 && err != nil || c.status != 1000 && !errors.As(err, &told) {
				t.Errorf("the session is told %v", err)
			}
		})
	}
}

func TestPingsAreAnsweredBetweenFragments(t *testing.T) {
	r := newRig(t, "ws/json", Options{}, nil)
	res, nc := ask(t, r, handshake("Sec-WebSocket-Protocol: barrage.v1.json\r\n"))
	if res.status != 101 {
		t.Fatal(res.status, res.body)
	}
	s := wait(t, "a session", r.sessions)
	var b []byte
	b = append(b, masked(false, opText, []byte(`{"id":1,`))...)
	b = append(b, masked(true, opPing, []byte("are you there"))...)
	b = append(b, masked(false, opContinuation, nil)...)
	b = append(b, masked(true, opContinuation, []byte("\"ping\":{}}\n\n{\"id\":2,\"ping\":{}}\n"))...)
	for _, one := range b {
		if _, err := nc.Write([]byte{one}); err != nil {
			t.Fatal(err)
		}
	}
	if opcode, payload := readWS(t, bufio.NewReader(nc)); opcode != opPong || string(payload) != "are you there" {
		t.Errorf("answered %x %q", opcode, payload)
	}
	for id := 1; id <= 2; id++ {
		if got, want := string(wait(t, "a frame", s.frames)), fmt.Sprintf(`{"id":%d,"ping":{}}`, id); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// collect keeps what a parser delivers.
type collect struct{ frames [][]byte }

func (c *collect) OnFrame(f []byte) { c.frames = append(c.frames, bytes.Clone(f)) }
func (*collect) OnWritable()        {}
func (*collect) OnClose(error)      {}

// FuzzParsers holds the parsers to giving the same frames, and the same end,
// however the bytes are cut.
func FuzzParsers(f *testing.F) {
	f.Add(uint8(Stream), uint8(3), append(ping(Proto, 1), ping(Proto, 2)...))
	f.Add(uint8(WSBinary), uint8(1), masked(true, opBinary, ping(Proto, 1)))
	f.Add(uint8(WSText), uint8(2), append(masked(false, opText, []byte(`{"id":`)), masked(true, opContinuation, []byte(`1}`))...))
	f.Fuzz(func(t *testing.T, format, step uint8, b []byte) {
		parse := func(step int) ([][]byte, string, bool) {
			p := parser(new(wsParser))
			fm := Format(format % uint8(NumFormats))
			if fm == Stream {
				p = new(streamParser)
			}
			got := new(collect)
			c := &conn{opts: Options{}.withDefaults(), info: Info{Format: fm}, handler: got, closed: true}
			for rest := bytes.Clone(b); len(rest) > 0; {
				n := min(step, len(rest))
				if err := p.feed(c, rest[:n]); err != nil {
					return got.frames, err.Error(), false
				}
				rest = rest[n:]
			}
			return got.frames, "", p.partial()
		}
		whole, wholeErr, wholePartial := parse(len(b) + 1)
		cut, cutErr, cutPartial := parse(int(step%16) + 1)
		if fmt.Sprint(whole) != fmt.Sprint(cut) || wholeErr != cutErr || wholePartial != cutPartial {
			t.Fatalf("whole: %q %q %v\n cut: %q %q %v", whole, wholeErr, wholePartial, cut, cutErr, cutPartial)
		}
	})
}

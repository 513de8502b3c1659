package protocol_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/wire"
)

var update = flag.Bool("update", false, "write testdata anew from goldenFrames")

// Goldens are frames as they go over the wire: testdata/<side>_<name>.hex holds
// the binary form with its length, .json the JSON form with its newline.
type golden struct {
	name  string
	frame proto.Message
}

func client(id uint64, c *wire.ClientFrame) *wire.ClientFrame { c.Id = id; return c }
func server(id uint64, s *wire.ServerFrame) *wire.ServerFrame { s.Id = id; return s }

var (
	hello     = &wire.Message{Seq: 42, TimeMs: 1_790_000_000_000, Sender: "ada", Name: "Ada L.", Kind: "text", Text: "hi \"there\"\n✨"}
	shadowed  = &wire.Message{Seq: 44, TimeMs: 1_790_000_000_050, Sender: "eve", Name: "Eve", Text: "buy my coins", Shadow: true}
	retracts  = &wire.Message{Seq: 45, TimeMs: 1_790_000_000_060, Sender: "mia", Text: "off topic", Retracts: 42}
	tombstone = &wire.Message{Seq: 42, TimeMs: 1_790_000_000_000, Sender: "ada", Name: "Ada L.", Gone: protocol.GoneRetracted}
	withheld  = &wire.Message{Seq: 44, TimeMs: 1_790_000_000_050, Gone: protocol.GoneWithheld}
	sticker   = &wire.Message{Seq: 43, TimeMs: 1_790_000_000_040, Sender: "bob", Kind: "sticker", Data: []byte{0, 1, 0xfe, 0xff}}
)

func goldenFrames() []golden {
	since := uint64(41)
	return []golden{
		{"client_connect", client(1, &wire.ClientFrame{Command: &wire.ClientFrame_Connect{Connect: &wire.Connect{Token: "eyJhbGciOiJFZERTQSJ9.e30.c2ln", Client: "golden/1.0", Network: "wifi", Resume: "r1", Version: 1}}})},
		{"client_refresh", client(2, &wire.ClientFrame{Command: &wire.ClientFrame_Refresh{Refresh: &wire.Refresh{Token: "eyJhbGciOiJFZERTQSJ9.e30.bmV3"}}})},
		{"client_join", client(3, &wire.ClientFrame{Command: &wire.ClientFrame_Join{Join: &wire.Join{Room: "lobby", Recent: 50}}})},
		{"client_join_resume", client(4, &wire.ClientFrame{Command: &wire.ClientFrame_Join{Join: &wire.Join{Room: "lobby", Epoch: "2s", Since: &since}}})},
		{"client_leave", client(5, &wire.ClientFrame{Command: &wire.ClientFrame_Leave{Leave: &wire.Leave{Room: "lobby"}}})},
		{"client_publish", client(6, &wire.ClientFrame{Command: &wire.ClientFrame_Publish{Publish: &wire.Publish{Room: "lobby", Key: "k-1", Kind: "text", Text: "hi", Data: []byte("\x00\xff"), Order: 1, TimeoutMs: 5000}}})},
		{"client_history", client(7, &wire.ClientFrame{Command: &wire.ClientFrame_History{History: &wire.History{Room: "lobby", From: 42, Limit: 100, Reverse: true, Epoch: "2s"}}})},
		{"client_members", client(8, &wire.ClientFrame{Command: &wire.ClientFrame_Members{Members: &wire.Members{Room: "lobby", Cursor: "ada", Limit: 100}}})},
		{"client_ping", client(9, &wire.ClientFrame{Command: &wire.ClientFrame_Ping{Ping: &wire.Ping{}}})},
		{"client_moderate_mute", client(10, &wire.ClientFrame{Command: &wire.ClientFrame_Moderate{Moderate: &wire.Moderate{Room: "lobby", Action: protocol.Mute, User: "eve", DurationMs: 600_000, Reason: "spam"}}})},
		{"client_moderate_retract", client(11, &wire.ClientFrame{Command: &wire.ClientFrame_Moderate{Moderate: &wire.Moderate{Room: "lobby", Action: protocol.Retract, Seq: 42, Reason: "off topic"}}})},
		{"client_heartbeat_ack", client(0, &wire.ClientFrame{Command: &wire.ClientFrame_HeartbeatAck{HeartbeatAck: &wire.HeartbeatAck{}}})},

		{"server_error", server(6, &wire.ServerFrame{Body: &wire.ServerFrame_Error{Error: protocol.WireError(&protocol.Error{Code: protocol.RateLimited, Message: "wait before you publish again", RetryAfter: 250})}})},
		{"server_error_trimmed", server(7, &wire.ServerFrame{Body: &wire.ServerFrame_Error{Error: protocol.WireError(&protocol.Error{Code: protocol.Trimmed, Message: "history begins at 40", First: 40, Head: 43, Epoch: "2s"})}})},
		{"server_connected", server(1, &wire.ServerFrame{Body: &wire.ServerFrame_Connected{Connected: &wire.Connected{
			Session: "s-1", User: "ada", Name: "Ada L.", Region: "eu", Edge: "edge-1",
			Limits:    &wire.Limits{FrameBytes: protocol.MaxClientFrame, MessageBytes: 4096, Rooms: 64, Outstanding: 256, History: 1000, KeyWindowMs: 120_000, FrameRate: 1000, FrameBurst: 4000},
			Heartbeat: &wire.HeartbeatPolicy{IntervalMs: 25_000, TimeoutMs: 10_000},
			ExpiresMs: 1_790_003_600_000, Endpoints: []string{"wss://eu-2.example.com/v1/ws", "wss://us-1.example.com/v1/ws"}, Resume: "r2", TimeMs: 1_790_000_000_000,
		}}})},
		{"server_refreshed", server(2, &wire.ServerFrame{Body: &wire.ServerFrame_Refreshed{Refreshed: &wire.Refreshed{ExpiresMs: 1_790_007_200_000}}})},
		{"server_joined", server(4, &wire.ServerFrame{Body: &wire.ServerFrame_Joined{Joined: &wire.Joined{
			Room: "lobby", Epoch: "2s", Head: 43, First: 1, Members: 2, Recovered: true, Survive: "region",
			State: &wire.RoomState{Room: "lobby", Survive: "region", SlowModeMs: 1000, MessageBytes: 4096}, Messages: []*wire.Message{hello, sticker},
		}}})},
		{"server_joined_gap", server(4, &wire.ServerFrame{Body: &wire.ServerFrame_Joined{Joined: &wire.Joined{
			Room: "lobby", Epoch: "2s", Head: 43, First: 43, Members: 1, Gap: &wire.Gap{Room: "lobby", First: 42, Last: 42, Reason: "trimmed", Epoch: "2s"}, Survive: "zone", Messages: []*wire.Message{sticker},
		}}})},
		{"server_left", server(5, &wire.ServerFrame{Body: &wire.ServerFrame_Left{Left: &wire.Left{Room: "lobby"}}})},
		{"server_published", server(6, &wire.ServerFrame{Body: &wire.ServerFrame_Published{Published: &wire.Published{Room: "lobby", Seq: 42, TimeMs: 1_790_000_000_000, Survive: "region", Epoch: "2s", Duplicate: true}}})},
		{"server_published_masked", server(6, &wire.ServerFrame{Body: &wire.ServerFrame_Published{Published: &wire.Published{Room: "lobby", Seq: 46, TimeMs: 1_790_000_000_070, Survive: "region", Epoch: "2s", Verdict: protocol.VerdictMask, Text: "what a **** day"}}})},
		{"server_error_muted", server(6, &wire.ServerFrame{Body: &wire.ServerFrame_Error{Error: protocol.WireError(&protocol.Error{Code: protocol.Muted, Message: "you may not publish here: spam"})}})},
		{"server_joined_moderator", server(4, &wire.ServerFrame{Body: &wire.ServerFrame_Joined{Joined: &wire.Joined{
			Room: "lobby", Epoch: "2s", Head: 45, First: 1, Members: 2, Recovered: true, Survive: "region", Role: protocol.RoleModerator, Messages: []*wire.Message{shadowed, retracts},
		}}})},
		{"server_moderated", server(10, &wire.ServerFrame{Body: &wire.ServerFrame_Moderated{Moderated: &wire.Moderated{Room: "lobby", Action: protocol.Mute, UntilMs: 1_790_000_600_000}}})},
		{"server_moderated_retract", server(11, &wire.ServerFrame{Body: &wire.ServerFrame_Moderated{Moderated: &wire.Moderated{Room: "lobby", Action: protocol.Retract, Seq: 45}}})},
		{"server_sanction", server(0, &wire.ServerFrame{Body: &wire.ServerFrame_Sanction{Sanction: &wire.Sanction{Room: "lobby", Action: protocol.Ban, UntilMs: 1_790_000_600_000, Reason: "spam"}}})},
		{"server_batch_moderated", server(0, &wire.ServerFrame{Body: &wire.ServerFrame_Batch{Batch: &wire.Batch{Room: "lobby", Epoch: "2s", Messages: []*wire.Message{tombstone, sticker, withheld, retracts}}}})},
		{"server_messages", server(7, &wire.ServerFrame{Body: &wire.ServerFrame_Messages{Messages: &wire.Messages{Room: "lobby", Epoch: "2s", First: 1, Head: 43, More: true, Messages: []*wire.Message{hello, sticker}}}})},
		{"server_members", server(8, &wire.ServerFrame{Body: &wire.ServerFrame_Members{Members: &wire.MembersPage{Room: "lobby", Members: []*wire.Member{{User: "ada", Name: "Ada L.", Sessions: 2}, {User: "bob", Sessions: 1}}, Cursor: "bob", Total: 3}}})},
		{"server_members_counts", server(8, &wire.ServerFrame{Body: &wire.ServerFrame_Members{Members: &wire.MembersPage{Room: "lobby", Total: 100_000, CountsOnly: true}}})},
		{"server_pong", server(9, &wire.ServerFrame{Body: &wire.ServerFrame_Pong{Pong: &wire.Pong{TimeMs: 1_790_000_000_000}}})},
		{"server_batch", server(0, &wire.ServerFrame{Body: &wire.ServerFrame_Batch{Batch: &wire.Batch{Room: "lobby", Epoch: "2s", Merged: 3, Dropped: 7, Messages: []*wire.Message{hello, sticker}}}})},
		{"server_gap", server(0, &wire.ServerFrame{Body: &wire.ServerFrame_Gap{Gap: &wire.Gap{Room: "lobby", First: 44, Last: 90, Reason: "slow", Epoch: "2s"}}})},
		{"server_presence", server(0, &wire.ServerFrame{Body: &wire.ServerFrame_Presence{Presence: &wire.Presence{Room: "lobby", Members: 2, Joined: []*wire.Member{{User: "ada", Name: "Ada L.", Sessions: 1}}, Left: []*wire.Member{{User: "bob"}}}}})},
		{"server_room", server(0, &wire.ServerFrame{Body: &wire.ServerFrame_Room{Room: &wire.RoomState{Room: "lobby", Survive: "zone", SlowModeMs: 2000, MessageBytes: 1024}}})},
		{"server_heartbeat", server(0, &wire.ServerFrame{Body: &wire.ServerFrame_Heartbeat{Heartbeat: &wire.Heartbeat{IntervalMs: 25_000}}})},
		{"server_reconnect", server(0, &wire.ServerFrame{Body: &wire.ServerFrame_Reconnect{Reconnect: &wire.Reconnect{Reason: "draining", WaitMinMs: 100, WaitMaxMs: 5000, Endpoints: []string{"wss://eu-2.example.com/v1/ws"}}}})},
		{"server_close", server(0, &wire.ServerFrame{Body: &wire.ServerFrame_Close{Close: &wire.Close{Code: uint32(protocol.CloseDraining), Name: "draining", Message: "this edge stops", Reconnect: &wire.Reconnect{Reason: "draining", WaitMinMs: 100, WaitMaxMs: 5000}}}})},
	}
}

// encoded returns the golden in enc, without length or newline.
func (g golden) encoded(enc protocol.Encoding) []byte {
	framed := g.framed(enc)
	if enc == protocol.JSON {
		return bytes.TrimSuffix(framed, []byte("\n"))
	}
	frame, _, err := protocol.NextFrame(framed, protocol.MaxServerFrame)
	if err != nil || frame == nil {
		panic("golden " + g.name)
	}
	return frame
}

func (g golden) framed(enc protocol.Encoding) []byte {
	if f, ok := g.frame.(*wire.ClientFrame); ok {
		return protocol.AppendClient(nil, enc, f)
	}
	return protocol.AppendServer(nil, enc, g.frame.(*wire.ServerFrame))
}

func (g golden) decode(enc protocol.Encoding, b []byte) (proto.Message, error) {
	if strings.HasPrefix(g.name, "client_") {
		return protocol.DecodeClient(enc, b)
	}
	return protocol.DecodeServer(enc, b)
}

func TestGoldenFramesInBothEncodings(t *testing.T) {
	for _, g := range goldenFrames() {
		t.Run(g.name, func(t *testing.T) {
			path := filepath.Join("testdata", g.name)
			binary := hex.EncodeToString(g.framed(protocol.Proto)) + "\n"
			if *update {
				write(t, path+".hex", []byte(binary))
				write(t, path+".json", g.framed(protocol.JSON))
			}
			if want := read(t, path+".hex"); binary != want {
				t.Errorf("binary form:\n got %s want %s", binary, want)
			}
			if got, want := string(g.framed(protocol.JSON)), read(t, path+".json"); got != want {
				t.Errorf("JSON form:\n got %s want %s", got, want)
			}
			for _, enc := range []protocol.Encoding{protocol.Proto, protocol.JSON} {
				back, err := g.decode(enc, g.encoded(enc))
				if err != nil {
					t.Fatalf("decode %s: %v", enc, err)
				}
				if !proto.Equal(back, g.frame) {
					t.Errorf("decode %s: got %v", enc, back)
				}
			}
		})
	}
}

func TestGoldensCoverTheSchema(t *testing.T) {
	for _, m := range []proto.Message{&wire.ClientFrame{}, &wire.ServerFrame{}} {
		oneof := m.ProtoReflect().Descriptor().Oneofs().Get(0)
		missing := map[protoreflect.Name]bool{}
		for i := range oneof.Fields().Len() {
			missing[oneof.Fields().Get(i).Name()] = true
		}
		for _, g := range goldenFrames() {
			r := g.frame.ProtoReflect()
			if r.Descriptor() == oneof.Parent() {
				delete(missing, r.WhichOneof(oneof).Name())
			}
		}
		if len(missing) > 0 {
			t.Errorf("%s: no golden frame for %v", oneof.Parent().Name(), missing)
		}
	}
}

func TestEveryPrefixAndFlippedByteOfTheGoldens(t *testing.T) {
	for _, g := range goldenFrames() {
		for _, enc := range []protocol.Encoding{protocol.Proto, protocol.JSON} {
			frame := g.encoded(enc)
			for i := range frame {
				_, _ = g.decode(enc, frame[:i:i])
				for _, mask := range []byte{0x01, 0x80, 0xff} {
					damaged := bytes.Clone(frame)
					damaged[i] ^= mask
					checkDecoded(t, g, enc, damaged)
				}
			}
			if enc == protocol.JSON { // no prefix of an object is an object
				for i := range frame {
					if _, err := g.decode(enc, frame[:i]); err == nil {
						t.Errorf("%s: accepted its prefix %s", g.name, frame[:i])
					}
				}
			}
		}
	}
}

// checkDecoded decodes what may be anything, and holds what is accepted to
// being encoded and read back the same.
func checkDecoded(t *testing.T, g golden, enc protocol.Encoding, b []byte) {
	t.Helper()
	m, err := g.decode(enc, b)
	if err != nil || enc == protocol.Proto && proto.Size(m) == 0 {
		return // refused, or nothing known in it: that is no frame
	}
	again := golden{g.name, m}
	back, err := again.decode(enc, again.encoded(enc))
	if err != nil || !proto.Equal(back, m) {
		t.Errorf("%s %s: %q decodes to %v, which comes back as %v, %v", g.name, enc, b, m, back, err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

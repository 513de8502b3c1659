package room_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/cmd/room"
	"github.com/barrage-im/barrage/protocol/ops"
	"github.com/barrage-im/barrage/protocol/pki"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// operator is a core node with 1,200 empty rooms and one with three messages.
type operator struct {
	rpc.UnimplementedOperatorServer
	breakCRC bool
}

func (o *operator) ListRooms(_ context.Context, r *rpc.ListRoomsRequest) (*rpc.ListRoomsResponse, error) {
	from := 0
	if r.GetCursor() != "" {
		if _, err := fmt.Sscan(r.GetCursor(), &from); err != nil {
			return nil, err
		}
	}
	page := &rpc.ListRoomsResponse{}
	for i := from; i < 1200 && len(page.GetRooms()) < int(r.GetLimit()); i++ {
		if name := fmt.Sprintf("room-%04d", i); protocol.MatchPattern(r.GetPattern(), name) {
			page.Rooms = append(page.Rooms, &rpc.RoomDetail{Room: name, Survive: "zone"})
		}
		if page.Cursor = fmt.Sprint(i + 1); i+1 == 1200 {
			page.Cursor = ""
		}
	}
	return page, nil
}

func (o *operator) ShowRoom(_ context.Context, r *rpc.HeadRequest) (*rpc.RoomDetail, error) {
	if r.GetRoom() != "lobby" {
		return &rpc.RoomDetail{Code: uint32(protocol.NotFound)}, nil
	}
	return &rpc.RoomDetail{
		Room: "lobby", Shard: 3, Epoch: 35, First: 1, Head: 3, Survive: "region", Leader: "c2", RecoveryTimeMs: 5000,
		Policy: &rpc.Policy{Pattern: "*", RetainMessages: 1000, Verbs: []string{"join"}},
	}, nil
}

func (o *operator) RoomHistory(_ context.Context, r *rpc.HistoryRequest) (*rpc.HistoryPage, error) {
	if !r.GetReverse() && r.GetFrom() > 3 {
		return &rpc.HistoryPage{Code: uint32(protocol.Future), First: 1, Head: 3}, nil
	}
	page := &rpc.HistoryPage{First: 1, Head: 3, Start: 1, Count: 3}
	for i, text := range []string{"hello", "\x1b[2Jgone", "日本語\nline"} {
		page.Records = protocol.AppendRecord(page.GetRecords(), uint64(i+1), noon.UnixMilli(), protocol.AppendBody(nil, "ann", "Ann", "chat", text, nil))
	}
	page.Crc = protocol.CRC(page.GetRecords())
	if o.breakCRC {
		page.Crc++
	}
	return page, nil
}

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// start serves o with mutual TLS and returns the flags that reach it.
func start(t *testing.T, o rpc.OperatorServer) []string {
	t.Helper()
	ca, err := pki.NewCA("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	coreCert, err := ca.Issue(pki.Core, "c1", nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	creds, err := coreCert.Credentials()
	if err != nil {
		t.Fatal(err)
	}
	mine, err := ca.Issue(pki.Operator, "ann", nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "operator")
	if err := mine.Write(dir); err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(creds.ServerConfig("h2"))))
	rpc.RegisterOperatorServer(server, o)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return []string{"--server", listener.Addr().String(), "--tls", dir}
}

func run(t *testing.T, flags []string, args ...string) (string, error) {
	t.Helper()
	var out, diagnostics bytes.Buffer
	err := room.Run(t.Context(), append(args, flags...), &out, &diagnostics)
	return out.String(), err
}

func TestListGoesThroughThePages(t *testing.T) {
	flags := start(t, &operator{})
	out, err := run(t, flags, "list", "-n", "1100", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var rooms []struct{ Room, Survive string }
	if err := json.Unmarshal([]byte(out), &rooms); err != nil {
		t.Fatal(err)
	}
	if len(rooms) != 1100 || rooms[1099].Room != "room-1099" || rooms[0].Survive != "zone" {
		t.Errorf("%d rooms", len(rooms))
	}
	out, err = run(t, flags, "list", "room-11*", "-n", "2000")
	if err != nil || strings.Count(out, "\n") != 101 || strings.Contains(out, "there are more") {
		t.Errorf("%v:\n%s", err, out)
	}
	out, err = run(t, flags, "list")
	if err != nil || !strings.Contains(out, "there are more") {
		t.Errorf("%v:\n%s", err, out)
	}
	if out, err = run(t, flags, "list", "none", "-o", "json"); err != nil || strings.TrimSpace(out) != "[]" {
		t.Errorf("%v: %s", err, out)
	}
}

func TestShow(t *testing.T) {
	flags := start(t, &operator{})
	out, err := run(t, flags, "show", "lobby")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"3, led by c2", "a region", "recovery point", "5s", "1 to 3", "z"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
	_, err = run(t, flags, "show", "attic")
	if !errors.Is(err, &protocol.Error{Code: protocol.NotFound}) {
		t.Errorf("got %v", err)
	}
}

// B80: what users wrote cannot steer the operator's terminal.
func TestHistoryIsPrintable(t *testing.T) {
	out, err := run(t, start(t, &operator{}), "history", "lobby")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out, "\x1b") || strings.Count(out, "\n") != 4 || !strings.Contains(out, `日本語\nline`) {
		t.Errorf("got %q", out)
	}
}

func TestHistoryRefusals(t *testing.T) {
	if _, err := run(t, start(t, &operator{}), "history", "lobby", "--from", "9"); !errors.Is(err, &protocol.Error{Code: protocol.Future}) {
		t.Errorf("got %v", err)
	}
	if _, err := run(t, start(t, &operator{breakCRC: true}), "history", "lobby"); !errors.Is(err, &protocol.Error{Code: protocol.Corrupt}) {
		t.Errorf("got %v", err)
	}
}

func TestUsageErrors(t *testing.T) {
	for _, args := range [][]string{
		{"drop", "lobby"},
		{"show"},
		{"show", "a", "b"},
		{"list", "-o", "xml"},
		{"list", "--timeout", "10"},
		{"list", "-n", "0"},
	} {
		_, err := run(t, nil, args...)
		var usage *ops.UsageError
		if !errors.As(err, &usage) {
			t.Errorf("%q: got %v, want a usage error", args, err)
		}
	}
	if _, err := run(t, []string{"--tls", t.TempDir()}, "list"); err == nil || !strings.Contains(err.Error(), "barrage cert issue") {
		t.Errorf("without credentials: %v", err)
	}
}

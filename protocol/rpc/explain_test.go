package rpc_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/barrage-im/barrage/protocol/rpc"
)

func TestExplainSaysWhatToDo(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{
			status.Error(codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"`),
			"core node c:1 cannot be reached: dial tcp 127.0.0.1:1: connect: connection refused. Does it run there?",
		},
		{
			status.Error(codes.Unavailable, `connection error: desc = "transport: authentication handshake failed: tls: first record does not look like a TLS handshake"`),
			"do not go together: tls: first record does not look like a TLS handshake. Are both",
		},
		{status.Error(codes.PermissionDenied, "edge e1 may not call X"), "role operator"},
		{status.Error(codes.DeadlineExceeded, "context deadline exceeded"), "--timeout"},
		{status.Error(codes.Internal, "odd"), "core node c:1: odd"},
	} {
		if got := rpc.Explain(c.err, "c:1").Error(); !strings.Contains(got, c.want) || strings.Contains(got, "rpc error") {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	if err := rpc.Explain(io.EOF, "c:1"); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
	if err := rpc.Explain(nil, "c:1"); err != nil {
		t.Errorf("got %v", err)
	}
}

package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A node that stops and a node that is new are no reason to warn anybody.
func TestRaftsRoutineIsNotNews(t *testing.T) {
	var out bytes.Buffer
	raft := hcLog{log: slog.New(slog.NewTextHandler(&out, nil))}
	raft.Error("failed to decode incoming command", "error", &net.OpError{Op: "read", Net: "tcp", Err: net.ErrClosed})
	raft.Error("failed to appendEntries to", "peer", "c2", "error", fmt.Errorf("dial: %w", context.Canceled))
	raft.Error("failed to flush response", "error", io.EOF)
	raft.Warn("failed to get previous log", "error", errors.New("log not found"))
	if out.Len() > 0 {
		t.Errorf("logged at info or above:\n%s", &out)
	}
	raft.Error("failed to appendEntries to", "error", errors.New("connection refused"))
	raft.Warn("Election timeout reached, restarting election")
	if got := out.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "level=WARN") || !strings.Contains(got, "level=INFO") {
		t.Errorf("trouble is not shown:\n%s", got)
	}
}

// A peer that is away is worth a line now and then, not several a second.
func TestRaftDoesNotRepeatItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		raft := hcLog{log: slog.New(slog.NewTextHandler(&out, nil)), told: &told{at: map[string]time.Time{}}}
		for range 100 {
			raft.Error("failed to heartbeat to", "error", errors.New("connection refused"))
		}
		raft.Error("failed to appendEntries to", "error", errors.New("connection refused"))
		time.Sleep(repeatEvery)
		raft.With("peer", "c2").Error("failed to heartbeat to", "error", errors.New("connection refused"))
		if got := strings.Count(out.String(), "\n"); got != 3 {
			t.Errorf("%d lines, want 3:\n%s", got, &out)
		}
	})
}

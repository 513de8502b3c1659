package replica

import (
	"context"
	"errors"
	"io"
	stdlog "log"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// hcLog passes raft's log on to ours. What raft calls information is debug
// here: one line an election from us says more than ten from raft.
type hcLog struct {
	log  *slog.Logger
	name string
	args []any
	told *told // nil: repetitions are not counted
}

// repeatEvery is how often raft may say the same of one shard above debug: of a
// peer that is away it speaks several times a second.
const repeatEvery = 30 * time.Second

// told remembers when a message was logged last.
type told struct {
	mu sync.Mutex // guards the field below
	at map[string]time.Time
}

// again reports whether msg was logged less than repeatEvery ago; if not, it
// counts as logged now.
func (t *told) again(msg string) bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if now.Sub(t.at[msg]) < repeatEvery {
		return true
	}
	t.at[msg] = now
	return false
}

var _ hclog.Logger = hcLog{}

func (l hcLog) Log(level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug
	switch level {
	case hclog.Warn:
		to = slog.LevelInfo
	case hclog.Error:
		to = slog.LevelWarn
	case hclog.NoLevel, hclog.Trace, hclog.Debug, hclog.Info, hclog.Off:
	}
	if slices.Contains(routine, msg) || slices.ContainsFunc(args, parting) || to > slog.LevelDebug && l.told.again(msg) {
		to = slog.LevelDebug
	}
	if l.log.Enabled(context.Background(), to) {
		l.log.Log(context.Background(), to, msg, append(args, l.args...)...) //nolint:sloglint // raft's pairs, passed on
	}
}

// routine is what raft warns of although nothing is wrong: a new replica begins
// with an empty log, one that starts asks for a vote first, leadership moves, and
// of an election the winner's line is enough.
var routine = []string{
	"appendEntries rejected, sending older logs",
	"failed to get previous log",
	"heartbeat timeout reached, starting election",
	"rejecting pre-vote request since we have a leader",
	"peer has newer term, stopping replication",
}

// parting reports whether v is the error of a connection that was closed in
// order, by this node or by a peer that stops.
func parting(v any) bool {
	err, ok := v.(error)
	return ok && (errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled) || errors.Is(err, io.EOF))
}

func (l hcLog) Trace(msg string, args ...any) {}
func (l hcLog) Debug(msg string, args ...any) { l.Log(hclog.Debug, msg, args...) }
func (l hcLog) Info(msg string, args ...any)  { l.Log(hclog.Info, msg, args...) }
func (l hcLog) Warn(msg string, args ...any)  { l.Log(hclog.Warn, msg, args...) }
func (l hcLog) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }

func (l hcLog) IsTrace() bool { return false }
func (l hcLog) IsDebug() bool { return l.log.Enabled(context.Background(), slog.LevelDebug) }
func (l hcLog) IsInfo() bool  { return l.IsDebug() }
func (l hcLog) IsWarn() bool  { return true }
func (l hcLog) IsError() bool { return true }

func (l hcLog) ImpliedArgs() []any { return l.args }

func (l hcLog) With(args ...any) hclog.Logger {
	l.args = append(l.args[:len(l.args):len(l.args)], args...)
	return l
}

func (l hcLog) Name() string                     { return l.name }
func (l hcLog) Named(name string) hclog.Logger   { l.name = name; return l }
func (l hcLog) ResetNamed(n string) hclog.Logger { return l.Named(n) }
func (l hcLog) SetLevel(hclog.Level)             {}
func (l hcLog) GetLevel() hclog.Level            { return hclog.Debug }
func (l hcLog) StandardLogger(*hclog.StandardLoggerOptions) *stdlog.Logger {
	return stdlog.New(l.StandardWriter(nil), "", 0)
}
func (l hcLog) StandardWriter(*hclog.StandardLoggerOptions) io.Writer { return io.Discard }

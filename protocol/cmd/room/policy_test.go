package room_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/ops"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// keeper is a core node that keeps policies as control does.
type keeper struct {
	rpc.UnimplementedOperatorServer
	table *rpc.Policies
}

func (k *keeper) GetPolicies(context.Context, *rpc.StatusRequest) (*rpc.Policies, error) {
	return k.table, nil
}

func (k *keeper) SetPolicies(_ context.Context, req *rpc.PutPolicies) (*rpc.ControlResult, error) {
	if req.GetExpect() != k.table.GetVersion() {
		return &rpc.ControlResult{Code: uint32(protocol.EpochChanged), Message: "the policies are at another version"}, nil
	}
	if err := rpc.CheckPolicies(req.GetPolicies(), nil); err != nil {
		return &rpc.ControlResult{Code: uint32(protocol.BadArgument), Message: err.Error()}, nil
	}
	k.table = &rpc.Policies{Version: k.table.GetVersion() + 1, Policies: req.GetPolicies()}
	return &rpc.ControlResult{Version: k.table.GetVersion()}, nil
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policies.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPoliciesAreSetAndShownAsTheSameFile(t *testing.T) {
	k := &keeper{table: &rpc.Policies{Version: 4}}
	flags := start(t, k)
	out, err := run(t, flags, "policy", "set", file(t, `
policies:
  - pattern: "live:*"
    retain_messages: 5000
    retain_bytes: 8MiB
    retain_age_ms: 3600000
    roster_limit: 100
    message_bytes: 512
    publish_rate: 50
    publish_burst: 60
    user_rate: 1
    user_burst: 2
    slow_mode_ms: 3000
    idle_ms: 60000
    presence_events: true
    verbs: [join, history]
    owners: [ann]
    moderators: [bob, "c:d"]
    role: muted
    filter: report
    filter_severity: 2
    hook: closed
  - pattern: "it's"
`))
	if err != nil || !strings.Contains(out, "2 policies") || !strings.Contains(out, "version 5") {
		t.Fatalf("%v: %s", err, out)
	}
	want := &rpc.Policy{
		Pattern: "live:*", RetainMessages: 5000, RetainBytes: 8 << 20, RetainAgeMs: 3600000, RosterLimit: 100, MessageBytes: 512,
		PublishRate: 50, PublishBurst: 60, UserRate: 1, UserBurst: 2, SlowModeMs: 3000, IdleMs: 60000,
		PresenceEvents: true, Verbs: []string{"join", "history"}, Owners: []string{"ann"}, Moderators: []string{"bob", "c:d"},
		Role: "muted", Filter: "report", FilterSeverity: 2, Hook: "closed",
	}
	set := k.table
	if !proto.Equal(set.GetPolicies()[0], want) || set.GetPolicies()[1].GetPattern() != "it's" {
		t.Fatalf("set %v", set)
	}
	shown, err := run(t, flags, "policy", "show")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := run(t, flags, "policy", "set", file(t, shown)); err != nil {
		t.Fatalf("what was shown cannot be set: %v: %s\n%s", err, out, shown)
	}
	set = &rpc.Policies{Version: 6, Policies: set.GetPolicies()}
	if !proto.Equal(k.table, set) {
		t.Errorf("through show and set: %v, want %v", k.table, set)
	}
}

func TestPoliciesThatSomebodyElseChanged(t *testing.T) {
	k := &keeper{table: &rpc.Policies{Version: 4}}
	_, err := run(t, start(t, k), "policy", "set", file(t, "version: 3\npolicies: []\n"))
	if err == nil || !strings.Contains(err.Error(), "somebody else") || k.table.GetVersion() != 4 {
		t.Errorf("got %v, version %d", err, k.table.GetVersion())
	}
}

func TestBadPolicyFiles(t *testing.T) {
	k := &keeper{table: &rpc.Policies{}}
	flags := start(t, k)
	for text, want := range map[string]string{
		"policies:\n  - patern: x\n":                     ":2: policies[0].patern: unknown key; did you mean pattern?",
		"policies:\n  - pattern: x\n    user_rate: many": ":3: policies[0].user_rate",
		"policies:\n  - pattern: x\n    verbs: [fly]":    `verb "fly"`,
		"policies:\n  - user_rate: 5\n":                  "pattern must not be empty",
		"policies:\n  - pattern: x\n    role: king":      "role \"king\" is none of [member muted]",
	} {
		_, err := run(t, flags, "policy", "set", file(t, text))
		var usage *ops.UsageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
	for _, args := range [][]string{{"policy", "set"}, {"policy", "drop"}, {"policy", "show", "x"}, {"policy"}} {
		_, err := run(t, flags, args...)
		var usage *ops.UsageError
		if !errors.As(err, &usage) {
			t.Errorf("%q: got %v, want a usage error", args, err)
		}
	}
	if _, err := run(t, flags, "policy", "set", filepath.Join(t.TempDir(), "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if k.table.GetVersion() != 0 {
		t.Error("a bad file changed the policies")
	}
}

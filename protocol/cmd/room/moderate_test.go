package room_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/ops"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// warden is a core node where an operator moderates. Shards 1 and 2 hold rooms.
type warden struct {
	rpc.UnimplementedOperatorServer
	asked   []*rpc.Moderate
	refuse  protocol.Code
	records map[uint32][]*rpc.AuditRecord
	pages   int
}

func (w *warden) ModerateRoom(_ context.Context, m *rpc.Moderate) (*rpc.ModerateResponse, error) {
	w.asked = append(w.asked, m)
	if w.refuse != protocol.OK {
		return &rpc.ModerateResponse{Result: &rpc.Result{Code: uint32(w.refuse)}, Message: "history holds no message 9"}, nil
	}
	return &rpc.ModerateResponse{Result: &rpc.Result{Seq: 77, TimeMs: noon.UnixMilli()}}, nil
}

func (w *warden) RoomModeration(_ context.Context, r *rpc.HeadRequest) (*rpc.Moderation, error) {
	if r.GetRoom() != "lobby" {
		return &rpc.Moderation{}, nil
	}
	return &rpc.Moderation{SlowModeMs: 5000, Sanctions: []*rpc.Sanction{
		{User: "ann", Action: "mute", Rank: 1, Actor: "mia", Reason: "spam\x1b[2J", UntilMs: noon.UnixMilli()},
		{User: "eve", Action: "ban", Rank: 3, Actor: "spiffe://barrage/test/operator/op"},
	}}, nil
}

func (w *warden) ClusterStatus(context.Context, *rpc.StatusRequest) (*rpc.ClusterStatusResponse, error) {
	return &rpc.ClusterStatusResponse{State: &rpc.ControlState{Placements: []*rpc.Placement{{Name: rpc.DefaultPlacement, Shards: []uint32{1, 2}}}}}, nil
}

func (w *warden) Audit(_ context.Context, r *rpc.AuditRequest) (*rpc.AuditResponse, error) {
	w.pages++
	page := &rpc.AuditResponse{}
	for _, record := range w.records[r.GetShard()] {
		if record.GetIndex() > r.GetAfter() && len(page.GetRecords()) < int(r.GetLimit()) {
			page.Records = append(page.Records, record)
		}
	}
	return page, nil
}

func TestModeratingAsOperator(t *testing.T) {
	for _, c := range []struct {
		args []string
		want *rpc.Moderate
		says string
	}{
		{[]string{"mute", "lobby", "ann", "--for", "10m", "--reason", "spam"}, &rpc.Moderate{Action: "mute", User: "ann", DurationMs: 600_000, Reason: "spam"}, "ann may publish no more in lobby until 2026-11-01 12:10:00\n"},
		{[]string{"mute", "lobby", "ann"}, &rpc.Moderate{Action: "mute", User: "ann"}, "ann may publish no more in lobby\n"},
		{[]string{"unmute", "lobby", "ann"}, &rpc.Moderate{Action: "unmute", User: "ann"}, "ann may publish in lobby\n"},
		{[]string{"ban", "lobby", "auth0|eve", "--reason", "enough"}, &rpc.Moderate{Action: "ban", User: "auth0|eve", Reason: "enough"}, "auth0|eve is banned in lobby\n"},
		{[]string{"unban", "lobby", "eve"}, &rpc.Moderate{Action: "unban", User: "eve"}, "eve may come back in lobby\n"},
		{[]string{"retract", "lobby", "42", "--reason", "off topic"}, &rpc.Moderate{Action: "retract", Seq: 42, Reason: "off topic"}, "message 42 of lobby was taken back; message 77 says so\n"},
		{[]string{"slow", "lobby", "5s"}, &rpc.Moderate{Action: "slow", DurationMs: 5000}, "lobby takes one message of a user in 5s\n"},
		{[]string{"slow", "lobby", "off"}, &rpc.Moderate{Action: "slow"}, "lobby takes as its policy says\n"},
	} {
		w := &warden{}
		out, err := run(t, start(t, w), c.args...)
		if err != nil {
			t.Errorf("%q: %v", c.args, err)
			continue
		}
		c.want.Room = "lobby"
		if out != c.says || len(w.asked) != 1 || !proto.Equal(w.asked[0], c.want) {
			t.Errorf("%q says %q and asks for %v", c.args, out, w.asked)
		}
	}
}

func TestModeratingRefusals(t *testing.T) {
	w := &warden{refuse: protocol.Trimmed}
	flags := start(t, w)
	if _, err := run(t, flags, "retract", "lobby", "9"); !errors.Is(err, &protocol.Error{Code: protocol.Trimmed}) || !strings.Contains(err.Error(), "no message 9") {
		t.Errorf("got %v", err)
	}
	w.asked = nil
	for _, args := range [][]string{
		{"mute", "lobby"},
		{"mute", "a b", "ann"},
		{"mute", "lobby", "a b"},
		{"mute", "lobby", "ann", "--for", "100000h"},
		{"mute", "lobby", "ann", "--for", "-1s"},
		{"ban", "lobby", "ann", "--reason", strings.Repeat("r", protocol.MaxReason+1)},
		{"unban", "lobby", "ann", "--for", "1h"},
		{"retract", "lobby", "x"},
		{"retract", "lobby", "0"},
		{"slow", "lobby", "fast"},
		{"slow", "lobby", "0s"},
		{"slow", "lobby", "25h"},
		{"sanctions", "a b"},
		{"audit", "lobby"},
		{"audit", "--room", "a b"},
	} {
		_, err := run(t, flags, args...)
		var usage *ops.UsageError
		if !errors.As(err, &usage) {
			t.Errorf("%q: got %v, want a usage error", args, err)
		}
	}
	if len(w.asked) > 0 {
		t.Errorf("core was asked for %v", w.asked)
	}
}

func TestSanctionsAreListed(t *testing.T) {
	flags := start(t, &warden{})
	out, err := run(t, flags, "sanctions", "lobby")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ann", "2026-11-01 12:00:00", "mia (moderator)", "(operator)", "lifted", "in 5s"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Errorf("a reason steers the terminal: %q", out)
	}
	out, err = run(t, flags, "sanctions", "attic", "-o", "json")
	var view struct {
		Room      string
		Sanctions []any
	}
	if err != nil || json.Unmarshal([]byte(out), &view) != nil || view.Room != "attic" || view.Sanctions == nil || len(view.Sanctions) != 0 {
		t.Errorf("%v: %s", err, out)
	}
}

func TestAuditIsMergedByTime(t *testing.T) {
	w := &warden{records: map[uint32][]*rpc.AuditRecord{}}
	record := func(shard uint32, minute int, action, detail string) {
		w.records[shard] = append(w.records[shard], &rpc.AuditRecord{
			Index: uint64(len(w.records[shard]) + 1), TimeMs: noon.Add(time.Duration(minute) * time.Minute).UnixMilli(), Actor: "mia", Action: action, Detail: detail, Shard: shard,
		})
	}
	record(0, 1, "policies", "2 policies")
	mine, _ := rpc.ShardOf(&rpc.ControlState{Placements: []*rpc.Placement{{Name: rpc.DefaultPlacement, Shards: []uint32{1, 2}}}}, "lobby")
	for i := range 1200 { // more than one page
		record(3-mine, 3+i, "mute", fmt.Sprintf("room other, user u%d", i))
	}
	record(mine, 0, "ban", "room lobby, user eve")
	record(mine, 2, "mute", "room lobby2, user ann")
	record(mine, 4, "slow", "room lobby")
	flags := start(t, w)
	var views []struct {
		Time   time.Time
		Shard  uint32
		Action string
		Detail string
	}
	out, err := run(t, flags, "audit", "-o", "json", "-n", "2000")
	if err != nil || json.Unmarshal([]byte(out), &views) != nil || len(views) != 1204 {
		t.Fatalf("%v: %d records", err, len(views))
	}
	for i := 1; i < len(views); i++ {
		if views[i].Time.Before(views[i-1].Time) {
			t.Fatalf("record %d is older than the one before", i)
		}
	}
	if views[0].Action != "ban" || views[1].Action != "policies" || views[1].Shard != 0 {
		t.Errorf("begins with %v", views[:2])
	}
	out, err = run(t, flags, "audit", "--room", "lobby")
	if err != nil || strings.Count(out, "\n") != 3 || !strings.Contains(out, "user eve") || !strings.Contains(out, "slow") || strings.Contains(out, "lobby2") {
		t.Errorf("%v:\n%s", err, out)
	}
	out, err = run(t, flags, "audit", "-n", "2")
	if err != nil || !strings.Contains(out, "u1199") || strings.Contains(out, "u1197") || !strings.Contains(out, "there are more") {
		t.Errorf("%v:\n%s", err, out)
	}
}

package room

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
	"github.com/barrage-im/barrage/protocol/wire"
)

// roomView is a room as this command shows it; its JSON is for scripts.
type roomView struct {
	Room            string      `json:"room"`
	Shard           uint32      `json:"shard"`
	Leader          string      `json:"leader,omitempty"`
	Epoch           string      `json:"epoch"`
	First           uint64      `json:"first"`
	Head            uint64      `json:"head"`
	Members         uint64      `json:"members"`
	Bytes           uint64      `json:"bytes"`
	Created         time.Time   `json:"created"`
	Active          time.Time   `json:"active"`
	Survive         string      `json:"survive"`
	RecoveryPointMS uint64      `json:"recovery_point_ms"`
	RecoveryTimeMS  uint64      `json:"recovery_time_ms"`
	Policy          *policyView `json:"policy,omitempty"`
}

type policyView struct {
	Pattern        string   `json:"pattern"`
	Placement      string   `json:"placement,omitempty"`
	RetainMessages uint32   `json:"retain_messages"`
	RetainBytes    uint64   `json:"retain_bytes"`
	RetainAgeMS    uint64   `json:"retain_age_ms"`
	RosterLimit    uint32   `json:"roster_limit"`
	MessageBytes   uint32   `json:"message_bytes"`
	PublishRate    uint32   `json:"publish_rate"`
	PublishBurst   uint32   `json:"publish_burst"`
	UserRate       uint32   `json:"user_rate"`
	UserBurst      uint32   `json:"user_burst"`
	SlowModeMS     uint32   `json:"slow_mode_ms"`
	IdleMS         uint64   `json:"idle_ms"`
	PresenceEvents bool     `json:"presence_events"`
	Verbs          []string `json:"verbs"`
	Owners         []string `json:"owners,omitempty"`
	Moderators     []string `json:"moderators,omitempty"`
	Role           string   `json:"role,omitempty"`
	Filter         string   `json:"filter,omitempty"`
	FilterSeverity uint32   `json:"filter_severity,omitempty"`
	Hook           string   `json:"hook,omitempty"`
}

func viewRoom(r *rpc.RoomDetail) roomView {
	v := roomView{
		Room: r.GetRoom(), Shard: r.GetShard(), Leader: r.GetLeader(), Epoch: protocol.FormatEpoch(r.GetEpoch()),
		First: r.GetFirst(), Head: r.GetHead(), Members: r.GetMembers(), Bytes: r.GetBytes(),
		Created: time.UnixMilli(r.GetCreatedMs()).UTC(), Active: time.UnixMilli(r.GetActiveMs()).UTC(),
		Survive: r.GetSurvive(), RecoveryPointMS: r.GetRecoveryPointMs(), RecoveryTimeMS: r.GetRecoveryTimeMs(),
	}
	if p := r.GetPolicy(); p != nil {
		v.Policy = viewPolicy(p)
	}
	return v
}

func viewPolicy(p *rpc.Policy) *policyView {
	return &policyView{
		Pattern: p.GetPattern(), Placement: p.GetPlacement(), RetainMessages: p.GetRetainMessages(),
		RetainBytes: p.GetRetainBytes(), RetainAgeMS: p.GetRetainAgeMs(), RosterLimit: p.GetRosterLimit(),
		MessageBytes: p.GetMessageBytes(), PublishRate: p.GetPublishRate(), PublishBurst: p.GetPublishBurst(),
		UserRate: p.GetUserRate(), UserBurst: p.GetUserBurst(), SlowModeMS: p.GetSlowModeMs(), IdleMS: p.GetIdleMs(),
		PresenceEvents: p.GetPresenceEvents(), Verbs: append([]string{}, p.GetVerbs()...),
		Owners: p.GetOwners(), Moderators: p.GetModerators(), Role: p.GetRole(),
		Filter: p.GetFilter(), FilterSeverity: p.GetFilterSeverity(), Hook: p.GetHook(),
	}
}

func writeRooms(w io.Writer, rooms []roomView, more bool) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "ROOM\tSHARD\tFIRST\tHEAD\tMEMBERS\tBYTES\tACTIVE\tSURVIVE") // Flush reports
	for _, r := range rooms {
		_, _ = fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\n", printable(r.Room), r.Shard, r.First, r.Head, r.Members, r.Bytes,
			r.Active.Format(time.DateTime), r.Survive)
	}
	if err := t.Flush(); err != nil || !more {
		return err
	}
	_, err := fmt.Fprintln(w, "there are more; show them with --limit")
	return err
}

func writeRoom(w io.Writer, r roomView) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name string, format string, args ...any) {
		_, _ = fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) // Flush reports
	}
	row("room", "%s", printable(r.Room))
	row("shard", "%d, led by %s", r.Shard, r.Leader)
	row("epoch", "%s", r.Epoch)
	row("history", "%d to %d, %d bytes", r.First, r.Head, r.Bytes)
	row("members", "%d", r.Members)
	row("created", "%s", r.Created.Format(time.DateTime))
	row("active", "%s", r.Active.Format(time.DateTime))
	row("survives the loss of", "a %s", r.Survive)
	row("recovery point", "%s", milliseconds(r.RecoveryPointMS))
	row("recovery time", "%s", milliseconds(r.RecoveryTimeMS))
	if p := r.Policy; p != nil {
		row("policy", "%s", printable(p.Pattern))
		row("  keeps", "%d messages, %d bytes, %s", p.RetainMessages, p.RetainBytes, milliseconds(p.RetainAgeMS))
		row("  message", "up to %d bytes", p.MessageBytes)
		row("  room rate", "%d/s, burst %d", p.PublishRate, p.PublishBurst)
		row("  user rate", "%d/s, burst %d, slow mode %s", p.UserRate, p.UserBurst, milliseconds(uint64(p.SlowModeMS)))
		row("  roster", "names up to %d members, events %t", p.RosterLimit, p.PresenceEvents)
		row("  everybody may", "%v", p.Verbs)
		for _, list := range []struct {
			name  string
			users []string
		}{{"  owners", p.Owners}, {"  moderators", p.Moderators}} {
			if len(list.users) > 0 {
				row(list.name, "%s", printable(strings.Join(list.users, " ")))
			}
		}
		if p.Role != "" {
			row("  everybody else is", "%s", p.Role)
		}
		row("  filter", "%s, from severity %d; external check %s", cmp.Or(p.Filter, "enforce"), max(p.FilterSeverity, 1), cmp.Or(p.Hook, "off"))
		row("  dropped", "after %s idle and empty", milliseconds(p.IdleMS))
	}
	return t.Flush()
}

func milliseconds(ms uint64) time.Duration { return time.Duration(ms) * time.Millisecond }

// messageView is a message as this command shows it.
type messageView struct {
	Seq    uint64    `json:"seq"`
	Time   time.Time `json:"time"`
	Sender string    `json:"sender"`
	Name   string    `json:"name,omitempty"`
	Kind   string    `json:"kind,omitempty"`
	Text   string    `json:"text,omitempty"`
	Data   []byte    `json:"data,omitempty"`

	Retracts uint64 `json:"retracts,omitempty"`
	Gone     string `json:"gone,omitempty"`
	Shadow   bool   `json:"shadow,omitempty"`
}

func viewMessages(records []byte) ([]messageView, error) {
	var batch wire.Batch // a run of records is a batch without its other fields
	if err := proto.Unmarshal(records, &batch); err != nil {
		return nil, fmt.Errorf("read records: %w", err)
	}
	messages := []messageView{}
	for _, m := range batch.GetMessages() {
		messages = append(messages, messageView{
			m.GetSeq(), time.UnixMilli(m.GetTimeMs()).UTC(), m.GetSender(), m.GetName(), m.GetKind(), m.GetText(), m.GetData(),
			m.GetRetracts(), m.GetGone(), m.GetShadow(),
		})
	}
	return messages, nil
}

func writeMessages(w io.Writer, messages []messageView) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "SEQ\tTIME\tSENDER\tKIND\tTEXT") // Flush reports
	for _, m := range messages {
		text := printable(m.Text)
		if len(m.Data) > 0 {
			text += fmt.Sprintf(" (+%d bytes of data)", len(m.Data))
		}
		switch {
		case m.Retracts != 0:
			text = fmt.Sprintf("(takes %d back) %s", m.Retracts, text)
		case m.Gone != "":
			text = fmt.Sprintf("(%s)", printable(m.Gone))
		case m.Shadow:
			text += " (shadow)"
		}
		_, _ = fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\n", m.Seq, m.Time.Format(time.DateTime), printable(m.Sender), printable(m.Kind), text)
	}
	return t.Flush()
}

package room

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/ops"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// policyFile is what "room policy set" reads and "room policy show" prints. A
// zero stands for the built-in default.
type policyFile struct {
	Version  uint64       `yaml:"version"` // that the file was made from; absent: whatever there is
	Policies []filePolicy `yaml:"policies"`
}

type filePolicy struct {
	Pattern        string    `yaml:"pattern"`
	Placement      string    `yaml:"placement"`
	RetainMessages uint32    `yaml:"retain_messages"`
	RetainBytes    ops.Bytes `yaml:"retain_bytes"`
	RetainAgeMS    uint64    `yaml:"retain_age_ms"`
	RosterLimit    uint32    `yaml:"roster_limit"`
	MessageBytes   uint32    `yaml:"message_bytes"`
	PublishRate    uint32    `yaml:"publish_rate"`
	PublishBurst   uint32    `yaml:"publish_burst"`
	UserRate       uint32    `yaml:"user_rate"`
	UserBurst      uint32    `yaml:"user_burst"`
	SlowModeMS     uint32    `yaml:"slow_mode_ms"`
	IdleMS         uint64    `yaml:"idle_ms"`
	PresenceEvents bool      `yaml:"presence_events"`
	Verbs          []string  `yaml:"verbs"`
	Owners         []string  `yaml:"owners"`
	Moderators     []string  `yaml:"moderators"`
	Role           string    `yaml:"role"`
	Filter         string    `yaml:"filter"`
	FilterSeverity uint32    `yaml:"filter_severity"`
	Hook           string    `yaml:"hook"`
}

// policy is "barrage room policy show" and "barrage room policy set FILE".
func (c *client) policy(ctx context.Context, args []string) error {
	switch {
	case args[0] == "show" && len(args) == 1:
		return c.showPolicies(ctx)
	case args[0] == "set" && len(args) == 2:
		return c.setPolicies(ctx, args[1])
	}
	return ops.Usagef("usage: barrage room policy show, or barrage room policy set FILE")
}

func (c *client) showPolicies(ctx context.Context) error {
	table, err := c.rpc.GetPolicies(ctx, &rpc.StatusRequest{})
	if err != nil {
		return err
	}
	if c.Output == "json" {
		views := []*policyView{}
		for _, p := range table.GetPolicies() {
			views = append(views, viewPolicy(p))
		}
		return c.json(map[string]any{"version": table.GetVersion(), "policies": views})
	}
	return writePolicies(c.stdout, table)
}

// setPolicies replaces the whole table. With a version in the file it does so
// only if nobody has changed the table since.
func (c *client) setPolicies(ctx context.Context, path string) error {
	var file policyFile
	if err := ops.ReadYAML(path, &file); err != nil {
		return &ops.UsageError{Err: err}
	}
	put := &rpc.PutPolicies{Expect: file.Version}
	for _, p := range file.Policies {
		put.Policies = append(put.Policies, p.wire())
	}
	if file.Version == 0 {
		now, err := c.rpc.GetPolicies(ctx, &rpc.StatusRequest{})
		if err != nil {
			return err
		}
		put.Expect = now.GetVersion()
	}
	res, err := c.rpc.SetPolicies(ctx, put)
	if err != nil {
		return err
	}
	switch code := protocol.Code(res.GetCode()); code {
	case protocol.OK:
	case protocol.EpochChanged:
		return fmt.Errorf("%s: somebody else changed them meanwhile: %s (barrage room policy show)", path, res.GetMessage())
	case protocol.BadArgument:
		return ops.Usagef("%s: %s", path, res.GetMessage())
	default:
		return &protocol.Error{Code: code, Message: res.GetMessage()}
	}
	_, err = fmt.Fprintf(c.stdout, "%d policies are in force, version %d\n", len(put.GetPolicies()), res.GetVersion())
	return err
}

func (p filePolicy) wire() *rpc.Policy {
	return &rpc.Policy{
		Pattern: p.Pattern, Placement: p.Placement, RetainMessages: p.RetainMessages, RetainBytes: uint64(p.RetainBytes),
		RetainAgeMs: p.RetainAgeMS, RosterLimit: p.RosterLimit, MessageBytes: p.MessageBytes, PublishRate: p.PublishRate,
		PublishBurst: p.PublishBurst, UserRate: p.UserRate, UserBurst: p.UserBurst, SlowModeMs: p.SlowModeMS,
		IdleMs: p.IdleMS, PresenceEvents: p.PresenceEvents, Verbs: p.Verbs,
		Owners: p.Owners, Moderators: p.Moderators, Role: p.Role,
		Filter: p.Filter, FilterSeverity: p.FilterSeverity, Hook: p.Hook,
	}
}

// writePolicies prints a file that set takes back: what was set, without the
// defaults behind it.
func writePolicies(w io.Writer, table *rpc.Policies) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# The first policy whose pattern matches a room's name holds. What is not named\n"+
		"# has the built-in default; barrage room show ROOM prints what is in force.\nversion: %d\n", table.GetVersion())
	if len(table.GetPolicies()) == 0 {
		b.WriteString("policies: []\n")
	} else {
		b.WriteString("policies:\n")
	}
	for _, p := range table.GetPolicies() {
		fmt.Fprintf(&b, "  - pattern: %s\n", quoted(p.GetPattern()))
		if p.GetPlacement() != "" {
			fmt.Fprintf(&b, "    placement: %s\n", quoted(p.GetPlacement()))
		}
		for _, n := range []struct {
			key   string
			value uint64
		}{
			{"retain_messages", uint64(p.GetRetainMessages())},
			{"retain_bytes", p.GetRetainBytes()},
			{"retain_age_ms", p.GetRetainAgeMs()},
			{"roster_limit", uint64(p.GetRosterLimit())},
			{"message_bytes", uint64(p.GetMessageBytes())},
			{"publish_rate", uint64(p.GetPublishRate())},
			{"publish_burst", uint64(p.GetPublishBurst())},
			{"user_rate", uint64(p.GetUserRate())},
			{"user_burst", uint64(p.GetUserBurst())},
			{"slow_mode_ms", uint64(p.GetSlowModeMs())},
			{"idle_ms", p.GetIdleMs()},
			{"filter_severity", uint64(p.GetFilterSeverity())},
		} {
			if n.value > 0 {
				fmt.Fprintf(&b, "    %s: %d\n", n.key, n.value)
			}
		}
		if p.GetPresenceEvents() {
			b.WriteString("    presence_events: true\n")
		}
		for _, list := range []struct {
			key    string
			values []string
		}{{"verbs", p.GetVerbs()}, {"owners", p.GetOwners()}, {"moderators", p.GetModerators()}} {
			if values := slices.Clone(list.values); len(values) > 0 {
				for i, v := range values {
					values[i] = quoted(v)
				}
				fmt.Fprintf(&b, "    %s: [%s]\n", list.key, strings.Join(values, ", "))
			}
		}
		for _, choice := range []struct{ key, value string }{{"role", p.GetRole()}, {"filter", p.GetFilter()}, {"hook", p.GetHook()}} {
			if choice.value != "" {
				fmt.Fprintf(&b, "    %s: %s\n", choice.key, quoted(choice.value))
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// quoted is s as a YAML scalar: a '*' or ':' would mean something else bare.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

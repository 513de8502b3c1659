package room_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/barrage-im/barrage/core/room"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

var update = flag.Bool("update", false, "write the outcomes into the transcripts")

// Transcripts in testdata are commands with their outcomes below, indented:
//
//	at 5000                                    the leader's clock from here on
//	lane 1 gen=1 first=1 | lease edge=e1 | publish room=a user=u key=k text=hi
//	+ leader | tick                            a further section of the same entry
//	restart                                    the shard is loaded from its store
//	history room=a from=0 limit=10 reverse
//	members room=a · info room=a · rooms · due · limits rooms= lanes= holds= keys=
//	audit after=0 limit=0 · moderation room=a · moderation_limits sanctions= all= names= audit=
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := string(text); got != want && !*update {
				t.Errorf("%s:\n%s", file, firstDifference(want, got))
			}
		})
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := 0; i < len(w) || i < len(g); i++ {
		var a, b string
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			b = g[i]
		}
		if a != b {
			return fmt.Sprintf("line %d:\n  want %q\n  got  %q", i+1, a, b)
		}
	}
	return "no difference"
}

// play runs the commands of a transcript and returns it with their outcomes.
func play(t *testing.T, text string) string {
	p := &player{replica: newReplica(), t: t, clock: 1000}
	var out strings.Builder
	var lines []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "  ") {
			lines = append(lines, strings.TrimRight(line, "\n"))
		}
	}
	for i := 0; i < len(lines); i++ {
		out.WriteString(lines[i] + "\n")
		if lines[i] == "" || lines[i][0] == '#' {
			continue
		}
		entry := []string{lines[i]}
		for ; i+1 < len(lines) && strings.HasPrefix(lines[i+1], "+ "); i++ {
			out.WriteString(lines[i+1] + "\n")
			entry = append(entry, strings.TrimPrefix(lines[i+1], "+ "))
		}
		result := p.run(entry)
		for line := range strings.Lines(result) {
			out.WriteString("  " + line)
		}
		if err := p.Check(&p.store); err != nil {
			t.Fatalf("after %q: %v", lines[i], err)
		}
	}
	return out.String()
}

type player struct {
	*replica
	t     *testing.T
	clock int64
}

// args are a command's name=value pairs; a bare word is true.
type args map[string]string

func parseArgs(words []string) args {
	a := args{}
	for _, w := range words {
		name, value, ok := strings.Cut(w, "=")
		if !ok {
			value = "true"
		}
		a[name] = value
	}
	return a
}

func (a args) number(name string) uint64 {
	n, _ := strconv.ParseUint(a[name], 10, 64)
	return n
}

func (p *player) run(lines []string) string {
	words := strings.Fields(lines[0])
	a := parseArgs(words[1:])
	switch words[0] {
	case "at":
		p.clock, _ = strconv.ParseInt(words[1], 10, 64)
		return ""
	case "limits":
		p.SetLimits(int(a.number("rooms")), int(a.number("lanes")), int(a.number("holds")), int(a.number("keys")))
		return ""
	case "moderation_limits":
		p.SetModerationLimits(int(a.number("sanctions")), int(a.number("all")), int(a.number("names")), int(a.number("audit")))
		return ""
	case "audit":
		out := ""
		for _, r := range p.Audit(a.number("after"), int(a.number("limit"))) {
			out += fmt.Sprintf("%d %d shard=%d %s %s: %s\n", r.Index, r.TimeMs, r.Shard, r.Actor, r.Action, r.Detail)
		}
		return out
	case "moderation":
		return strings.TrimSpace(describeModeration(p.Moderation(a["room"]))) + "\n"
	case "restart":
		if err := p.Load(&p.store); err != nil {
			return err.Error() + "\n"
		}
		return ""
	case "due":
		return fmt.Sprintf("due %d\n", p.Due())
	case "rooms":
		out := ""
		for _, info := range p.List("", 100, nil) {
			out += describeInfo(info)
		}
		return out
	case "info":
		info, ok := p.Info(a["room"])
		if !ok {
			return "no such room\n"
		}
		return describeInfo(info)
	case "history":
		return p.history(a)
	case "members":
		users, next, total, countsOnly, ok := p.Members(a["room"], a["cursor"], int(a.number("limit")))
		out := fmt.Sprintf("total=%d counts_only=%t ok=%t next=%q\n", total, countsOnly, ok, next)
		for _, u := range users {
			out += fmt.Sprintf("%s(%s)*%d\n", u.User, u.Name, u.Sessions)
		}
		return out
	case "lane", "leader":
		var sections [][]byte
		for _, line := range lines {
			sections = append(sections, p.section(line))
		}
		effects, err := p.apply(p.clock, sections...)
		if err != nil {
			return err.Error() + "\n"
		}
		return describe(effects)
	}
	p.t.Fatalf("unknown command %q", lines[0])
	return ""
}

func describeInfo(i room.Info) string {
	out := fmt.Sprintf("%s@%d first=%d head=%d members=%d bytes=%d created=%d active=%d policy=%s",
		i.Room, i.Epoch, i.First, i.Head, i.Members, i.Bytes, i.CreatedMS, i.ActiveMS, i.Policy.Pattern)
	if i.Policy.SlowModeMs != 0 {
		out += fmt.Sprintf(" slow=%d", i.Policy.SlowModeMs)
	}
	if i.Moderation != nil {
		out += ", moderation" + describeModeration(i.Moderation)
	}
	return out + "\n"
}

func (p *player) history(a args) string {
	info, _ := p.Info(a["room"])
	page, err := room.History(&p.store, info, a.number("from"), int(a.number("limit")), int(a.number("bytes")), a["reverse"] != "")
	if err != nil {
		return fmt.Sprintf("%s first=%d head=%d\n", err.Code, err.First, err.Head)
	}
	return fmt.Sprintf("start=%d count=%d more=%t: %s\n", page.Start, page.Count, page.More, describeRecords(page.Records))
}

func (p *player) section(line string) []byte {
	parts := strings.Split(line, " | ")
	head := strings.Fields(parts[0])
	var commands [][]byte
	for _, c := range parts[1:] {
		commands = append(commands, p.command(c))
	}
	if head[0] == "leader" {
		return section(0, 0, 0, commands...)
	}
	edge, _ := strconv.ParseUint(head[1], 10, 64)
	a := parseArgs(head[2:])
	return section(edge, a.number("gen"), a.number("first"), commands...)
}

func (p *player) command(text string) []byte {
	words := strings.Fields(text)
	a := parseArgs(words[1:])
	switch words[0] {
	case "lease":
		return lease(a["edge"], uint32(a.number("ttl")))
	case "publish":
		body := protocol.AppendBody(nil, a["user"], "", "", a["text"]+strings.Repeat("x", int(a.number("size"))), nil)
		origin := uint64(0) // of the text before the filter changed it
		if text, ok := a["origin"]; ok {
			origin = protocol.BodyHash(protocol.AppendBody(nil, a["user"], "", "", text, nil))
		}
		return encode(&rpc.Command{Op: &rpc.Command_Publish{Publish: &rpc.Publish{
			Origin: origin, Room: a["room"], User: a["user"], Key: a["key"], Body: body, DeadlineMs: int64(a.number("deadline")),
			Rank: uint32(a.number("rank")), Verdict: uint32(a.number("verdict")), Rules: a.number("rules"),
		}}})
	case "moderate": // moderate room=a by=m rank=1 mute=u for=1000 reason=x, or retract=SEQ, or slow=MS
		m := &rpc.Moderate{
			Room: a["room"], Actor: a["by"], Rank: uint32(a.number("rank")), Name: strings.ToUpper(a["by"]),
			DurationMs: a.number("for"), Reason: a["reason"], DeadlineMs: int64(a.number("deadline")),
		}
		for _, action := range []string{"mute", "unmute", "ban", "unban", "retract", "slow", "shout"} {
			if v, ok := a[action]; ok {
				m.Action = action
				switch action {
				case "retract":
					m.Seq = a.number(action)
				case "slow":
					m.DurationMs = a.number(action)
				default:
					m.User = v
				}
			}
		}
		return moderate(m)
	case "presence": // presence room=a sessions=3 users=u:1,v:2
		st := &rpc.RoomPresence{Room: a["room"], Sessions: uint32(a.number("sessions")), Replace: a["replace"] != ""}
		for _, u := range strings.FieldsFunc(a["users"], func(r rune) bool { return r == ',' }) {
			id, n, _ := strings.Cut(u, ":")
			sessions, _ := strconv.Atoi(n)
			st.Users = append(st.Users, &rpc.UserPresence{User: id, Name: strings.ToUpper(id), Sessions: uint32(sessions)})
		}
		return presence(st)
	case "release":
		return release(strings.Split(a["rooms"], ",")...)
	case "tick":
		return tick()
	case "term":
		return term()
	case "garbage":
		return []byte{0x12, 0x05, 0xff, 0xff}
	case "newer":
		return []byte{0xa2, 0x06, 0x00} // field 100
	case "policies":
		return policies(a.number("version"), &rpc.Policy{
			Pattern: a["pattern"], RetainMessages: uint32(a.number("messages")), RetainBytes: a.number("bytes"),
			RetainAgeMs: a.number("age"), RosterLimit: uint32(a.number("roster")), MessageBytes: uint32(a.number("message")),
			PublishRate: uint32(a.number("rate")), PublishBurst: uint32(a.number("burst")), IdleMs: a.number("idle"),
			PresenceEvents: a["events"] != "",
		})
	}
	p.t.Fatalf("unknown command %q", text)
	return nil
}

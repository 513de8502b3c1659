package room_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/barrage-im/barrage/core/machine"
	"github.com/barrage-im/barrage/core/room"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// TestRandomLogs feeds random logs to three replicas: one runs through, one is
// loaded anew from its store now and then, one from snapshots of the first's
// store. All must do the same and hold the same bytes, and what they do must
// keep the promises that observer knows.
func TestRandomLogs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := &generator{t: t, lanes: map[uint64]*laneModel{}}
		a, b := newReplica(), newReplica()
		for _, r := range []*replica{a, b} {
			r.SetLimits(4, 3, 40, 12)
			r.SetModerationLimits(3, 6, 3, 5)
		}
		o := newObserver()
		for n := range rapid.IntRange(5, 60).Draw(t, "entries") {
			entry := g.entry()
			if rapid.IntRange(0, 7).Draw(t, "restart") == 0 {
				store := &b.store
				if rapid.Bool().Draw(t, "snapshot") {
					b.store = *a.store.Clone()
					store = &b.store
				}
				if err := b.Load(store); err != nil {
					t.Fatalf("entry %d: load: %v", n, err)
				}
			}
			before := a.store.Clone()
			quiet := a.Due() == 0 || a.Due() > g.time
			ea, err := a.applyEntry(entry)
			if err != nil {
				t.Fatalf("entry %d: %v", n, err)
			}
			eb, err := b.applyEntry(entry)
			if err != nil {
				t.Fatalf("entry %d: %v", n, err)
			}
			if da, db := describe(ea), describe(eb); da != db {
				t.Fatalf("entry %d: effects differ:\n%s\nafter a restart:\n%s", n, da, db)
			}
			if key := a.store.Diff(&b.store); key != nil {
				t.Fatalf("entry %d: stores differ at %q", n, key)
			}
			for _, r := range []*replica{a, b} {
				if err := r.Check(&r.store); err != nil {
					t.Fatalf("entry %d: %v", n, err)
				}
			}
			if quiet && allReset(ea) {
				before.Delete([]byte{'m'})
				after := a.store.Clone()
				after.Delete([]byte{'m'})
				if key := before.Diff(after); key != nil {
					t.Fatalf("entry %d: refused sections changed %q", n, key)
				}
			}
			if err := o.see(ea, g.sent); err != nil {
				t.Fatalf("entry %d: %v\n%s", n, err, describe(ea))
			}
			if err := o.compare(a); err != nil {
				t.Fatalf("entry %d: %v", n, err)
			}
			g.learn(ea)
		}
	})
}

func allReset(e *room.Effects) bool {
	for _, s := range e.Sections {
		if s.Reset == protocol.OK {
			return false
		}
	}
	return true
}

// generator makes entries that are mostly what edges would send: they number
// their commands, begin generations, and now and then send something stale.
type generator struct {
	t       *rapid.T
	time    int64
	version uint64
	lanes   map[uint64]*laneModel
	keys    int
	sent    [][]sentCommand // of the entry, by section
}

type laneModel struct{ generation, next uint64 }

// sentCommand is a publish, a release or a moderation as the generator sent it.
type sentCommand struct {
	publish         bool
	lease           bool
	room, user, key string
	body            string
	rank, verdict   uint32
	releases        []string
	moderate        *rpc.Moderate
}

var (
	roomNames = []string{"a", "b", "c", "d", "e"}
	userNames = []string{"u", "v", "w", "x"}
)

func (g *generator) entry() []byte {
	g.time += rapid.SampledFrom([]int64{0, 0, 1, 100, 900, 1500, 4000, 30_000, 121_000}).Draw(g.t, "passes")
	var sections []byte
	g.sent = nil
	for range rapid.IntRange(0, 3).Draw(g.t, "sections") {
		edge := uint64(rapid.IntRange(0, 4).Draw(g.t, "edge"))
		if edge == 0 {
			c, s := g.leaderCommand()
			g.sent = append(g.sent, []sentCommand{s})
			sections = append(sections, section(0, 0, 0, c)...)
			continue
		}
		l := g.lanes[edge]
		if l == nil {
			l = &laneModel{generation: 1, next: 1}
			g.lanes[edge] = l
		}
		generation, first := l.generation, l.next
		switch rapid.IntRange(0, 11).Draw(g.t, "order") {
		case 0: // a late copy or a hole
			first = uint64(rapid.IntRange(1, 9).Draw(g.t, "first"))
		case 1:
			generation = uint64(rapid.IntRange(0, 3).Draw(g.t, "generation"))
		case 2:
			l.generation++
			generation, first = l.generation, 1
		}
		var commands [][]byte
		var sent []sentCommand
		if first == 1 {
			commands, sent = append(commands, lease("e", 5000)), append(sent, sentCommand{lease: true})
		}
		for range rapid.IntRange(0, 4).Draw(g.t, "commands") {
			c, s := g.command()
			commands, sent = append(commands, c), append(sent, s)
		}
		sections = append(sections, section(edge, generation, first, commands...)...)
		g.sent = append(g.sent, sent)
	}
	return room.AppendEntry(nil, g.time, sections)
}

func (g *generator) command() ([]byte, sentCommand) {
	pick := func(from []string) string { return rapid.SampledFrom(from).Draw(g.t, "name") }
	switch rapid.IntRange(0, 11).Draw(g.t, "op") {
	case 10, 11:
		m := g.moderation()
		return moderate(m), sentCommand{moderate: m}
	case 0:
		st := &rpc.RoomPresence{Room: pick(roomNames), Replace: rapid.Bool().Draw(g.t, "replace")}
		for range rapid.IntRange(0, 3).Draw(g.t, "users") {
			st.Users = append(st.Users, &rpc.UserPresence{
				User: pick(userNames), Name: pick(userNames), Sessions: uint32(rapid.IntRange(0, 2).Draw(g.t, "sessions")),
			})
		}
		st.Sessions = uint32(rapid.IntRange(0, 4).Draw(g.t, "sessions"))
		return presence(st), sentCommand{}
	case 1:
		rooms := []string{pick(roomNames)}
		return release(rooms...), sentCommand{releases: rooms}
	case 2:
		return rapid.SliceOfN(rapid.ByteRange(0, 40), 0, 6).Filter(room.Known).Draw(g.t, "garbage"), sentCommand{}
	default:
		s := sentCommand{publish: true, room: pick(roomNames), user: pick(userNames)}
		if g.keys == 0 || rapid.IntRange(0, 2).Draw(g.t, "again") > 0 {
			g.keys++
			s.key = fmt.Sprint(g.keys)
		} else {
			s.key = fmt.Sprint(rapid.IntRange(max(1, g.keys-8), g.keys).Draw(g.t, "key"))
		}
		s.body = rapid.SampledFrom([]string{"x", "y", strings.Repeat("z", 80)}).Draw(g.t, "text")
		s.rank = uint32(rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(g.t, "rank"))
		s.verdict = uint32(rapid.SampledFrom([]int{0, 0, 2, 3}).Draw(g.t, "verdict"))
		return encode(&rpc.Command{Op: &rpc.Command_Publish{Publish: &rpc.Publish{
			Room: s.room, User: s.user, Key: s.key, Body: protocol.AppendBody(nil, s.user, "", "", s.body, nil),
			Rank: s.rank, Verdict: s.verdict, Rules: uint64(s.verdict),
		}}}), s
	}
}

func (g *generator) moderation() *rpc.Moderate {
	return &rpc.Moderate{
		Room: rapid.SampledFrom(roomNames).Draw(g.t, "room"), Actor: rapid.SampledFrom(userNames).Draw(g.t, "actor"),
		Rank:   uint32(rapid.IntRange(0, 3).Draw(g.t, "rank")),
		Action: rapid.SampledFrom([]string{"retract", "retract", "mute", "unmute", "ban", "unban", "slow"}).Draw(g.t, "action"),
		User:   rapid.SampledFrom(userNames).Draw(g.t, "user"), Seq: uint64(rapid.IntRange(0, 12).Draw(g.t, "seq")),
		DurationMs: uint64(rapid.SampledFrom([]int{0, 1, 1500, 60_000}).Draw(g.t, "duration")),
		Reason:     rapid.SampledFrom([]string{"", "rude"}).Draw(g.t, "reason"),
	}
}

func (g *generator) leaderCommand() ([]byte, sentCommand) {
	if rapid.IntRange(0, 4).Draw(g.t, "operator") == 0 {
		m := g.moderation()
		return moderate(m), sentCommand{moderate: m}
	}
	return g.leaderDuty(), sentCommand{}
}

func (g *generator) leaderDuty() []byte {
	switch rapid.IntRange(0, 5).Draw(g.t, "leader") {
	case 0:
		return term()
	case 1:
		if rapid.Bool().Draw(g.t, "newer") {
			g.version++
		}
		p := &rpc.Policy{
			Pattern:        rapid.SampledFrom([]string{"*", "a", "z"}).Draw(g.t, "pattern"),
			RetainMessages: uint32(rapid.IntRange(0, 4).Draw(g.t, "messages")),
			RetainBytes:    uint64(rapid.SampledFrom([]int{0, 50, 150}).Draw(g.t, "bytes")),
			RetainAgeMs:    uint64(rapid.SampledFrom([]int{0, 1000, 200_000}).Draw(g.t, "age")),
			RosterLimit:    uint32(rapid.IntRange(0, 3).Draw(g.t, "roster")),
			PublishRate:    uint32(rapid.IntRange(0, 2).Draw(g.t, "rate")),
			PublishBurst:   uint32(rapid.IntRange(0, 3).Draw(g.t, "burst")),
			IdleMs:         uint64(rapid.SampledFrom([]int{0, 2000}).Draw(g.t, "idle")),
			PresenceEvents: rapid.Bool().Draw(g.t, "events"),
		}
		return policies(g.version, p)
	default:
		return tick()
	}
}

// learn follows the answers, so that most sections continue their lane.
func (g *generator) learn(e *room.Effects) {
	for _, s := range e.Sections {
		l := g.lanes[s.Edge]
		switch {
		case s.Edge == 0:
		case s.Reset == protocol.OK:
			l.generation, l.next = s.Generation, s.First+uint64(len(s.Results))
		case s.Reset == protocol.LaneUnknown:
			l.generation, l.next = l.generation+1, 1
		}
	}
}

// observer checks what replicas did against the promises, without knowing how.
type observer struct {
	heads map[string]uint64    // by room@epoch
	live  map[string]string    // room → room@epoch
	keys  map[string]published // by room@epoch, user, key
	held  map[uint64]map[string]bool
	log   map[string][]string // room@epoch → records in order
	moderated
}

type published struct {
	seq  uint64
	time int64
	body string
}

func newObserver() *observer {
	return &observer{
		heads: map[string]uint64{}, live: map[string]string{}, keys: map[string]published{},
		held: map[uint64]map[string]bool{}, log: map[string][]string{}, moderated: newModerated(),
	}
}

func (o *observer) see(e *room.Effects, sent [][]sentCommand) error {
	appended := map[string]uint64{} // seqs that were answered as new
	for i, s := range e.Sections {
		if s.Reset != protocol.OK {
			if s.Results != nil {
				return fmt.Errorf("a reset section has results")
			}
			continue
		}
		if len(s.Results) != max(len(sent[i]), len(s.Results)) || s.Edge != 0 && len(s.Results) != len(sent[i]) {
			return fmt.Errorf("%d results for %d commands", len(s.Results), len(sent[i]))
		}
		if s.First == 1 && s.Edge != 0 {
			o.held[s.Edge] = map[string]bool{}
		}
		for j, c := range sent[i] {
			for _, r := range c.releases {
				delete(o.held[s.Edge], r)
			}
			if c.moderate != nil {
				if err := o.moderate(e, s.Edge != 0, c.moderate, s.Results[j], appended); err != nil {
					return err
				}
			}
			if c.publish {
				if err := o.publish(e, s.Edge, c, s.Results[j], appended); err != nil {
					return err
				}
			}
		}
	}
	seen := map[string]bool{}
	for _, b := range e.Blocks {
		at := fmt.Sprintf("%s@%d", b.Room, b.Epoch)
		if seen[b.Room] {
			return fmt.Errorf("two blocks of room %s", b.Room)
		}
		seen[b.Room] = true
		if b.First != o.heads[at]+1 {
			return fmt.Errorf("block of %s begins at %d, head was %d", at, b.First, o.heads[at])
		}
		if b.CRC != protocol.CRC(b.Records) {
			return fmt.Errorf("block of %s: wrong checksum", at)
		}
		next := b.First
		err := protocol.ForEachRecord(b.Records, func(seq uint64, timeMS int64, record []byte) bool {
			if seq != next || timeMS != e.Time {
				next = 0
				return false
			}
			_, message, _, _ := protocol.NextRecord(record)
			if mark, ok := protocol.RecordMarkOf(message); !ok || mark != o.marks[place{at, seq}] {
				next = 0
				return false
			}
			o.log[at] = append(o.log[at], string(record))
			next++
			return true
		})
		if err != nil || next != b.First+uint64(b.Count) || appended[at] != uint64(b.Count) {
			return fmt.Errorf("block of %s: %w, ends at %d, answered %d", at, err, next, appended[at])
		}
		o.heads[at] += uint64(b.Count)
		o.live[b.Room] = at
	}
	if len(seen) != len(appended) {
		return fmt.Errorf("blocks of %d rooms, publishes to %d were answered", len(seen), len(appended))
	}
	for _, g := range e.Gone {
		if seen[g.Room] {
			return fmt.Errorf("room %s is gone with a block", g.Room)
		}
		delete(o.live, g.Room)
	}
	return nil
}

func (o *observer) publish(e *room.Effects, edge uint64, c sentCommand, r *rpc.Result, appended map[string]uint64) error {
	at := fmt.Sprintf("%s@%d", c.room, r.Epoch)
	id := at + " " + c.user + " " + c.key
	before, known := o.keys[id]
	known = known && e.Time <= before.time+protocol.KeyWindow.Milliseconds()
	code := protocol.Code(r.Code)
	switch {
	case known && before.body == c.body:
		if code != protocol.OK || !r.Duplicate || r.Seq != before.seq || r.TimeMs != before.time {
			return fmt.Errorf("retry of %s: %v, want seq %d", id, r, before.seq)
		}
	case known:
		if code != protocol.KeyConflict || r.Seq != before.seq {
			return fmt.Errorf("other body under %s: %v, want key_conflict", id, r)
		}
	case o.sanctioned(c.room, c.user, c.rank, e.Time) != protocol.OK:
		if code != o.sanctioned(c.room, c.user, c.rank, e.Time) || r.Seq != 0 {
			return fmt.Errorf("%s of rank %d: %v, but %v", id, c.rank, r, o.sanctions)
		}
	case code == protocol.OK:
		if r.Duplicate {
			return fmt.Errorf("%s was never published: %v", id, r)
		}
		if o.held[edge][c.room] {
			return fmt.Errorf("%s overtook a refused publish", id)
		}
		appended[at]++
		if want := o.heads[at] + appended[at]; r.Seq != want || r.TimeMs != e.Time {
			return fmt.Errorf("%s: %v, want seq %d", id, r, want)
		}
		o.keys[id] = published{r.Seq, r.TimeMs, c.body}
		if c.verdict == 3 {
			o.marks[place{at, r.Seq}] = protocol.RecordMark{Shadow: true}
		}
	case code.Temporary():
		o.held[edge][c.room] = true
	default:
		return fmt.Errorf("%s: %v", id, r)
	}
	return nil
}

// compare reads every room's history, both ways and in parts, and compares it
// with what was seen in blocks.
func (o *observer) compare(r *replica) error {
	for _, info := range r.List("", 100, nil) {
		at := fmt.Sprintf("%s@%d", info.Room, info.Epoch)
		want := o.log[at]
		if info.Head != uint64(len(want)) {
			return fmt.Errorf("%s: head %d of %d messages", at, info.Head, len(want))
		}
		kept := strings.Join(want[info.First-1:], "")
		if uint64(len(kept)) != info.Bytes {
			return fmt.Errorf("%s: %d bytes, counted %d", at, len(kept), info.Bytes)
		}
		if err := readAll(&r.store, info, o.left(at, info.First, want)); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
	}
	return o.compareModeration(r)
}

func readAll(r machine.Reader, info room.Info, want string) error {
	got := ""
	for from, more := uint64(0), true; more; {
		page, err := room.History(r, info, from, 2, 0, false)
		if err != nil {
			return err
		}
		if err := checkPage(page); err != nil {
			return err
		}
		got, from, more = got+string(page.Records), page.Start+uint64(page.Count), page.More
	}
	if got != want {
		return fmt.Errorf("history read forward differs")
	}
	got = ""
	for from, more := uint64(0), true; more; {
		page, err := room.History(r, info, from, 3, 60, true)
		if err != nil {
			return err
		}
		if err := checkPage(page); err != nil {
			return err
		}
		got, from, more = string(page.Records)+got, page.Start-1, page.More
	}
	if got != want {
		return fmt.Errorf("history read backward differs")
	}
	return nil
}

func checkPage(p room.Page) error {
	next := p.Start
	err := protocol.ForEachRecord(p.Records, func(seq uint64, _ int64, _ []byte) bool {
		if seq != next {
			return false
		}
		next++
		return true
	})
	if err != nil || next != p.Start+uint64(p.Count) || p.CRC != protocol.CRC(p.Records) {
		return fmt.Errorf("page at %d with %d records ends at %d: %w", p.Start, p.Count, next, err)
	}
	return nil
}

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/client"
)

// Three regions, in which mia moderates: what the filter finds, and what
// moderators do, looks everywhere as it should.
func TestModerationAcrossRegions(t *testing.T) {
	if testing.Short() {
		t.Skip("three regions for some seconds")
	}
	d := startDev(t, "--regions", "eu,us,ap")
	d.moderator(t)
	t.Run("verdicts", func(t *testing.T) { testVerdicts(t, d) })
	t.Run("retraction", func(t *testing.T) { testRetraction(t, d) })
}

// same waits until a viewer has the last message, and compares all it has.
func (v *viewer) same(t *testing.T, last uint64, want ...string) {
	t.Helper()
	v.hears(t, last)
	if got := v.transcript(); !slices.Equal(got, want) {
		t.Errorf("%s at %s has\n%s\nwant\n%s", v.name, v.endpoint, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// reads compares the room's history, as far as its edge has it, which is told
// to be as far as last.
func (v *viewer) reads(t *testing.T, last uint64, want ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), settle)
	defer cancel()
	for {
		page, err := v.room.History(ctx, client.HistoryOptions{From: 1, Limit: 100})
		if err != nil {
			t.Fatalf("%s at %s reads history: %v", v.name, v.endpoint, err)
		}
		if page.Head < last {
			continue // a replica that lags
		}
		if got := transcript(page.Messages); !slices.Equal(got, want) {
			t.Errorf("%s at %s reads\n%s\nwant\n%s", v.name, v.endpoint, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		return
	}
}

func testVerdicts(t *testing.T, d *dev) {
	words := file(t, "verdicts.txt", "%list 1\n%default severity=3\n"+
		"flagword\taction=flag\nmaskword\taction=mask\nshadowword\taction=shadow\nholdword\taction=hold\nblockword\taction=block\n")
	d.operator.run(t, "filter", "push", words, "--set", "verdicts", "--rooms", "quiet*")
	const eu, us, ap = 0, 1, 2
	eve, again := d.enter(t, eu, "eve", "quiet"), d.enter(t, us, "eve", "quiet")
	bob, far := d.enter(t, eu, "bob", "quiet"), d.enter(t, ap, "ann", "quiet")
	mia, feed := d.enter(t, us, "mia", "quiet"), d.enter(t, us, "mia", protocol.FeedRoom("quiet"))
	if err := connect(t, d.endpoint(eu), "bob", anonymous).join(t.Context(), protocol.FeedRoom("quiet"), client.JoinOptions{}); codeOf(err) != protocol.Forbidden {
		t.Errorf("bob enters the moderators' feed: %v", err)
	}

	eve.say(t, "hello")
	if ack, err := eve.publish(t, "what a maskword, 你好"); err != nil || ack.Verdict != protocol.VerdictMask || ack.Text != "what a ********, 你好" || ack.Seq != 2 {
		t.Errorf("masked: %+v, %v", ack, err)
	}
	if ack, err := eve.publish(t, "buy a shadowword"); err != nil || ack.Verdict != "" || ack.Text != "" || ack.Seq != 3 {
		t.Errorf("shadowed: %+v, %v; its sender must notice nothing", ack, err)
	}
	eve.refused(t, "one holdword, please", protocol.Held)
	eve.refused(t, "a blockword", protocol.Blocked)
	eve.say(t, "a flagword")

	feed.until(t, "the moderators hear of five", func() bool { return len(feed.got) >= 4 })
	held := feed.find(t, "held")
	for _, kind := range []string{"held", "shadowed", "blocked", "flagged"} {
		if m := feed.find(t, kind); m.Sender != "eve" || !strings.Contains(string(m.Data), `"set":"verdicts"`) {
			t.Errorf("%s: %+v with %s", kind, m, m.Data)
		}
	}
	for range 2 { // once is enough; twice changes nothing
		ctx, cancel := context.WithTimeout(t.Context(), settle)
		seq, err := mia.room.Approve(ctx, held.Seq)
		cancel()
		if err != nil || seq != 5 {
			t.Errorf("approved as %d, %v", seq, err)
		}
	}
	last := bob.say(t, "bye")

	author := []string{"1 eve: hello", "2 eve: what a ********, 你好", "3 eve: buy a shadowword", "4 eve: a flagword", "5 eve: one holdword, please", "6 bob: bye"}
	public, moderator := slices.Clone(author), slices.Clone(author)
	public[2], moderator[2] = "3 : withheld", author[2]+" (shadow)"
	for region := range d.pages {
		late := d.enter(t, region, "late", "quiet", client.JoinOptions{Recent: 100})
		late.same(t, last, public...)
		late.reads(t, last, public...)
		for _, word := range []string{"shadowword", "maskword", "blockword"} {
			if late.bytes.holds(word) {
				t.Errorf("%s received the bytes of %s", late.endpoint, word)
			}
		}
	}
	for v, want := range map[*viewer][]string{eve: author, again: author, bob: public, far: public, mia: moderator} {
		v.same(t, last, want...)
		v.reads(t, last, want...)
		v.undisturbed(t)
	}
	if far.bytes.holds("shadowword") || !far.bytes.holds("holdword, please") {
		t.Error("the bytes that ap received are not what it shows")
	}
}

// find is the first message of a kind.
func (v *viewer) find(t *testing.T, kind string) (found client.Message) {
	t.Helper()
	v.until(t, "a message of kind "+kind, func() bool {
		i := slices.IndexFunc(v.got, func(m client.Message) bool { return m.Kind == kind })
		if i >= 0 {
			found = v.got[i]
		}
		return i >= 0
	})
	return found
}

func testRetraction(t *testing.T, d *dev) {
	s := seed(t)
	secret := fmt.Sprintf("regrettable-%x", rand.New(rand.NewPCG(s, 3)).Uint64())
	const room = "theatre"
	var here []*viewer
	for region := range d.pages {
		here = append(here, d.enter(t, region, fmt.Sprint("viewer", region), room))
	}
	eve, mia := d.enter(t, 0, "eve", room), d.enter(t, 2, "mia", room)
	away := d.enter(t, 1, "away", room)
	eve.say(t, secret)
	eve.say(t, "as well as "+secret)
	eve.say(t, "fine")
	away.hears(t, 3)
	position := away.room.Position()
	away.leave()

	says(t, d.operator.run(t, "room", "retract", room, "1", "--reason", "off topic"), "message 1 of theatre was taken back; message 4 says so")
	ctx, cancel := context.WithTimeout(t.Context(), settle)
	defer cancel()
	if seq, err := mia.room.Retract(ctx, 2, "too"); err != nil || seq != 5 {
		t.Errorf("retracted by %d, %v", seq, err)
	}
	last := eve.say(t, "the end")
	before := []string{"1 eve: " + secret, "2 eve: as well as " + secret, "3 eve: fine"}
	told := here[0].operatorName(t, last)
	behind := []string{"4 " + told + ": off topic (retracts 1)", "5 mia: too (retracts 2)", "6 eve: the end"}
	after := append([]string{"1 eve: retracted", "2 eve: retracted", "3 eve: fine"}, behind...)
	for _, v := range here {
		v.same(t, last, append(slices.Clone(before), behind...)...)
		v.undisturbed(t)
	}
	for region := range d.pages {
		for name, o := range map[string]client.JoinOptions{
			"late":  {Recent: 100},
			"again": {Since: &client.Position{Epoch: position.Epoch, Seq: 0}},
			"eve":   {Recent: 100}, // its own author, too
			"mia":   {Recent: 100},
		} {
			v := d.enter(t, region, name, room, o)
			v.same(t, last, after...)
			v.reads(t, last, after...)
			if v.bytes.holds(secret) || !v.bytes.holds("fine") {
				t.Errorf("%s at %s received what was taken back", name, v.endpoint)
			}
			v.leave()
		}
		back := d.enter(t, region, "away", room, client.JoinOptions{Since: &position})
		back.same(t, last, behind...)
		back.leave()
	}
	if out := d.operator.run(t, "room", "history", room); strings.Contains(out, secret) {
		t.Errorf("an operator still reads it:\n%s", out)
	}
	says(t, d.operator.run(t, "room", "audit", "--room", room), "retract", "off topic")
}

// operatorName is who moderates from the command line, as a viewer sees it.
func (v *viewer) operatorName(t *testing.T, last uint64) string {
	t.Helper()
	v.hears(t, last)
	i := slices.IndexFunc(v.got, func(m client.Message) bool { return m.Retracts == 1 })
	if i < 0 || v.got[i].Sender == "" {
		t.Fatalf("nobody took back message 1:\n%s", strings.Join(v.transcript(), "\n"))
	}
	return v.got[i].Sender
}

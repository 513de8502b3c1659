package e2e

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/client"
)

// A talker publishes to a room all the time, joined or not, and keeps what
// became of each message.
type talker struct {
	name string
	in   *client.Client
	stop chan struct{}
	all  sync.WaitGroup

	mu       sync.Mutex // guards the fields below
	outcomes map[string]int
	accepted []client.Ack
	answers  int
}

// talkPatience is short: what waits for a leader is to be given up, and said
// anew, many times during a failover.
const talkPatience = 500 * time.Millisecond

func (c *cluster) talk(t *testing.T, endpoint, name, room string) *talker {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), settle)
	defer cancel()
	in, err := client.Dial(ctx, client.Config{
		Endpoints: []string{endpoint}, PublishTimeout: talkPatience,
		Token: func(context.Context) (string, error) { return c.token(name) },
	})
	if err != nil {
		t.Fatal(err)
	}
	talk := &talker{name: name + " at " + endpoint, in: in, stop: make(chan struct{}), outcomes: map[string]int{}}
	talk.all.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-talk.stop:
				return
			case <-tick.C:
			}
			ack, err := in.Publish(context.Background(), room, client.Message{Text: fmt.Sprintf("%s says %d", name, n)})
			talk.settle(ack, err)
		}
	})
	t.Cleanup(func() {
		talk.end()
		_ = in.Close()
	})
	return talk
}

func (k *talker) end() {
	k.mu.Lock()
	select {
	case <-k.stop:
	default:
		close(k.stop)
	}
	k.mu.Unlock()
	k.all.Wait()
}

func (k *talker) settle(ack client.Ack, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.answers++
	var refused *protocol.Error
	switch {
	case err == nil:
		k.accepted = append(k.accepted, ack)
		k.outcomes["accepted"]++
	case errors.Is(err, client.ErrOutcomeUnknown):
		k.outcomes["unknown"]++
	case errors.As(err, &refused):
		k.outcomes[refused.Code.Name()]++
	default:
		k.outcomes[err.Error()]++
	}
}

// more waits until it had n more of an outcome.
func (k *talker) more(t *testing.T, outcome string, n int) {
	t.Helper()
	count := func() (int, string) {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.outcomes[outcome], fmt.Sprint(k.outcomes)
	}
	from, _ := count()
	for deadline := time.Now().Add(settle); ; time.Sleep(10 * time.Millisecond) { // real processes, real time
		now, all := count()
		if now >= from+n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d more %s, want %d; in all %s", k.name, now-from, outcome, n, all)
		}
	}
}

// A user who was muted stays muted when the leader of the room's shard is
// killed: nothing of it is accepted before, while nobody leads, or afterwards,
// whatever the edge knows of the room.
func TestSanctionsOutliveTheLeader(t *testing.T) {
	if testing.Short() {
		t.Skip("kills a leader")
	}
	const room = "square"
	c := startCluster(t, clusterOptions{})
	// Only the first edge has members of the room, and hears of sanctions. The
	// other asks core about every message.
	friend := c.enter(t, 0, "friend", room)
	villain := c.enter(t, 1, "villain", room)
	var trolls []*talker
	for _, endpoint := range c.endpoints {
		trolls = append(trolls, c.talk(t, endpoint, "troll", room))
	}
	for _, k := range trolls {
		k.more(t, "accepted", 3)
	}
	leader := c.leaderOf(t, room)
	other := c.command(t, (leader+1)%coreCount)

	says(t, other.run(t, "room", "mute", room, "troll", "--reason", "spam"), "troll may publish no more in square")
	says(t, other.run(t, "room", "ban", room, "villain", "--for", "1h", "--reason", "enough"), "villain is banned in square until ")
	villain.until(t, "it is banned, and out", func() bool {
		return len(villain.sanctions) == 1 && villain.sanctions[0].Action == protocol.Ban && villain.sanctions[0].Reason == "enough" && codeOf(villain.lost) == protocol.Banned
	})
	for _, k := range trolls {
		k.more(t, protocol.Muted.Name(), 3)
	}
	until := friend.say(t, "the last of before")
	friend.hears(t, until)

	leader = c.leaderOf(t, room)
	other = c.command(t, (leader+1)%coreCount)
	killed := time.Now()
	c.cores[leader].kill()
	// Nobody may come in again while nobody leads, either.
	c.keptOut(t, "villain", room)
	first := friend.say(t, "the first of after")
	t.Logf("%v after the kill of %s the banned were refused at every edge, and a message accepted", time.Since(killed).Round(time.Millisecond), c.cores[leader].name)
	for _, k := range trolls {
		k.more(t, protocol.Muted.Name(), 10)
	}
	c.keptOut(t, "villain", room)
	says(t, other.run(t, "room", "sanctions", room), "troll", "mute", "spam", "villain", "ban", "enough")
	says(t, other.run(t, "room", "audit", "--room", room), "mute", "ban", "troll", "villain")

	friend.hears(t, first)
	for _, m := range friend.got {
		if m.Seq > until && m.Sender != "friend" {
			t.Errorf("%s got through: %+v", m.Sender, m)
		}
	}
	for _, k := range trolls {
		k.mu.Lock()
		for _, ack := range k.accepted {
			if ack.Seq > until {
				t.Errorf("%s: %d was accepted", k.name, ack.Seq)
			}
		}
		t.Logf("%s: %v", k.name, k.outcomes)
		k.mu.Unlock()
	}

	says(t, other.run(t, "room", "unmute", room, "troll"), "troll may publish in square")
	says(t, other.run(t, "room", "unban", room, "villain"), "villain may come back")
	for _, k := range trolls {
		k.more(t, "accepted", 3)
		k.end()
	}
	for i := range c.endpoints {
		c.enter(t, i, "villain", room).say(t, "I have changed")
	}
	c.slows(t, other, friend, room)
}

// enter connects to an endpoint and joins a room.
func (c *cluster) enter(t *testing.T, endpoint int, name, room string) *viewer {
	t.Helper()
	v := connect(t, c.endpoints[endpoint], name, c.token)
	if err := v.join(t.Context(), room, client.JoinOptions{}); err != nil {
		t.Fatal(err)
	}
	return v
}

// keptOut tries to come in, to read and to publish at every endpoint, which must
// be refused as banned, however long a new leader takes.
func (c *cluster) keptOut(t *testing.T, name, room string) {
	t.Helper()
	for _, endpoint := range c.endpoints {
		v := connect(t, endpoint, name, c.token)
		ctx, cancel := context.WithTimeout(t.Context(), settle)
		_, read := v.conn.History(ctx, room, client.HistoryOptions{})
		_, said := v.conn.Publish(ctx, room, client.Message{Text: "let me in"})
		cancel()
		for what, err := range map[string]error{"join": v.join(t.Context(), room, client.JoinOptions{}), "history": read, "publish": said} {
			if codeOf(err) != protocol.Banned {
				t.Errorf("%s of the banned %s at %s: %v", what, name, endpoint, err)
			}
		}
		v.leave()
	}
}

// slows sets a slow mode that members of both edges feel, and ends it.
func (c *cluster) slows(t *testing.T, o operator, friend *viewer, room string) {
	t.Helper()
	const pause = 700 * time.Millisecond
	inRoom, outside := friend, connect(t, c.endpoints[2], "guest", c.token)
	says(t, o.run(t, "room", "slow", room, pause.String()), "one message of a user in 700ms")
	inRoom.until(t, "slow mode", func() bool { return inRoom.slow == pause })
	for _, v := range []*viewer{inRoom, outside} {
		var times []time.Time
		for n := range 4 {
			ctx, cancel := context.WithTimeout(t.Context(), settle)
			ack, err := v.conn.Publish(ctx, room, client.Message{Text: fmt.Sprint("slowly ", n)})
			cancel()
			if err != nil {
				t.Fatalf("%s in slow mode: %v", v.name, err)
			}
			times = append(times, ack.Time)
		}
		// The first tells an edge without members there that the room is slow.
		if took := times[3].Sub(times[1]); took < 2*pause-50*time.Millisecond {
			t.Errorf("%s said three messages within %v, one is allowed in %v", v.name, took, pause)
		}
	}
	o.run(t, "room", "slow", room, "off")
	inRoom.until(t, "no slow mode", func() bool { return inRoom.slow == 0 })
	began := inRoom.say(t, "fast")
	for range 5 {
		inRoom.say(t, "fast")
	}
	inRoom.hears(t, began+5)
	if took := inRoom.got[len(inRoom.got)-1].Time.Sub(inRoom.got[len(inRoom.got)-6].Time); took > 4*pause {
		t.Errorf("six messages took %v without slow mode", took)
	}
}

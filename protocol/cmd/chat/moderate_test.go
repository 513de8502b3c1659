package chat

import (
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/client/clienttest"
	"github.com/barrage-im/barrage/protocol/wire"
)

var untilRE = regexp.MustCompile(`until (Jan \d+ )?\d\d:\d\d`)

func (c *console) wantEnd(t *testing.T, lines ...string) {
	t.Helper()
	got := untilRE.ReplaceAllString(c.screen(), "until hh:mm")
	if want := strings.Join(lines, "\n") + "\n"; !strings.HasSuffix(got, want) {
		t.Fatalf("the screen shows\n%s\nwant at its end\n%s", got, want)
	}
}

func TestModerating(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := clienttest.New()
		s.Role = func(user, _ string) string {
			if user == "mia" {
				return protocol.RoleModerator
			}
			return protocol.RoleMember
		}
		mia, bob := start(t.Context(), s, options{Name: "mia"}), start(t.Context(), s, options{Name: "bob"})
		defer mia.keys.Close()
		defer bob.keys.Close()
		bob.enter("something rude")
		mia.wantEnd(t, "#1  bob: something rude")
		mia.enter("/retract #1 be kind")
		bob.wantEnd(t, "›bob: something rude", "— message 1 was taken back by mia: be kind")
		s.Append("lobby", &wire.Message{Gone: protocol.GoneWithheld})
		s.Append("lobby", &wire.Message{Sender: "eve", Text: "coins", Shadow: true})
		synctest.Wait()
		bob.enter("/history 4")
		bob.wantEnd(t, "— the last 4 messages of lobby", "›bob: [taken back]", "— message 1 was taken back by mia: be kind",
			" eve: coins [only its sender and moderators see this]", "— now")
		mia.enter("/mute bob 10m that is enough")
		mia.wantEnd(t, "— bob may not write any more until hh:mm")
		bob.wantEnd(t, "— you may not write here any more until hh:mm: that is enough")
		bob.enter("hello?")
		bob.wantEnd(t, `— not sent, you are under a sanction: that is enough: "hello?"`)
		mia.enter("/unmute bob")
		bob.wantEnd(t, "— you may write again")
		mia.enter("/slow 5s")
		mia.wantEnd(t, "— bob may write", "— everybody may write once in 5s")
		mia.enter("/slow off")
		s.Append("mod:lobby", &wire.Message{Sender: "bob", Kind: protocol.KindHeld, Text: "odd but fine"})
		synctest.Wait()
		mia.enter("/room mod:lobby")
		mia.enter("/approve 1")
		mia.wantEnd(t, "#1  bob: odd but fine", "— published in lobby")
		bob.wantEnd(t, "›bob: odd but fine")
		mia.enter("/ban bob bye")
		bob.wantEnd(t, "— you are no longer in the room: banned: you are banned from this room: bye")
		mia.enter("/unban bob")
		mia.wantEnd(t, "— bob is banned", "— bob may come back")
		for line, want := range map[string]string{
			"/retract":      "— say which message, by its number: /retract 42",
			"/approve none": "— say which message, by its number: /approve 42",
			"/slow down":    "— say how long the pause is: /slow 5s, or /slow off",
			"/ban":          "— say whom: /ban USER",
		} {
			mia.enter(line)
			mia.wantEnd(t, want)
		}
		bob.enter("/room lobby")
		bob.enter("/mute mia")
		bob.wantEnd(t, "— you do not moderate this room")
		_, _ = mia.keys.Close(), bob.keys.Close()
		for _, c := range []*console{mia, bob} {
			if err := <-c.done; err != nil {
				t.Error(err)
			}
		}
	})
}

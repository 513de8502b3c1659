package chat

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/client"
	"github.com/barrage-im/barrage/protocol/client/clienttest"
	"github.com/barrage-im/barrage/protocol/wire"
)

// console is a person at a plain terminal.
type console struct {
	keys *io.PipeWriter
	done chan error

	mu  sync.Mutex // guards the field below
	out bytes.Buffer
}

func (c *console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(b)
}

var clockRE = regexp.MustCompile(`(?m)^(Jan \d+ )?\d\d:\d\d `)

// screen is what is shown, without the times.
func (c *console) screen() string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return clockRE.ReplaceAllString(c.out.String(), "")
}

func (c *console) enter(line string) {
	_, _ = io.WriteString(c.keys, line+"\n")
	synctest.Wait()
}

// start runs the command in a synctest bubble over a service in memory.
func start(ctx context.Context, s *clienttest.Server, o options) *console {
	in, keys := io.Pipe()
	c := &console{keys: keys, done: make(chan error, 1)}
	if o.Room == "" {
		o.Room = "lobby"
	}
	o.Server = "ws://a"
	go func() { c.done <- run(ctx, o, s, in, c) }()
	synctest.Wait()
	return c
}

func (c *console) want(t *testing.T, lines ...string) {
	t.Helper()
	if got, want := c.screen(), strings.Join(lines, "\n")+"\n"; got != want {
		t.Fatalf("the screen shows\n%s\nwant\n%s", got, want)
	}
}

const welcome = "— lobby, 1 member here, survives the loss of a zone; /help tells what you can type"

func TestConversation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := clienttest.New()
		s.Append("lobby", &wire.Message{Sender: "u1", Name: "alice", Text: "anybody here?"})
		c := start(t.Context(), s, options{Name: "bob"})
		defer c.keys.Close()
		c.enter("hello")
		c.enter("/me waves")
		c.enter("//not a command")
		c.enter("")
		s.Append("lobby", &wire.Message{Sender: "u1", Name: "alice", Kind: kindAction, Text: "grins"})
		synctest.Wait()
		c.enter("/who")
		c.enter("/nonsense")
		c.enter("/history 2")
		c.enter("/history many")
		c.enter("/quit")
		if err := <-c.done; err != nil {
			t.Fatal(err)
		}
		c.want(t, welcome,
			" alice: anybody here?",
			"›bob: hello",
			"›* bob waves",
			"›bob: /not a command",
			" * alice grins",
			"— 1 here: bob",
			"— there is no /nonsense; /help tells what there is",
			"— the last 2 messages of lobby",
			"›bob: /not a command",
			" * alice grins",
			"— now",
			"— say how many, 1 to 1000: /history 50",
		)
		_ = c.keys.Close()
	})
}

func TestLostConnectionIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := clienttest.New()
		c := start(t.Context(), s, options{Name: "bob"})
		defer c.keys.Close()
		away := func(while func()) {
			s.Down("ws://a")
			synctest.Wait()
			while()
			s.Up("ws://a")
			time.Sleep(time.Minute)
		}
		away(func() { s.Append("lobby", &wire.Message{Sender: "alice", Text: "one"}) })
		got := c.screen()
		for _, want := range []string{"— connection lost, trying again", "— back, nothing missed\n alice: one\n"} {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in\n%s", want, got)
			}
		}
		away(func() {
			for range 13 {
				s.Append("lobby", &wire.Message{Sender: "alice", Text: "more"})
			}
			s.Trim("lobby", 14)
		})
		got = c.screen()
		if !strings.HasSuffix(got, "— back, 12 messages missed\n alice: more\n") {
			t.Errorf("the screen shows\n%s", got)
		}
		_ = c.keys.Close()
		if err := <-c.done; err != nil {
			t.Error(err)
		}
	})
}

func TestGoingToAnotherRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := clienttest.New()
		c := start(t.Context(), s, options{Name: "bob"})
		defer c.keys.Close()
		c.enter("/room studio")
		c.enter("hi")
		s.Append("lobby", &wire.Message{Sender: "alice", Text: "you cannot hear this"})
		_ = c.keys.Close()
		if err := <-c.done; err != nil {
			t.Fatal(err)
		}
		c.want(t, welcome, strings.Replace(welcome, "lobby", "studio", 1), "›bob: hi")
	})
}

// What a script pipes in is acknowledged before the command ends.
func TestEndOfInputWaitsForTheLastMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := clienttest.New()
		refused := false
		s.Command = func(_ string, f *wire.ClientFrame) *wire.ServerFrame {
			if f.GetPublish() != nil && !refused {
				refused = true
				return clienttest.Refusal(&protocol.Error{Code: protocol.RateLimited, RetryAfter: 2000})
			}
			return nil
		}
		c := start(t.Context(), s, options{Name: "bob"})
		defer c.keys.Close()
		c.enter("hello")
		_ = c.keys.Close()
		if err := <-c.done; err != nil {
			t.Fatal(err)
		}
		if log := s.Log("lobby"); len(log) != 1 {
			t.Errorf("the room holds %v", log)
		}
	})
}

func TestRefusedMessageIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := clienttest.New()
		s.Command = func(_ string, f *wire.ClientFrame) *wire.ServerFrame {
			if f.GetPublish() != nil {
				return clienttest.Refusal(&protocol.Error{Code: protocol.Forbidden, Message: "this room is read-only for you"})
			}
			return nil
		}
		c := start(t.Context(), s, options{Name: "bob"})
		defer c.keys.Close()
		c.enter("hello")
		c.want(t, welcome, `— not sent, this room is read-only for you: "hello"`)
		_ = c.keys.Close()
		if err := <-c.done; err != nil {
			t.Error(err)
		}
	})
}

func TestTokensAndNames(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	file := t.TempDir() + "/token"
	if err := os.WriteFile(file, []byte("from the file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, o := range map[string]options{
		"anonymous:bob": {Name: "bob"},
		"secret":        {Token: "secret"},
		"from the file": {TokenFile: file},
	} {
		if got, err := o.token(ctx); err != nil || got != want {
			t.Errorf("token %q, %v, want %q", got, err, want)
		}
	}
	if got, err := (options{}).token(ctx); err != nil || !strings.HasPrefix(got, "anonymous:") {
		t.Errorf("token %q, %v, want the OS user's name", got, err)
	}
	for _, args := range [][]string{{"--name", "x", "--token", "y"}, {"--token", "x", "--token-file", "y"}, {"two", "rooms"}, {"--nonsense"}, {"--server", "foo"}} {
		if err := Run(ctx, args, strings.NewReader(""), io.Discard); err == nil {
			t.Errorf("%v should be refused", args)
		}
	}
}

func TestServerThatDoesNotLetYouIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := clienttest.New()
		s.Connect = func(string, *wire.Connect) *wire.ServerFrame {
			return clienttest.CloseFrame(protocol.CloseUnauthenticated, nil)
		}
		c := start(t.Context(), s, options{Name: "bob"})
		defer c.keys.Close()
		if err := <-c.done; err == nil || !strings.Contains(err.Error(), "--token-file") {
			t.Errorf("got %v", err)
		}
		_ = c.keys.Close()
	})
}

func TestOtherPeoplesTextIsHarmless(t *testing.T) {
	for in, want := range map[string]string{
		"héllo 👋 שלום":            "héllo 👋 שלום",
		"\x1b[2J\x1b]0;title\x07": "␛[2J␛]0;title␇",
		"line\r\nfake: line":      "line  fake: line",
		"\u202eevil\u2066":        "\ufffdevil\ufffd",
		"\u009b31mred":            "\ufffd31mred",
		"a\u200bb\x7f":            "ab␡",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
	tk := &talk{screen: &screen{painted: true}}
	line := tk.line(client.Message{Sender: "\x1b[31m", Name: "\x1b[1mx", Kind: kindAction, Text: "\x1b[0m"}, "", true, time.Now())
	for _, part := range strings.Split(line, "\x1b[")[1:] {
		if !regexp.MustCompile(`^(0|2|38;5;\d+)m`).MatchString(part) {
			t.Errorf("an escape that is not ours: %q", line)
		}
	}
}

func TestNamesKeepTheirColours(t *testing.T) {
	s := &screen{painted: true}
	if !strings.Contains(s.name("u1", "alice", false), fmt.Sprintf("38;5;%dm", colour("u1"))) {
		t.Error("the colour of a name must be its user's, whatever the name")
	}
	if plain := (&screen{}).name("u1", "alice", true); plain != "alice" {
		t.Errorf("without colours: %q", plain)
	}
}

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/client"
	"github.com/barrage-im/barrage/protocol/transport"
)

// A viewer is an SDK client in one room, and all that it was told.
type viewer struct {
	name, endpoint string
	conn           *client.Client
	room           *client.Room
	bytes          *tap

	news chan struct{} // has something after a change of the fields below

	mu        sync.Mutex // guards the fields below
	got       []client.Message
	gaps      []client.Gap
	phases    []client.State
	joins     int
	role      string
	slow      time.Duration
	lost      error
	sanctions []client.Sanction
}

// A tap keeps the frames that a client received.
type tap struct {
	mu   sync.Mutex // guards seen
	seen bytes.Buffer
}

func (d *tap) Dial(ctx context.Context, endpoint string) (client.Conn, error) {
	conn, err := transport.Dial(ctx, endpoint, transport.DialOptions{Encoding: transport.Proto})
	if err != nil {
		return nil, err
	}
	return &tapped{Conn: conn, tap: d}, nil
}

type tapped struct {
	client.Conn
	tap *tap
}

func (c *tapped) ReadFrame() ([]byte, error) {
	frame, err := c.Conn.ReadFrame()
	c.tap.mu.Lock()
	defer c.tap.mu.Unlock()
	c.tap.seen.Write(frame)
	return frame, err
}

// holds says whether a text is anywhere in what was received.
func (d *tap) holds(text string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return bytes.Contains(d.seen.Bytes(), []byte(text))
}

// connect connects a viewer that is in no room yet.
func connect(t *testing.T, endpoint, name string, token func(string) (string, error)) *viewer {
	t.Helper()
	v := &viewer{name: name, endpoint: endpoint, bytes: &tap{}, news: make(chan struct{}, 1)}
	ctx, cancel := context.WithTimeout(t.Context(), settle)
	defer cancel()
	var err error
	v.conn, err = client.Dial(ctx, client.Config{
		Endpoints: []string{endpoint}, Dialer: v.bytes, Token: func(context.Context) (string, error) { return token(name) },
		OnState: func(s client.State) { v.note(func() { v.phases = append(v.phases, s) }) },
	})
	if err != nil {
		t.Fatalf("%s connects to %s: %v", name, endpoint, err)
	}
	t.Cleanup(v.leave)
	return v
}

// join enters a room, or says why not.
func (v *viewer) join(ctx context.Context, room string, o client.JoinOptions) error {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	in, err := v.conn.Join(ctx, room, o, client.Events{
		OnMessages: func(list []client.Message) { v.note(func() { v.got = append(v.got, list...) }) },
		OnGap:      func(g client.Gap) { v.note(func() { v.gaps = append(v.gaps, g) }) },
		OnSanction: func(s client.Sanction) { v.note(func() { v.sanctions = append(v.sanctions, s) }) },
		OnState: func(s client.RoomState) {
			v.note(func() {
				if s.Joined {
					v.joins++
				}
				v.role, v.slow, v.lost = s.Role, s.SlowMode, s.Err
			})
		},
	})
	if err != nil {
		return fmt.Errorf("%s joins %s at %s: %w", v.name, room, v.endpoint, err)
	}
	v.room = in
	return nil
}

// anonymous is the token of "barrage dev", for a name.
func anonymous(name string) (string, error) { return "anonymous:" + name, nil }

// enter connects to a region's edge and joins a room there.
func (d *dev) enter(t *testing.T, region int, name, room string, o ...client.JoinOptions) *viewer {
	t.Helper()
	v := connect(t, d.endpoint(region), name, anonymous)
	if err := v.join(t.Context(), room, append(o, client.JoinOptions{})[0]); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *viewer) leave() { _ = v.conn.Close() }

func (v *viewer) note(change func()) {
	v.mu.Lock()
	change()
	v.mu.Unlock()
	select {
	case v.news <- struct{}{}:
	default:
	}
}

// until waits until what it knows is enough. enough is called with mu held.
func (v *viewer) until(t *testing.T, what string, enough func() bool) {
	t.Helper()
	late := time.After(settle)
	for {
		v.mu.Lock()
		done := enough()
		v.mu.Unlock()
		if done {
			return
		}
		select {
		case <-v.news:
		case <-late:
			t.Fatalf("%s at %s: not within %s: %s; it has:\n%s", v.name, v.endpoint, settle, what, strings.Join(v.transcript(), "\n"))
		}
	}
}

func (v *viewer) roleNow() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.role
}

// hears waits for the message with a seq.
func (v *viewer) hears(t *testing.T, seq uint64) {
	t.Helper()
	v.until(t, fmt.Sprintf("message %d", seq), func() bool { return len(v.got) > 0 && v.got[len(v.got)-1].Seq >= seq })
}

// transcript is what it received, a line for each message.
func (v *viewer) transcript() (lines []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return transcript(v.got)
}

func transcript(list []client.Message) (lines []string) {
	for _, m := range list {
		line := fmt.Sprintf("%d %s: %s", m.Seq, m.Sender, m.Text)
		if m.Gone != "" {
			line += m.Gone
		}
		if m.Retracts > 0 {
			line += fmt.Sprintf(" (retracts %d)", m.Retracts)
		}
		if m.Shadow {
			line += " (shadow)"
		}
		if len(m.Data) > 0 {
			line += fmt.Sprintf(" [%d bytes]", len(m.Data))
		}
		lines = append(lines, line)
	}
	return lines
}

// undisturbed checks that nothing happened to its connection, and that it was
// told of every message once and in order.
func (v *viewer) undisturbed(t *testing.T) {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.phases {
		if s.Phase == client.Waiting || s.Phase == client.Closed || s.Moved {
			t.Errorf("%s at %s lost its connection: %+v", v.name, v.endpoint, s)
		}
	}
	if v.joins != 1 || len(v.gaps) > 0 || v.lost != nil {
		t.Errorf("%s at %s joined %d times, gaps %v, lost %v", v.name, v.endpoint, v.joins, v.gaps, v.lost)
	}
	for i := 1; i < len(v.got); i++ {
		if v.got[i].Seq != v.got[i-1].Seq+1 {
			t.Fatalf("%s at %s: message %d came after %d", v.name, v.endpoint, v.got[i].Seq, v.got[i-1].Seq)
		}
	}
}

// publish sends one message, and waits for what became of it.
func (v *viewer) publish(t *testing.T, text string) (client.Ack, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), settle)
	defer cancel()
	return v.room.Publish(ctx, client.Message{Text: text})
}

// say publishes what must be accepted, and returns its seq.
func (v *viewer) say(t *testing.T, text string) uint64 {
	t.Helper()
	ack, err := v.publish(t, text)
	if err != nil {
		t.Fatalf("%s says %q: %v", v.name, text, err)
	}
	return ack.Seq
}

// refused publishes what must be refused with a code.
func (v *viewer) refused(t *testing.T, text string, code protocol.Code) {
	t.Helper()
	if ack, err := v.publish(t, text); codeOf(err) != code {
		t.Errorf("%s says %q: seq %d, %v; want %s", v.name, text, ack.Seq, err, code)
	}
}

// codeOf is the code in an error, or OK.
func codeOf(err error) protocol.Code {
	var refused *protocol.Error
	if errors.As(err, &refused) {
		return refused.Code
	}
	return protocol.OK
}

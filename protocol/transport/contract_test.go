package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/wire"
)

// The contract of Conn and Handler, which every transport keeps.

func TestFramesArriveInOrderHoweverTheyAreCut(t *testing.T) {
	everyTransport(t, Options{}, func(t *testing.T, r *rig) {
		c, s := r.connect(t)
		const n = 2000
		var stream []byte
		for i := 0; i < n; {
			var frames []byte
			for k := rand.IntN(5) + 1; k > 0 && i < n; k-- {
				i++
				frames = append(frames, ping(r.enc, uint64(i))...)
			}
			stream = append(stream, r.image(frames)...)
		}
		go func() {
			for len(stream) > 0 {
				piece := min(len(stream), rand.IntN(600)+1)
				if _, err := c.nc.Write(stream[:piece]); err != nil {
					return
				}
				stream = stream[piece:]
			}
		}()
		for i := uint64(1); i <= n; i++ {
			f, err := protocol.DecodeClient(r.enc, wait(t, "a frame", s.frames))
			if err != nil || f.Id != i {
				t.Fatalf("frame %d arrived as %v, %v", i, f, err)
			}
		}
	})
}

func TestAFrameInSingleBytesArrivesWhole(t *testing.T) {
	everyTransport(t, Options{}, func(t *testing.T, r *rig) {
		c, s := r.connect(t)
		for _, b := range r.image(ping(r.enc, 7)) {
			if _, err := c.nc.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
		if f, err := protocol.DecodeClient(r.enc, wait(t, "the frame", s.frames)); err != nil || f.Id != 7 {
			t.Fatal(f, err)
		}
	})
}

func TestTheLargestFrameArrives(t *testing.T) {
	everyTransport(t, Options{}, func(t *testing.T, r *rig) {
		c, s := r.connect(t)
		room := protocol.MaxClientFrame - 40
		frame := protocol.AppendClient(nil, r.enc, &wire.ClientFrame{Id: 1, Command: &wire.ClientFrame_Refresh{
			Refresh: &wire.Refresh{Token: string(bytes.Repeat([]byte("t"), room))},
		}})
		if err := c.WriteFrames(append(frame, ping(r.enc, 2)...)); err != nil {
			t.Fatal(err)
		}
		if f, err := protocol.DecodeClient(r.enc, wait(t, "the frame", s.frames)); err != nil || len(f.GetRefresh().GetToken()) != room {
			t.Fatal(err)
		}
		wait(t, "the next frame", s.frames)
	})
}

func TestASlowReaderGetsEverythingInOrder(t *testing.T) {
	everyTransport(t, Options{}, func(t *testing.T, r *rig) {
		c, s := r.connect(t)
		format := s.conn.Info().Format
		const n = 60
		image := func(i int) []byte {
			return format.AppendImage(nil, protocol.AppendServer(nil, r.enc, &wire.ServerFrame{Id: uint64(i), Body: &wire.ServerFrame_Error{
				Error: &wire.Error{Code: 1, Message: string(bytes.Repeat([]byte{'a' + byte(i%26)}, 400_000))},
			}}))
		}
		sent, busy := make(chan error, 1), make(chan struct{}, n)
		go func() {
			for i := 1; i <= n; {
				err := s.conn.Send(image(i))
				switch {
				case err == nil:
					i++
					continue
				case !errors.Is(err, ErrBusy):
					sent <- err
					return
				}
				busy <- struct{}{}
				<-s.writable
			}
			sent <- nil
		}()
		wait(t, "the first refusal", busy)
		for i := 1; i <= n; i++ {
			b, err := c.ReadFrame()
			if err != nil {
				t.Fatalf("frame %d: %v", i, err)
			}
			// Decoding 24 MB of JSON would take longer than sending it.
			if len(b) < 400_000 || len(b) > 400_100 || bytes.Count(b, []byte{'a' + byte(i%26)}) < 400_000 {
				t.Fatalf("frame %d arrived cut, damaged or as another one", i)
			}
		}
		if err := wait(t, "the sender", sent); err != nil {
			t.Error(err)
		}
	})
}

func TestSendNeverBlocksAndAStalledConnectionIsClosed(t *testing.T) {
	everyTransport(t, Options{WriteStall: 200 * time.Millisecond, CloseWait: 100 * time.Millisecond}, func(t *testing.T, r *rig) {
		_, s := r.connect(t)
		image := s.conn.Info().Format.AppendImage(nil, make([]byte, 32<<20)) // more than any socket buffer
		// Nobody reads: a Send that blocked would end with the stall, and an error.
		if first, second := s.conn.Send(image), s.conn.Send(image); first != nil || !errors.Is(second, ErrBusy) {
			t.Errorf("sends returned %v and %v", first, second)
		}
		if err := wait(t, "the stall limit", s.closed); !errors.Is(err, &protocol.Error{Code: protocol.CloseSlow}) {
			t.Errorf("closed with %v", err)
		}
		if err := s.conn.Send(image); !errors.Is(err, net.ErrClosed) {
			t.Errorf("send after the close: %v", err)
		}
	})
}

func TestASendThatFitsWorksLongAfterASlowOne(t *testing.T) {
	everyTransport(t, Options{WriteStall: 500 * time.Millisecond}, func(t *testing.T, r *rig) {
		c, s := r.connect(t)
		big := s.conn.Info().Format.AppendImage(nil, protocol.AppendServer(nil, r.enc, &wire.ServerFrame{Body: &wire.ServerFrame_Error{
			Error: &wire.Error{Message: string(bytes.Repeat([]byte{'x'}, 900_000))},
		}}))
		for s.conn.Send(big) == nil {
			// until the socket is full
		}
		select {
		case <-s.writable: // of an earlier one that was a little late
		default:
		}
		go func() {
			for {
				if _, err := c.ReadFrame(); err != nil {
					return
				}
			}
		}()
		wait(t, "the slow write", s.writable)
		// The write deadline of the slow one passes.
		<-time.After(600 * time.Millisecond)
		if err := s.conn.Send(pong(s.conn.Info().Format, 1)); err != nil {
			t.Errorf("a send after the stall limit has passed: %v", err)
		}
		select {
		case err := <-s.closed:
			t.Errorf("closed: %v", err)
		default:
		}
	})
}

func TestCloseWithTellsBothSides(t *testing.T) {
	everyTransport(t, Options{}, func(t *testing.T, r *rig) {
		c, s := r.connect(t)
		format := s.conn.Info().Format
		if err := s.conn.Send(pong(format, 1)); err != nil {
			t.Fatal(err)
		}
		why := protocol.Errorf(protocol.CloseReplaced, "another session took over")
		for range 2 {
			s.conn.CloseWith(format.CloseImage(why), why.Code)
		}
		if err := s.conn.Send(pong(format, 2)); err == nil {
			t.Error("a send after CloseWith is accepted")
		}
		expectClose(t, c, s, protocol.CloseReplaced)
	})
}

func TestCloseWithFollowsWhatIsOnItsWay(t *testing.T) {
	everyTransport(t, Options{}, func(t *testing.T, r *rig) {
		c, s := r.connect(t)
		format := s.conn.Info().Format
		big := protocol.AppendServer(nil, r.enc, &wire.ServerFrame{Body: &wire.ServerFrame_Error{Error: &wire.Error{Message: string(bytes.Repeat([]byte{'x'}, 1_000_000))}}})
		sent := 0
		for ; sent < 50; sent++ {
			if err := s.conn.Send(format.AppendImage(nil, big)); errors.Is(err, ErrBusy) {
				break
			}
		}
		why := protocol.Errorf(protocol.CloseDraining, "bye")
		s.conn.CloseWith(format.CloseImage(why), why.Code)
		for i := range sent {
			if _, err := c.ReadFrame(); err != nil {
				t.Fatalf("frame %d of %d: %v", i, sent, err)
			}
		}
		expectClose(t, c, s, protocol.CloseDraining)
	})
}

func TestTheClientsOwnCloseIsNoError(t *testing.T) {
	everyTransport(t, Options{}, func(t *testing.T, r *rig) {
		c, s := r.connect(t)
		if err := c.WriteFrames(ping(r.enc, 1)); err != nil {
			t.Fatal(err)
		}
		wait(t, "the frame", s.frames)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if err := wait(t, "the end", s.closed); err != nil && !errors.Is(err, io.EOF) {
			t.Errorf("the session is told %v", err)
		}
	})
}

func TestARefusedConnectionIsToldWhy(t *testing.T) {
	for _, name := range []string{"tcp", "tls", "ws/proto", "ws/json"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, name, Options{CloseWait: time.Second}, func(c Conn) Handler {
				why := protocol.Errorf(protocol.CloseEdgeFull, "this edge is full")
				c.CloseWith(c.Info().Format.CloseImage(why), why.Code)
				return nil
			})
			expectClose(t, r.dial(t), nil, protocol.CloseEdgeFull)
		})
	}
}

func TestClosingTheListenerEndsItsConnections(t *testing.T) {
	everyTransport(t, Options{CloseWait: 200 * time.Millisecond}, func(t *testing.T, r *rig) {
		c, s := r.connect(t)
		ended := make(chan struct{})
		go func() { defer close(ended); r.shut() }()
		expectClose(t, c, s, protocol.CloseDraining)
		_ = c.Close()
		wait(t, "the listener", ended)
		if _, err := Dial(t.Context(), r.url, r.opts); err == nil {
			t.Error("connected to a closed listener")
		}
	})
}

// B26: connect and say nothing.
func TestASilentClientIsClosed(t *testing.T) {
	everyTransport(t, Options{HandshakeTimeout: 300 * time.Millisecond}, func(t *testing.T, r *rig) {
		c, s := r.connect(t)
		expectClose(t, c, s, protocol.CloseHandshakeTimeout)
	})
}

// B7: a frame in single bytes, slowly; the deadline is the frame's.
func TestATrickledFrameIsClosed(t *testing.T) {
	everyTransport(t, Options{FrameTimeout: 300 * time.Millisecond}, func(t *testing.T, r *rig) {
		c, s := r.connect(t)
		frame := r.image(protocol.AppendClient(nil, r.enc, &wire.ClientFrame{Id: 1, Command: &wire.ClientFrame_Leave{Leave: &wire.Leave{Room: fmt.Sprintf("%01000d", 1)}}}))
		if _, err := c.nc.Write(frame); err != nil {
			t.Fatal(err)
		}
		wait(t, "the first frame", s.frames)
		done := make(chan struct{})
		defer close(done)
		go func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for _, b := range frame {
				select {
				case <-tick.C:
				case <-done:
					return
				}
				if _, err := c.nc.Write([]byte{b}); err != nil {
					return
				}
			}
		}()
		expectClose(t, c, s, protocol.CloseMalformed)
	})
}

func TestAnIdleClientIsNotClosed(t *testing.T) {
	everyTransport(t, Options{HandshakeTimeout: 200 * time.Millisecond, FrameTimeout: 50 * time.Millisecond}, func(t *testing.T, r *rig) {
		c, s := r.connect(t)
		for i := range uint64(2) {
			image := r.image(ping(r.enc, i+1))
			for _, piece := range [][]byte{image[:3], image[3:]} {
				if _, err := c.nc.Write(piece); err != nil {
					t.Fatal(err)
				}
			}
			wait(t, "the frame", s.frames)
			select {
			case err := <-s.closed:
				t.Fatalf("closed: %v", err)
			case <-time.After(300 * time.Millisecond):
			}
		}
	})
}

// B8: what a handler holds back stays in order and comes later, and the
// connection can be ended meanwhile.
func TestAHeldConnectionGoesOnLater(t *testing.T) {
	for _, name := range []string{"tcp", "tls", "ws/proto", "ws/json"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sessions := make(chan *holder, 1)
			r := newRig(t, name, Options{FrameTimeout: 50 * time.Millisecond}, func(c Conn) Handler {
				h := &holder{recorder{c, make(chan []byte, 100), make(chan struct{}, 1), make(chan error, 1)}}
				sessions <- h
				return h
			})
			c := r.dial(t)
			s := wait(t, "a session", sessions)
			var frames []byte
			for id := range uint64(5) {
				frames = append(frames, ping(r.enc, id+1)...)
			}
			began := time.Now()
			if _, err := c.nc.Write(r.image(frames)); err != nil {
				t.Fatal(err)
			}
			for id := range uint64(5) {
				f, err := protocol.DecodeClient(r.enc, wait(t, "a frame", s.frames))
				if err != nil || f.GetId() != id+1 {
					t.Fatalf("frame %d is %v, %v", id+1, f, err)
				}
			}
			if took := time.Since(began); took < 4*40*time.Millisecond {
				t.Errorf("five frames in %v", took)
			}
			why := protocol.Errorf(protocol.CloseDraining, "enough")
			s.conn.CloseWith(s.conn.Info().Format.CloseImage(why), why.Code)
			expectClose(t, c, &s.recorder, protocol.CloseDraining)
		})
	}
}

// holder wants 40 ms after every frame.
type holder struct{ recorder }

func (h *holder) OnFrame(f []byte) {
	h.recorder.OnFrame(f)
	h.conn.Hold(40 * time.Millisecond)
}

// B1 to B5, on a byte stream and inside WebSocket messages.
func TestBrokenFramingIsClosed(t *testing.T) {
	cases := []struct {
		name  string
		bytes []byte
		code  protocol.Code
	}{
		{"length 0", []byte{0}, protocol.CloseMalformed},
		{"length 2^32-1", []byte{0xff, 0xff, 0xff, 0xff, 0x0f}, protocol.CloseTooLarge},
		{"length above the limit", []byte{0x81, 0x80, 0x04}, protocol.CloseTooLarge},
		{"length 2^63", []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01}, protocol.CloseTooLarge},
		{"eleven bytes of length", bytes.Repeat([]byte{0x80}, 11), protocol.CloseTooLarge},
		{"not minimal", []byte{0x82, 0x00, 1, 2}, protocol.CloseMalformed},
		{"garbage behind a frame", append(ping(Proto, 1), 0), protocol.CloseMalformed},
	}
	for _, name := range []string{"tcp", "tls", "ws/proto"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, name, Options{}, nil)
			for _, bad := range cases {
				t.Run(bad.name, func(t *testing.T) {
					c, s := r.connect(t)
					if _, err := c.nc.Write(r.image(bad.bytes)); err != nil {
						t.Fatal(err)
					}
					expectClose(t, c, s, bad.code)
				})
			}
		})
	}
}

// B4: the buffer grows with what came, not with what was announced.
func TestAnAnnouncedLengthTakesNoMemory(t *testing.T) {
	p := new(streamParser)
	c := &conn{opts: Options{}.withDefaults()}
	if err := p.feed(c, []byte{0x80, 0x80, 0x04, 'x'}); err != nil {
		t.Fatal(err)
	}
	if cap(p.rest) > 64 {
		t.Errorf("%d bytes are kept of 4", cap(p.rest))
	}
	for range 100 {
		if err := p.feed(c, []byte("y")); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.rest) != 104 || cap(p.rest) > 256 {
		t.Errorf("%d bytes in %d", len(p.rest), cap(p.rest))
	}
}

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/client"
	"github.com/barrage-im/barrage/protocol/client/clienttest"
	"github.com/barrage-im/barrage/protocol/wire"
)

// serve puts the in-memory service behind a real TCP port.
func serve(t *testing.T, service *clienttest.Server) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			nc, err := listener.Accept()
			if err != nil {
				return
			}
			session, err := service.Dial(context.Background(), "tcp://edge")
			if err != nil {
				nc.Close()
				continue
			}
			all.Go(func() { fromClient(nc, session) })
			all.Go(func() { toClient(nc, session) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		all.Wait()
	})
	return "tcp://" + listener.Addr().String()
}

func fromClient(nc net.Conn, session client.Conn) {
	defer session.Close()
	var pending []byte
	buffer := make([]byte, 64<<10)
	for {
		n, err := nc.Read(buffer)
		if err != nil {
			return
		}
		pending = append(pending, buffer[:n]...)
		whole := len(pending)
		for rest := pending; ; {
			frame, after, err := protocol.NextFrame(rest, protocol.MaxClientFrame)
			if err != nil {
				return
			}
			if frame == nil {
				whole -= len(rest)
				break
			}
			rest = after
		}
		if session.WriteFrames(bytes.Clone(pending[:whole])) != nil {
			return
		}
		pending = append([]byte(nil), pending[whole:]...)
	}
}

func toClient(nc net.Conn, session client.Conn) {
	defer nc.Close()
	for {
		frame, err := session.ReadFrame()
		if err != nil {
			return
		}
		if _, err := nc.Write(protocol.AppendFrame(nil, frame)); err != nil {
			return
		}
	}
}

func bench(t *testing.T, service *clienttest.Server, args string) (Report, error) {
	t.Helper()
	var out bytes.Buffer
	arguments := append(strings.Fields(args), "--server", serve(t, service))
	err := Run(t.Context(), arguments, &out, io.Discard)
	var report Report
	if jerr := json.Unmarshal(out.Bytes(), &report); jerr != nil && (err == nil || errors.Is(err, ErrAccount)) {
		t.Fatalf("report %q: %v", out.String(), jerr)
	}
	return report, err
}

func TestFanoutAccountsForEveryDelivery(t *testing.T) {
	report, err := bench(t, clienttest.New(), "fanout --rooms 3 --members 20 --rate 50 --warmup 600ms --duration 400ms")
	if err != nil {
		t.Fatal(err)
	}
	// 20 members and the publisher of each room.
	if report.Sent == 0 || report.Delivered != report.Sent*21 || report.Expected != report.Delivered {
		t.Errorf("sent %d, delivered %d, expected %d; want 21 deliveries a message", report.Sent, report.Delivered, report.Expected)
	}
	if report.Delivery.Count == 0 || report.Delivery.Count >= report.Delivered {
		t.Errorf("%d latencies of %d deliveries; want all but the warm-up", report.Delivery.Count, report.Delivered)
	}
}

func TestPublishKeepsMessagesOutstanding(t *testing.T) {
	report, err := bench(t, clienttest.New(), "publish --rooms 4 --outstanding 32 --warmup 100ms --duration 300ms")
	if err != nil {
		t.Fatal(err)
	}
	if report.Acknowledged <= 32 || report.Acknowledged != report.Sent || report.AckedPerSecond == 0 {
		t.Errorf("acknowledged %d of %d, %.0f/s", report.Acknowledged, report.Sent, report.AckedPerSecond)
	}
}

func TestPublishersReadBackWhatTheySent(t *testing.T) {
	service := clienttest.New()
	live := 0
	service.Deliver = func(f *wire.ServerFrame) *wire.ServerFrame {
		if f.GetBatch() != nil {
			live++
		}
		return f
	}
	report, err := bench(t, service, "publish --rooms 2 --outstanding 16 --read-back --warmup 0s --duration 300ms")
	if err != nil {
		t.Fatal(err)
	}
	if report.Delivered == 0 || report.Delivered != report.Sent || report.Expected != report.Sent {
		t.Errorf("sent %d, delivered %d, expected %d", report.Sent, report.Delivered, report.Expected)
	}
	if live > 0 || report.Delivery.Count > 0 {
		t.Errorf("%d batches came during the load, %d of them were timed", live, report.Delivery.Count)
	}
}

func TestStormResumesWithoutGap(t *testing.T) {
	report, err := bench(t, clienttest.New(), "storm --members 30 --rate 200 --warmup 100ms --duration 600ms")
	if err != nil {
		t.Fatal(err)
	}
	if report.Storm == nil || report.Storm.Members != 30 || report.Storm.LiveMS <= 0 {
		t.Errorf("storm %+v", report.Storm)
	}
}

// delivers plants a fault in the first n batches.
func delivers(n int, fault func(*wire.Batch)) *clienttest.Server {
	service := clienttest.New()
	batches := 0
	service.Deliver = func(f *wire.ServerFrame) *wire.ServerFrame {
		if f.GetBatch() == nil {
			return f
		}
		if batches++; batches > n {
			return f
		}
		broken, ok := proto.Clone(f).(*wire.ServerFrame)
		if !ok {
			return f
		}
		fault(broken.GetBatch())
		return broken
	}
	return service
}

func TestBrokenServiceFailsTheAccount(t *testing.T) {
	// The first message is spoilt for everybody: for five lean members and for
	// the publisher, whose SDK mends it.
	cases := map[string]struct {
		fault   func(*wire.Batch)
		problem func(Report) uint64
	}{
		"lost":       {func(b *wire.Batch) { b.Messages = nil }, func(r Report) uint64 { return r.Lost }},
		"duplicated": {func(b *wire.Batch) { b.Messages = append(b.Messages, b.Messages[0]) }, func(r Report) uint64 { return r.Duplicated }},
		"hole": {func(b *wire.Batch) { b.Messages[0].Seq += 5 }, func(r Report) uint64 {
			return r.Gaps
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			report, err := bench(t, delivers(6, c.fault), "fanout --members 5 --rate 100 --warmup 100ms --duration 300ms --drain 300ms")
			if !errors.Is(err, ErrAccount) {
				t.Fatalf("error %v; want %v", err, ErrAccount)
			}
			if c.problem(report) == 0 || report.AccountCloses {
				t.Errorf("the report does not show it: %+v", report.Account)
			}
		})
	}
}

func TestRefusalsAreAccountedFor(t *testing.T) {
	service := clienttest.New()
	n := 0
	service.Command = func(_ string, f *wire.ClientFrame) *wire.ServerFrame {
		if f.GetPublish() == nil {
			return nil
		}
		if n++; n%2 != 0 {
			return nil
		}
		return clienttest.Refusal(protocol.Errorf(protocol.Forbidden, "every other"))
	}
	report, err := bench(t, service, "publish --rooms 1 --outstanding 1 --warmup 0s --duration 200ms")
	if err != nil {
		t.Fatal(err)
	}
	if report.Refused == 0 || report.Refusals["forbidden"] != report.Refused || report.Sent != report.Acknowledged+report.Refused {
		t.Errorf("sent %d, acknowledged %d, refused %d as %v", report.Sent, report.Acknowledged, report.Refused, report.Refusals)
	}
}

func TestIdleNeedsNoPublisher(t *testing.T) {
	service := clienttest.New()
	r, err := newRun(mustParse(t, "idle --members 50 --duration 1ms --server "+serve(t, service)), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	if err := r.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(service.Connections()); n != 50 {
		t.Errorf("%d connections; want 50", n)
	}
}

func mustParse(t *testing.T, args string) options {
	t.Helper()
	opt, err := parse(strings.Fields(args), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return opt
}

func TestUsage(t *testing.T) {
	for args, want := range map[string]string{
		"":                               "choose fanout",
		"fly":                            "choose fanout",
		"fanout --rate 0":                "--rate",
		"fanout --size 10":               "--size",
		"fanout --server http://x":       "begin with ws://",
		"fanout extra":                   "not a flag",
		"fanout --server-pid x":          "--server-pid",
		"fanout --token a --token-key b": "give one of them",
		"publish --publishers 0":         "--publishers",
		"fanout --read-back":             "--read-back",
		"fanout --duration " + strconv.Quote("x"): "invalid value",
	} {
		_, err := parse(strings.Fields(args), io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("bench %s: %v; want an error about %s", args, err, want)
		}
	}
	if opt := mustParse(t, "fanout --server ws://h:1"); opt.servers[0].Path != "/v1/ws" {
		t.Errorf("path %q; want the default", opt.servers[0].Path)
	}
	if opt := mustParse(t, "idle"); opt.publishers != 0 || opt.duration != 10*time.Second {
		t.Errorf("idle: %+v", opt)
	}
}

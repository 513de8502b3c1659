package e2e

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
	"github.com/barrage-im/barrage/protocol/token"
	"github.com/barrage-im/barrage/protocol/transport"
	"github.com/barrage-im/barrage/protocol/wire"
)

// abuses are by users with a good token, but for the first ones.
var abuses = []attack{
	{"B43 tokens that are none", 6, "barrage_auth_refused_total", badTokens},
	{"B43 a token of 1 MiB", 1, closedAs("too_large"), func(t *testing.T, g *target, _ attack) {
		s := dialSocket(t, g.tcp)
		go s.put(command(1, &wire.ClientFrame{Command: &wire.ClientFrame_Connect{Connect: &wire.Connect{Token: strings.Repeat("x", 1<<20)}}}))
		s.closes(protocol.CloseTooLarge)
	}},
	{"B48 rooms of others", 5, refusedAs("forbidden"), roomsOfOthers},
	{"B51 one user twice", 0, "barrage_edge_connects_total", oneUserTwice},
	{"B53 one key a thousand times", 0, "barrage_edge_published_total", oneKey},
	{"B54 one key for two messages", 1, refusedAs("key_conflict"), func(t *testing.T, g *target, _ attack) {
		c := g.caller(t, 0, "fickle")
		first := c.call(publishFrame("keys", "k", "one")).GetPublished()
		if e := refused(t, "another message", c.call(publishFrame("keys", "k", "two")), protocol.KeyConflict); e.GetSeq() != first.GetSeq() || first.GetSeq() == 0 {
			t.Errorf("%v after %v", e, first)
		}
	}},
	{"B55 keys that are none", 4, refusedAs("bad_key"), func(t *testing.T, g *target, _ attack) {
		c := g.caller(t, 0, "keyless")
		for _, key := range []string{"", strings.Repeat("k", protocol.MaxKey+1), "a b", "é"} {
			refused(t, fmt.Sprintf("key %.10q", key), c.call(publishFrame("keys", key, "text")), protocol.BadKey)
		}
		if f := c.call(publishFrame("keys", strings.Repeat("k", protocol.MaxKey), "text")); f.GetPublished() == nil {
			t.Errorf("the longest key: %v", f)
		}
	}},
	{"B56 sizes", 1, refusedAs("too_large"), func(t *testing.T, g *target, _ attack) {
		c := g.caller(t, 0, "sizes")
		refused(t, "nothing", c.call(publishFrame("sizes", "0", "")), protocol.BadArgument)
		for i, size := range []int{1, protocol.MaxMessage} {
			if f := c.call(publishFrame("sizes", fmt.Sprint("k", i), strings.Repeat("x", size))); f.GetPublished() == nil {
				t.Errorf("%d bytes: %v", size, f)
			}
		}
		refused(t, "one byte too many", c.call(publishFrame("sizes", "k2", strings.Repeat("x", protocol.MaxMessage+1))), protocol.TooLarge)
	}},
	{"B57 a crowd in one room", 10, refusedAs("rate_limited"), crowd},
	{"B60 time by the client", 0, "barrage_edge_published_total", timeByTheClient},
	{"B62 history that is not there", 4, refusedAs(""), historyThatIsNotThere},
	{"B63 a thousand pages at once", 900, refusedAs("rate_limited"), func(t *testing.T, g *target, _ attack) {
		c := g.caller(t, 0, "reader")
		c.call(publishFrame("read", "k", "text"))
		for range 1000 {
			c.send(historyFrame(&wire.History{Room: "read", Limit: protocol.MaxHistory}))
		}
		pages := 0
		for range 1000 {
			switch f := c.read(); {
			case f.GetMessages() != nil:
				pages++
			case f.GetError().GetCode() != uint32(protocol.RateLimited) || f.GetError().GetRetryAfterMs() == 0:
				t.Fatalf("got %v", f)
			}
		}
		if pages == 0 {
			t.Error("not one page")
		}
	}},
	{"B65 joining and leaving", 1, refusedAs("rate_limited"), joinAndLeave},
	{"B65 rooms without end", 1, refusedAs("too_many_rooms"), func(t *testing.T, g *target, _ attack) {
		c := g.caller(t, 0, "collector")
		for i := range protocol.MaxRooms {
			if f := c.call(joinFrame(fmt.Sprint("collected-", i))); f.GetJoined() == nil {
				t.Fatalf("room %d: %v", i, f)
			}
		}
		refused(t, "one room too many", c.call(joinFrame("one-more")), protocol.TooManyRooms)
	}},
	{"B12 names that are none", 8, refusedAs("bad_room"), func(t *testing.T, g *target, _ attack) {
		c := g.caller(t, 0, "namer")
		for _, room := range []string{"", "../etc", "a*", "a>b", "a\x00b", "%2e", "e\u0301clair", strings.Repeat("x", protocol.MaxRoomName+1)} {
			refused(t, fmt.Sprintf("room %.20q", room), c.call(joinFrame(room)), protocol.BadRoom)
		}
	}},
	{"B6 a command of the future", 0, "barrage_edge_connects_total", func(t *testing.T, g *target, _ attack) {
		s := dialSocket(t, g.tcp)
		s.connect(g, "futurist")
		s.put([]byte{5, 0x08, 7, 0xa2, 0x06, 0})
		refused(t, "field 100", s.next(), protocol.Unsupported)
		s.put(command(8, pingFrame()))
		if f := s.next(); f.GetPong() == nil {
			t.Errorf("the connection did not go on: %v", f)
		}
	}},
	{"B80 lines and escapes", 0, "barrage_edge_connects_total", linesAndEscapes},
}

func refusedAs(name string) string {
	if name == "" {
		return "barrage_edge_refused_total"
	}
	return fmt.Sprintf(`barrage_edge_refused_total{reason=%q}`, name)
}

// Whatever users try beyond what they may, each gets an answer that says what
// is wrong, and nobody else notices.
func TestHostileUsers(t *testing.T) {
	t.Parallel() // with the other hostile tests, each with a target of its own
	g := startTarget(t)
	g.setPolicies(t,
		&rpc.Policy{Pattern: "crowded", PublishRate: 20, PublishBurst: 20, UserRate: 1000, UserBurst: 1000},
		&rpc.Policy{Pattern: "short", RetainMessages: 5, UserRate: 1000, UserBurst: 1000},
		&rpc.Policy{
			Pattern: "*", RetainMessages: 10_000, RetainBytes: 4 << 20, RetainAgeMs: 24 * 3600 * 1000, MessageBytes: protocol.MaxMessage,
			PublishRate: 100_000, PublishBurst: 100_000, UserRate: 100_000, UserBurst: 100_000,
		})
	everybody := g.startBystander(t)
	release := guardMemory(t, g.edges[0])
	for _, a := range abuses {
		t.Run(a.name, a.test(g))
	}
	release(0)
	everybody.end(t)
	t.Run("B81 what metrics do not hold", func(t *testing.T) { metricsAreBounded(t, g) })
	t.Run("B82 what the public port does not serve", func(t *testing.T) { publicPort(t, g) })
	if n := metric(t, g.edges[0], "barrage_edge_session_panics_total"); n != 0 {
		t.Errorf("%v panics", n)
	}
}

func badTokens(t *testing.T, g *target, _ attack) {
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	claims := func(change func(*token.Claims)) token.Claims {
		c := token.Claims{Rooms: []token.Grant{{Pattern: "*", Role: protocol.RoleMember}}}
		c.Subject, c.ExpiresAt = "mallory", numericDate(time.Now().Add(time.Hour))
		change(&c)
		return c
	}
	same := func(*token.Claims) {}
	sign := func(method jwt.SigningMethod, key any, c token.Claims) string {
		raw, err := jwt.NewWithClaims(method, c).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	good := sign(jwt.SigningMethodEdDSA, g.key, claims(same))
	_, rest, _ := strings.Cut(good, ".")
	for name, c := range map[string]struct {
		raw  string
		want protocol.Code
	}{
		"alg none":            {sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims(same)), protocol.CloseUnauthenticated},
		"alg nOnE":            {base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"nOnE"}`)) + "." + rest, protocol.CloseUnauthenticated},
		"HS256 by public key": {sign(jwt.SigningMethodHS256, g.publicKey, claims(same)), protocol.CloseUnauthenticated},
		"another key":         {sign(jwt.SigningMethodEdDSA, stranger, claims(same)), protocol.CloseUnauthenticated},
		"extra dots":          {good + "..", protocol.CloseUnauthenticated},
		"nbf in an hour": {sign(jwt.SigningMethodEdDSA, g.key, claims(func(c *token.Claims) {
			c.NotBefore = numericDate(time.Now().Add(time.Hour))
		})), protocol.CloseUnauthenticated},
		"expired": {sign(jwt.SigningMethodEdDSA, g.key, claims(func(c *token.Claims) {
			c.ExpiresAt = numericDate(time.Now().Add(-time.Hour))
		})), protocol.CloseTokenExpired},
	} {
		_, f := dialCaller(t, g.endpoints[0], &wire.ClientFrame{Command: &wire.ClientFrame_Connect{Connect: &wire.Connect{Token: c.raw}}})
		if got := protocol.Code(f.GetClose().GetCode()); got != c.want {
			t.Errorf("%s: %v, want %v", name, f, c.want)
		}
	}
}

func roomsOfOthers(t *testing.T, g *target, _ attack) {
	raw, err := token.Sign(token.Claims{
		RegisteredClaims: jwt.RegisteredClaims{Subject: "tenant-a.ann", ExpiresAt: numericDate(time.Now().Add(time.Hour))},
		Rooms:            []token.Grant{{Pattern: "tenant-a.*", Verbs: []string{token.Join}}},
	}, token.EdDSA, g.key, "")
	if err != nil {
		t.Fatal(err)
	}
	c, _ := dialCaller(t, g.endpoints[0], &wire.ClientFrame{Command: &wire.ClientFrame_Connect{Connect: &wire.Connect{Token: raw}}})
	if f := c.call(joinFrame("tenant-a.lobby")); f.GetJoined() == nil {
		t.Errorf("her own room: %v", f)
	}
	refused(t, "join elsewhere", c.call(joinFrame("tenant-b.lobby")), protocol.Forbidden)
	refused(t, "publish with a token for reading", c.call(publishFrame("tenant-a.lobby", "k", "text")), protocol.Forbidden)
	refused(t, "history elsewhere", c.call(historyFrame(&wire.History{Room: "tenant-b.lobby"})), protocol.Forbidden)
	refused(t, "history at home", c.call(historyFrame(&wire.History{Room: "tenant-a.lobby"})), protocol.Forbidden)
	refused(t, "members elsewhere", c.call(membersFrame("tenant-b.lobby")), protocol.Forbidden)
}

func historyFrame(h *wire.History) *wire.ClientFrame {
	return &wire.ClientFrame{Command: &wire.ClientFrame_History{History: h}}
}

func membersFrame(room string) *wire.ClientFrame {
	return &wire.ClientFrame{Command: &wire.ClientFrame_Members{Members: &wire.Members{Room: room}}}
}

// oneUserTwice: the sessions of a user are independent of one another; the user
// is in the room as long as one of them is.
func oneUserTwice(t *testing.T, g *target, _ attack) {
	watcher := g.caller(t, 0, "watcher")
	watcher.call(joinFrame("twins"))
	var both [2]*caller
	var racing sync.WaitGroup
	for i := range both {
		racing.Go(func() {
			both[i] = g.caller(t, 2*i, "twin")
			if f := both[i].call(joinFrame("twins")); f.GetJoined() == nil {
				t.Errorf("session %d: %v", i, f)
			}
		})
	}
	racing.Wait()
	sessions := func(want uint32) {
		t.Helper()
		for deadline := time.Now().Add(outlast); ; {
			page := watcher.call(membersFrame("twins")).GetMembers()
			at := slices.IndexFunc(page.GetMembers(), func(m *wire.Member) bool { return m.GetUser() == "twin" })
			if at >= 0 && page.GetMembers()[at].GetSessions() == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%v, want %d sessions of the twin", page, want)
			}
			<-time.After(250 * time.Millisecond) // pages have a budget
		}
	}
	sessions(2)
	_ = both[1].conn.Close()
	sessions(1)
	if f := both[0].call(publishFrame("twins", "k", "still here")); f.GetPublished() == nil {
		t.Errorf("the other session: %v", f)
	}
}

// oneKey: many copies of one publish, over many connections of two edges.
func oneKey(t *testing.T, g *target, _ attack) {
	const connections, each = 8, 125
	var mu sync.Mutex // guards the two below
	seqs, firsts := map[uint64]int{}, 0
	var all sync.WaitGroup
	for i := range connections {
		c := g.caller(t, i%len(g.endpoints), "repeater")
		all.Go(func() {
			for range each {
				c.send(publishFrame("once", "the-key", "the same"))
			}
			for range each {
				p := c.read().GetPublished()
				mu.Lock()
				if seqs[p.GetSeq()]++; !p.GetDuplicate() {
					firsts++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(seqs) != 1 || seqs[1] != connections*each || firsts != 1 {
		t.Errorf("answers by seq: %v, %d of them as the first", seqs, firsts)
	}
	c := g.caller(t, 0, "repeater")
	if page := c.call(historyFrame(&wire.History{Room: "once"})).GetMessages(); len(page.GetMessages()) != 1 {
		t.Errorf("history: %v", page)
	}
}

// crowd: everybody publishes to one room at once. What the room takes stays in
// each publisher's order, the rest is told to wait.
func crowd(t *testing.T, g *target, _ attack) {
	const users, each = 20, 20
	var mu sync.Mutex // guards taken
	taken := 0
	var all sync.WaitGroup
	for i := range users {
		c := g.caller(t, i%2, fmt.Sprint("fan-", i))
		all.Go(func() {
			for n := range each {
				c.send(publishFrame("crowded", fmt.Sprint("k", n), "text"))
			}
			last := uint64(0)
			for range each {
				f := c.read()
				if p := f.GetPublished(); p != nil {
					mu.Lock()
					taken++
					mu.Unlock()
					if p.GetSeq() <= last {
						t.Errorf("seq %d came after %d", p.GetSeq(), last)
					}
					last = p.GetSeq()
					continue
				}
				switch e := f.GetError(); protocol.Code(e.GetCode()) {
				case protocol.RateLimited:
					if e.GetRetryAfterMs() == 0 || !e.GetTemporary() {
						t.Errorf("got %v", e)
					}
				case protocol.OutOfOrder: // behind one that was refused
				default:
					t.Errorf("got %v", f)
				}
			}
		})
	}
	began := time.Now()
	all.Wait()
	if most := 20 + int(20*time.Since(began).Seconds()) + 20; taken > most || taken == 0 {
		t.Errorf("%d messages were taken, at most %d should be", taken, most)
	}
}

// timeByTheClient: no command carries a time that orders or keeps anything.
func timeByTheClient(t *testing.T, g *target, _ attack) {
	fields := (&wire.Publish{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if name := string(fields.Get(i).Name()); strings.Contains(name, "time") && name != "timeout_ms" {
			t.Errorf("publish has a field %s", name)
		}
	}
	conn, err := transport.Dial(t.Context(), g.endpoints[0], transport.DialOptions{Encoding: transport.JSON})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(outlast))
	raw, err := g.token("traveller")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range []string{
		fmt.Sprintf(`{"id":1,"connect":{"token":%q}}`, raw),
		`{"id":2,"publish":{"room":"time","key":"k1","text":"hi","time_ms":-62135596800000}}`,
		`{"id":3,"publish":{"room":"time","key":"k2","text":"hi","time_ms":253402300799000,"seq":99}}`,
	} {
		if err := conn.WriteFrames([]byte(line + "\n")); err != nil {
			t.Fatal(err)
		}
		b, err := conn.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		f, err := protocol.DecodeServer(protocol.JSON, b)
		if err != nil {
			t.Fatal(err)
		}
		if p := f.GetPublished(); i > 0 && (p.GetSeq() != uint64(i) || time.Since(time.UnixMilli(p.GetTimeMs())).Abs() > time.Minute) {
			t.Errorf("published %v", f)
		}
	}
}

func historyThatIsNotThere(t *testing.T, g *target, _ attack) {
	c := g.caller(t, 0, "historian")
	var epoch string
	for i := range 20 {
		epoch = c.call(publishFrame("short", fmt.Sprint("k", i), "text")).GetPublished().GetEpoch()
	}
	read := func(h *wire.History) *wire.ServerFrame {
		h.Room = "short"
		return c.call(historyFrame(h))
	}
	if e := refused(t, "the last of all", read(&wire.History{From: 1<<64 - 1}), protocol.Future); e.GetHead() != 20 {
		t.Errorf("future: %v", e)
	}
	if e := refused(t, "what was trimmed", read(&wire.History{From: 1}), protocol.Trimmed); e.GetFirst() != 16 {
		t.Errorf("trimmed: %v", e)
	}
	if e := refused(t, "another epoch", read(&wire.History{Epoch: "zz"}), protocol.EpochChanged); e.GetEpoch() != epoch {
		t.Errorf("epoch changed: %v, is %s", e, epoch)
	}
	refused(t, "10^9 messages", read(&wire.History{Limit: 1_000_000_000}), protocol.BadArgument)
	if page := read(&wire.History{}).GetMessages(); len(page.GetMessages()) != 5 {
		t.Errorf("no limit: %v", page)
	}
	// To resume from there is told, never skipped in silence.
	join := func(since uint64, epoch string) *wire.Joined {
		t.Helper()
		f := c.call(&wire.ClientFrame{Command: &wire.ClientFrame_Join{Join: &wire.Join{Room: "short", Since: proto.Uint64(since), Epoch: epoch}}})
		c.call(&wire.ClientFrame{Command: &wire.ClientFrame_Leave{Leave: &wire.Leave{Room: "short"}}})
		return f.GetJoined()
	}
	if j := join(2, epoch); j.GetRecovered() || j.GetGap().GetFirst() != 3 || j.GetGap().GetLast() != 15 {
		t.Errorf("resume from what was trimmed: %v", j)
	}
	if j := join(2, "zz"); j.GetRecovered() || j.GetGap().GetReason() != "epoch" {
		t.Errorf("resume from another epoch: %v", j)
	}
}

// joinAndLeave: what core is told of it is coalesced, whatever comes.
func joinAndLeave(t *testing.T, g *target, _ attack) {
	const times = 700
	commands := metric(t, g.edges[0], "barrage_edge_lane_commands_total")
	c := g.caller(t, 1, "restless")
	go func() {
		for range times {
			c.send(joinFrame("revolving"))
			c.send(&wire.ClientFrame{Command: &wire.ClientFrame_Leave{Leave: &wire.Leave{Room: "revolving"}}})
		}
	}()
	joined := 0
	for answers := 0; answers < 2*times; {
		f := c.read()
		if f.GetId() == 0 {
			continue
		}
		answers++
		switch e := f.GetError(); {
		case f.GetJoined() != nil:
			joined++
		case e != nil && !slices.Contains([]protocol.Code{protocol.RateLimited, protocol.NotJoined, protocol.AlreadyJoined}, protocol.Code(e.GetCode())):
			t.Fatalf("got %v", f)
		}
	}
	t.Logf("%d joins were taken", joined)
	if joined == 0 {
		t.Errorf("%d of %d joins were taken", joined, times)
	}
	// The bystanders' messages are commands too.
	if grown := metric(t, g.edges[0], "barrage_edge_lane_commands_total") - commands; grown > times/2 {
		t.Errorf("%v commands went to core for %d joins", grown, joined)
	} else {
		t.Logf("%v commands went to core", grown)
	}
}

// linesAndEscapes: nothing that users say breaks a line of the log, and neither
// messages nor tokens are in it.
func linesAndEscapes(t *testing.T, g *target, _ attack) {
	const forged = "x\nlevel=ERROR msg=\"forged record\"\r\x1b[31m%n\u202e"
	raw, err := g.token("scribbler")
	if err != nil {
		t.Fatal(err)
	}
	c, f := dialCaller(t, g.endpoints[0], &wire.ClientFrame{Command: &wire.ClientFrame_Connect{Connect: &wire.Connect{
		Token: raw, Client: forged, Network: forged, Resume: forged,
	}}})
	if f.GetConnected() == nil {
		t.Fatalf("connect: %v", f)
	}
	c.call(joinFrame(forged))
	c.call(publishFrame(forged, forged, forged))
	c.call(publishFrame("scribbles", "k", "a secret message "+forged))
	dialCaller(t, g.endpoints[0], &wire.ClientFrame{Command: &wire.ClientFrame_Connect{Connect: &wire.Connect{Token: "wrong-token-" + forged}}})
	for _, p := range g.all() {
		log, err := os.ReadFile(p.logs)
		if err != nil {
			t.Fatal(err)
		}
		for what, secret := range map[string]string{
			"a forged record": "\nlevel=ERROR msg=\"forged", "an escape": "\x1b", "a direction override": "\u202e",
			"a message": "a secret message", "a token": raw[len(raw)-40:], "a wrong token": "wrong-token",
		} {
			if bytes.Contains(log, []byte(secret)) {
				t.Errorf("the log of %s holds %s", p.name, what)
			}
		}
	}
}

// metricsAreBounded: after all of the above no user, room or key is a label.
func metricsAreBounded(t *testing.T, g *target) {
	for _, p := range g.all() {
		text := page(t, p, "/metrics")
		if n := strings.Count(text, "\n"); n > 1000 {
			t.Errorf("%s has %d lines of metrics", p.name, n)
		}
		for _, name := range []string{"calm", "crowded", "collected", "fan-", "mallory", "tenant", "127.0.0.1"} {
			if strings.Contains(text, name) {
				t.Errorf("the metrics of %s name %q", p.name, name)
			}
		}
	}
}

func publicPort(t *testing.T, g *target) {
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/heap", "/debug/vars", "/healthz", "/readyz", "/"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+g.http+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("%s is answered by %s", path, res.Status)
		}
	}
}

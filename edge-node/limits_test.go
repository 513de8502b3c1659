package edgenode

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
	"github.com/barrage-im/barrage/protocol/token"
	"github.com/barrage-im/barrage/protocol/wire"
)

// signer makes tokens and the configuration that trusts them.
func signer(t *testing.T) (sign func(user string, life time.Duration, grants ...token.Grant) string, trust func(*Config)) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	sign = func(user string, life time.Duration, grants ...token.Grant) string {
		raw, err := token.Sign(token.Claims{
			RegisteredClaims: jwt.RegisteredClaims{Subject: user, ExpiresAt: jwt.NewNumericDate(time.Now().Add(life))},
			Rooms:            grants,
		}, token.EdDSA, private, "")
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	return sign, func(c *Config) { c.Anonymous, c.Auth.Keys, c.Auth.Leeway = false, []string{"EdDSA:" + path}, 0 }
}

func connect(raw string) *wire.ClientFrame {
	return &wire.ClientFrame{Command: &wire.ClientFrame_Connect{Connect: &wire.Connect{Token: raw}}}
}

func refused(t *testing.T, f *wire.ServerFrame, want protocol.Code) {
	t.Helper()
	if got := protocol.Code(f.GetError().GetCode()); got != want {
		t.Errorf("got %v, want %v", f, want)
	}
}

func TestClaimsAndPolicyDecideWhatIsAllowed(t *testing.T) {
	core := startCore(t)
	sign, trust := signer(t)
	e := startEdge(t, core, trust)
	c := dial(t, e, "ws-json")
	c.call(connect(sign("ann", time.Hour, token.Grant{Pattern: "open-*", Verbs: []string{token.Join}})))
	c.join("open-1")
	refused(t, c.call(publish("open-1", "k", "text")), protocol.Forbidden)
	refused(t, c.call(&wire.ClientFrame{Command: &wire.ClientFrame_Join{Join: &wire.Join{Room: "closed"}}}), protocol.Forbidden)
	refused(t, c.call(&wire.ClientFrame{Command: &wire.ClientFrame_History{History: &wire.History{Room: "open-1"}}}), protocol.Forbidden)

	core.Policy(func(p *rpc.Policy) { p.Verbs = []string{token.Publish} })
	d := dial(t, startEdge(t, core, trust, func(c *Config) { c.Name = "edge-2" }), "tcp")
	d.call(connect(sign("ben", time.Hour, token.Grant{Pattern: "*", Verbs: []string{token.Join}})))
	d.join("open-2")
	if f := d.call(publish("open-2", "k", "text")); f.GetPublished() == nil {
		t.Errorf("the policy allows publish: %v", f)
	}
}

func TestBadTokensAreClosedWithTheirCode(t *testing.T) {
	sign, trust := signer(t)
	e := startEdge(t, startCore(t), trust)
	foreign, _ := signer(t)
	for name, test := range map[string]struct {
		raw  string
		want protocol.Code
	}{
		"none":    {"", protocol.CloseUnauthenticated},
		"noise":   {"noise", protocol.CloseUnauthenticated},
		"foreign": {foreign("ann", time.Hour), protocol.CloseUnauthenticated},
		"name":    {"anonymous:ann", protocol.CloseUnauthenticated},
		"expired": {sign("ann", -time.Hour), protocol.CloseTokenExpired},
	} {
		c := dial(t, e, "ws-proto")
		c.send(connect(test.raw))
		if got := c.closed(); protocol.Code(got.GetCode()) != test.want {
			t.Errorf("%s: closed with %v, want %v", name, got, test.want)
		}
	}
}

func TestTokenEndsUnlessRefreshed(t *testing.T) {
	t.Parallel()
	sign, trust := signer(t)
	e := startEdge(t, startCore(t), trust, func(c *Config) { c.Limits.ExpiryGrace = time.Millisecond })
	kept, lost := dial(t, e, "tcp"), dial(t, e, "tcp")
	for _, c := range []*peer{kept, lost} {
		if f := c.call(connect(sign("ann", 2*time.Second))); f.GetConnected().GetExpiresMs() == 0 {
			t.Fatalf("connect: %v", f)
		}
	}
	f := kept.call(&wire.ClientFrame{Command: &wire.ClientFrame_Refresh{Refresh: &wire.Refresh{Token: sign("ann", time.Hour)}}})
	if f.GetRefreshed() == nil {
		t.Fatalf("refresh: %v", f)
	}
	refused(t, kept.call(&wire.ClientFrame{Command: &wire.ClientFrame_Refresh{Refresh: &wire.Refresh{Token: sign("ben", time.Hour)}}}), protocol.TokenInvalid)
	got := lost.closed()
	if protocol.Code(got.GetCode()) != protocol.CloseTokenExpired || got.GetReconnect() == nil {
		t.Errorf("closed with %v", got)
	}
	if f := kept.call(&wire.ClientFrame{Command: &wire.ClientFrame_Ping{Ping: &wire.Ping{}}}); f.GetPong() == nil {
		t.Errorf("ping: %v", f)
	}
}

func TestConnectComesFirstAndOnce(t *testing.T) {
	e := startEdge(t, startCore(t))
	early := dial(t, e, "ws-json")
	early.send(publish("lobby", "k", "text"))
	if got := early.closed(); protocol.Code(got.GetCode()) != protocol.CloseNotConnected {
		t.Errorf("closed with %v", got)
	}
	c := enter(t, e, "tcp", "ann")
	refused(t, c.call(connect("anonymous:ann")), protocol.AlreadyConnected)
	newer := dial(t, e, "tcp")
	f := connect("anonymous:ann")
	f.GetConnect().Version = 2
	newer.send(f)
	if got := newer.closed(); protocol.Code(got.GetCode()) != protocol.CloseVersion {
		t.Errorf("closed with %v", got)
	}
}

func TestBadCommandsAreRefusedWithTheirCode(t *testing.T) {
	c := enter(t, startEdge(t, startCore(t), func(c *Config) { c.Limits.Rooms = 2 }), "ws-json", "ann")
	join := func(room string, change ...func(*wire.Join)) *wire.ServerFrame {
		j := &wire.Join{Room: room}
		for _, f := range change {
			f(j)
		}
		return c.call(&wire.ClientFrame{Command: &wire.ClientFrame_Join{Join: j}})
	}
	c.join("one")
	refused(t, join("one"), protocol.AlreadyJoined)
	c.join("two")
	refused(t, join("three"), protocol.TooManyRooms)
	refused(t, join("no room"), protocol.BadRoom)
	refused(t, join("x", func(j *wire.Join) { j.Recent = 10_000 }), protocol.BadArgument)
	refused(t, join("x", since("NOT", 1)), protocol.BadArgument)
	refused(t, c.call(publish("one", "", "text")), protocol.BadKey)
	refused(t, c.call(publish("one", "k", "")), protocol.BadArgument)
	refused(t, c.call(publish("one", "k", strings.Repeat("x", 4097))), protocol.TooLarge)
	late := publish("one", "k", "text")
	late.GetPublish().TimeoutMs = 1 << 20
	refused(t, c.call(late), protocol.BadArgument)
	refused(t, c.call(&wire.ClientFrame{Command: &wire.ClientFrame_Leave{Leave: &wire.Leave{Room: "elsewhere"}}}), protocol.NotJoined)
	refused(t, c.call(&wire.ClientFrame{Command: &wire.ClientFrame_History{History: &wire.History{Room: "one", Limit: 5000}}}), protocol.BadArgument)
	refused(t, c.call(&wire.ClientFrame{Command: &wire.ClientFrame_Members{Members: &wire.Members{Room: "one", Limit: 5000}}}), protocol.BadArgument)
}

func TestNoiseClosesOnlyItsOwnConnection(t *testing.T) {
	e := startEdge(t, startCore(t))
	good, bad := enter(t, e, "tcp", "good"), enter(t, e, "tcp", "bad")
	if err := bad.conn.WriteFrames(protocol.AppendFrame(nil, []byte("\xff\xff\xff"))); err != nil {
		t.Fatal(err)
	}
	if got := bad.closed(); protocol.Code(got.GetCode()) != protocol.CloseMalformed {
		t.Errorf("closed with %v", got)
	}
	good.join("lobby")
}

func TestRatesSlowDown(t *testing.T) {
	core := startCore(t)
	core.Policy(func(p *rpc.Policy) { p.UserRate, p.UserBurst = 1, 2 })
	core.Append("lobby", "first")
	c := enter(t, startEdge(t, core), "tcp", "ann")
	c.join("lobby")
	for i := range 2 {
		c.call(publish("lobby", fmt.Sprint("k", i), "text"))
	}
	f := c.call(publish("lobby", "k2", "text"))
	refused(t, f, protocol.RateLimited)
	if wait := f.GetError().GetRetryAfterMs(); wait == 0 || wait > 1000 {
		t.Errorf("retry after %d ms", wait)
	}
	core.Policy(func(p *rpc.Policy) { p.UserRate, p.UserBurst, p.SlowModeMs = 1000, 1000, 60_000 })
	d := enter(t, startEdge(t, core, func(c *Config) { c.Name = "edge-2" }), "tcp", "ben")
	if j := d.join("lobby"); j.GetState().GetSlowModeMs() != 60_000 {
		t.Errorf("joined %v", j)
	}
	d.call(publish("lobby", "b0", "text"))
	refused(t, d.call(publish("lobby", "b1", "text")), protocol.SlowMode)
}

// B8: frames above the rate wait with the client and are all answered; others
// do not wait for them.
func TestFramesAboveTheRateWait(t *testing.T) {
	t.Parallel()
	e := startEdge(t, startCore(t), func(c *Config) { c.Limits.FrameRate, c.Limits.FrameBurst = 500, 50 })
	for _, format := range []string{"tcp", "ws-json"} {
		c, other := dial(t, e, format), enter(t, e, format, "ben")
		if l := c.call(connect("anonymous:ann")).GetConnected().GetLimits(); l.GetFrameRate() != 500 || l.GetFrameBurst() != 50 {
			t.Errorf("%s: told %v", format, l)
		}
		began := time.Now()
		var last uint64
		for range 550 {
			last = c.send(&wire.ClientFrame{Command: &wire.ClientFrame_Ping{Ping: &wire.Ping{}}})
		}
		if other.call(&wire.ClientFrame{Command: &wire.ClientFrame_Ping{Ping: &wire.Ping{}}}); time.Since(began) > 500*time.Millisecond {
			t.Errorf("%s: another client was answered after %v", format, time.Since(began))
		}
		if c.reply(last).GetPong() == nil || time.Since(began) < 700*time.Millisecond {
			t.Errorf("%s: 500 frames above the burst took %v at 500 per second", format, time.Since(began))
		}
	}
}

func TestJoinsCostMoreThanOtherFrames(t *testing.T) {
	c := enter(t, startEdge(t, startCore(t), func(c *Config) { c.Limits.FrameRate, c.Limits.FrameBurst = 1, 30 }), "tcp", "ann")
	refusals := 0
	for i := range 6 {
		f := c.call(&wire.ClientFrame{Command: &wire.ClientFrame_Join{Join: &wire.Join{Room: fmt.Sprint("room-", i)}}})
		if f.GetJoined() == nil {
			refused(t, f, protocol.RateLimited)
			refusals++
		}
	}
	if refusals == 0 {
		t.Error("nothing was refused")
	}
}

func TestFullEdgeNamesOthers(t *testing.T) {
	core := startCore(t)
	e := startEdge(t, core, func(c *Config) { c.Limits.MaxConnections = 1 })
	core.PutEdge(&rpc.Edge{Incarnation: 7, Name: "edge-2", Region: "eu", Endpoints: []string{"ws://other.example"}})
	eventually(t, "the other edge is known", func() bool { return len(e.sessions.Elsewhere()) == 1 })
	enter(t, e, "tcp", "ann")
	late := dial(t, e, "ws-json")
	got := late.closed()
	if protocol.Code(got.GetCode()) != protocol.CloseEdgeFull || len(got.GetReconnect().GetEndpoints()) != 1 || got.GetReconnect().GetWaitMaxMs() == 0 {
		t.Errorf("closed with %v", got)
	}
}

func TestUserConnectionsAreLimited(t *testing.T) {
	t.Parallel()
	e := startEdge(t, startCore(t), func(c *Config) { c.Limits.PerUser = 1 })
	first := enter(t, e, "tcp", "ann")
	second := dial(t, e, "tcp")
	second.send(connect("anonymous:ann"))
	if got := second.closed(); protocol.Code(got.GetCode()) != protocol.CloseUserConnections {
		t.Errorf("closed with %v", got)
	}
	_ = first.conn.Close()
	eventually(t, "the place is given back", func() bool { return e.Sessions() == 0 })
	enter(t, e, "tcp", "ann")
}

func TestSilentClientIsAskedThenClosed(t *testing.T) {
	t.Parallel()
	e := startEdge(t, startCore(t), func(c *Config) { c.Limits.Heartbeat, c.Limits.HeartbeatTimeout = time.Second, time.Second })
	answers, mute := enter(t, e, "tcp", "answers"), enter(t, e, "ws-json", "mute")
	mute.ignore()
	answers.wait("heartbeat", func(f *wire.ServerFrame) bool { return f.GetHeartbeat() != nil })
	if got := mute.closed(); protocol.Code(got.GetCode()) != protocol.CloseHeartbeat {
		t.Errorf("closed with %v", got)
	}
	if f := answers.call(&wire.ClientFrame{Command: &wire.ClientFrame_Ping{Ping: &wire.Ping{}}}); f.GetPong() == nil {
		t.Errorf("ping: %v", f)
	}
}

func TestDrainAsksThenCloses(t *testing.T) {
	t.Parallel()
	core := startCore(t)
	e := startEdge(t, core, func(c *Config) { c.Drain = 300 * time.Millisecond })
	core.PutEdge(&rpc.Edge{Incarnation: 7, Name: "edge-2", Region: "eu", Endpoints: []string{"ws://other.example"}})
	eventually(t, "the other edge is known", func() bool { return len(e.sessions.Elsewhere()) == 1 })
	var all []*peer
	for i := range 10 {
		all = append(all, enter(t, e, "ws-proto", fmt.Sprint("user-", i)))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.Drain(context.Background())
	}()
	id := all[0].send(publish("lobby", "k", "in flight"))
	if all[0].reply(id).GetPublished() == nil {
		t.Error("a publish during the drain was not answered")
	}
	for _, c := range all {
		f := c.wait("reconnect", func(f *wire.ServerFrame) bool { return f.GetReconnect() != nil }).GetReconnect()
		if len(f.GetEndpoints()) != 1 || f.GetWaitMaxMs() == 0 {
			t.Errorf("asked with %v", f)
		}
		got := c.closed()
		if protocol.Code(got.GetCode()) != protocol.CloseDraining || got.GetReconnect() == nil {
			t.Errorf("closed with %v", got)
		}
	}
	<-done
	if e.Sessions() != 0 {
		t.Errorf("%d sessions after the drain", e.Sessions())
	}
	eventually(t, "core knows that the edge drains", func() bool { return core.Edge(e.core.Incarnation()).GetDraining() })
}

func TestHurriedDrainEndsAtOnce(t *testing.T) {
	e := startEdge(t, startCore(t), func(c *Config) { c.Drain = time.Hour })
	c := enter(t, e, "tcp", "ann")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	e.Drain(ctx)
	if got := c.closed(); protocol.Code(got.GetCode()) != protocol.CloseDraining {
		t.Errorf("closed with %v", got)
	}
}

func TestAnonymousOnlyOnLoopback(t *testing.T) {
	cfg := Default()
	cfg.Anonymous = true
	for address, fine := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true, ":1": false, "0.0.0.0:1": false, "192.0.2.1:1": false, "edge.example:1": false} {
		cfg.Listen = Listen{HTTP: address}
		if err := cfg.Validate(); (err == nil) != fine {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestRunServesUntilItsContextEnds(t *testing.T) {
	core := startCore(t)
	cfg := Default()
	cfg.Core, cfg.Anonymous, cfg.Drain = []string{core.Address()}, true, time.Millisecond
	cfg.TLS, cfg.Listen, cfg.Ops.Listen = filepath.Join(t.TempDir(), "none"), Listen{HTTP: "127.0.0.1:0"}, "off"
	var out bytes.Buffer
	if err := Run(t.Context(), cfg, &out); err == nil || !strings.Contains(err.Error(), "barrage cert") {
		t.Errorf("without certificates: %v", err)
	}
}

package e2e

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"

	"github.com/barrage-im/barrage/protocol/pki"
	"github.com/barrage-im/barrage/protocol/rpc"
)

const alpnRaft = "barrage-raft/1"

// Whoever comes to a core node's port without proof of who it is, or speaks
// what its role may not, is turned away and counted; the room goes on.
func TestHostilePeers(t *testing.T) {
	t.Parallel() // with the other hostile tests, each with a target of its own
	g := startTarget(t)
	generous(t, g)
	core := g.cores[0]
	everybody := g.startBystander(t)
	release := guardMemory(t, core)
	own := func(role pki.Role, name string, alpn ...string) *tls.Config {
		return issue(t, g.ca, role, name, "").ClientConfig(pki.Core, alpn...)
	}
	change := func(c *tls.Config, f func(*tls.Config)) *tls.Config { f(c); return c }
	foreign, err := pki.NewCA("e2e", time.Now()) // the same name, another key
	if err != nil {
		t.Fatal(err)
	}
	other, err := pki.NewCA("elsewhere", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	trusting := func(c *tls.Config) { c.InsecureSkipVerify, c.VerifyConnection = true, nil }
	strangers := []struct {
		name   string
		config *tls.Config // nil: no TLS
		send   string
		reason string // of the refusal; empty: refused behind the door
	}{
		{"B72 random bytes", nil, random(t), "handshake"},
		{"B72 HTTP", nil, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "handshake"},
		{"B28 TLS 1.1", change(own(pki.Edge, "e1", "h2"), func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }), "", "handshake"},
		{"B28 TLS 1.2", change(own(pki.Edge, "e1", "h2"), func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }), "", "handshake"},
		{"B28 no certificate", &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}, "", "handshake"},
		{"B28 a foreign certificate", change(issue(t, foreign, pki.Core, "c1", "").ClientConfig(pki.Core, "h2"), trusting), "", "handshake"},
		{"B28 a certificate of another cluster", change(issue(t, other, pki.Core, "c1", "").ClientConfig(pki.Core, "h2"), trusting), "", "handshake"},
		{"B72 a foreign certificate that speaks raft", change(issue(t, foreign, pki.Core, "c2", "").ClientConfig(pki.Core, alpnRaft), trusting), "\x01\x00", "handshake"},
		{"B72 an edge that speaks raft", own(pki.Edge, "e1", alpnRaft), "\x01\x00", "role"},
		{"B72 an operator that speaks raft", own(pki.Operator, "op", alpnRaft), "\x01\x00", "role"},
		{"B28 no protocol", own(pki.Edge, "e1"), "x", "protocol"},
		{"B72 raft of an unknown shard", own(pki.Core, "c9", alpnRaft), "\xff\xff\x03", ""},
		{"B72 raft that is none", own(pki.Core, "c9", alpnRaft), "\x01" + random(t), ""},
		{"B72 HTTP inside raft", own(pki.Core, "c9", alpnRaft), "\x01GET / HTTP/1.1\r\n\r\n", ""},
		{"B72 noise inside HTTP/2", own(pki.Edge, "e1", "h2"), random(t), ""},
	}
	refused := func(reason string) float64 {
		return metric(t, core, fmt.Sprintf(`barrage_core_connections_refused_total{reason=%q}`, reason))
	}
	for _, s := range strangers {
		t.Run(s.name, func(t *testing.T) {
			before := refused(s.reason)
			raw := dialSocket(t, g.addresses[0])
			var conn io.ReadWriter = raw
			if s.config != nil {
				conn = tls.Client(raw, s.config)
			}
			_, _ = io.WriteString(conn, s.send) // it may be closed already
			if back, err := io.ReadAll(io.LimitReader(conn, 64<<10)); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Fatalf("the connection stays open: %v, %q", err, back)
			}
			if s.reason != "" && refused(s.reason) <= before {
				t.Errorf("not counted as %s", s.reason)
			}
		})
	}
	t.Run("B26 silence", func(t *testing.T) {
		var all []*socket
		for range 40 {
			all = append(all, dialSocket(t, g.addresses[0]))
		}
		if err := g.ask(t.Context(), func(ctx context.Context, op rpc.OperatorClient) error {
			_, err := op.ClusterStatus(ctx, &rpc.StatusRequest{})
			return err
		}); err != nil {
			t.Errorf("an operator while they wait: %v", err)
		}
		for _, s := range all {
			if back := s.all(); back != "" {
				t.Errorf("answered %q", back)
			}
		}
	})
	t.Run("B70 calls", func(t *testing.T) { badCalls(t, g, own(pki.Edge, "e1", "h2")) })
	release(60)
	everybody.end(t)
	log := core.tail(1_000_000)
	if strings.Contains(log, "panic") {
		t.Error("the log of the core holds a panic")
	}
}

func random(t *testing.T) string {
	t.Helper()
	b := make([]byte, 4096)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// badCalls come from somebody with a good certificate.
func badCalls(t *testing.T, g *target, config *tls.Config) {
	conn, err := grpc.NewClient("passthrough:///"+g.addresses[0], grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	core := rpc.NewCoreClient(conn)
	large := &rpc.HeadRequest{Room: strings.Repeat("x", 64<<20)}
	for name, c := range map[string]struct {
		call func() error
		want []codes.Code
	}{
		"a compressed bomb": {func() error {
			_, err := core.Head(t.Context(), large, grpc.UseCompressor(gzip.Name))
			return err
		}, []codes.Code{codes.Unimplemented, codes.ResourceExhausted}},
		"64 MiB": {func() error {
			_, err := core.Head(t.Context(), large)
			return err
		}, []codes.Code{codes.ResourceExhausted}},
		"an operator's call": {func() error {
			_, err := rpc.NewOperatorClient(conn).ClusterStatus(t.Context(), &rpc.StatusRequest{})
			return err
		}, []codes.Code{codes.PermissionDenied}},
		"a peer's call": {func() error {
			_, err := rpc.NewPeerClient(conn).Status(t.Context(), &rpc.StatusRequest{})
			return err
		}, []codes.Code{codes.PermissionDenied}},
		"reflection": {func() error {
			return conn.Invoke(t.Context(), "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &rpc.StatusRequest{}, &rpc.StatusRequest{})
		}, []codes.Code{codes.Unimplemented, codes.PermissionDenied}},
	} {
		if err := c.call(); !slices.Contains(c.want, status.Code(err)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if denied := metric(t, g.cores[0], "barrage_core_calls_denied_total"); denied < 2 {
		t.Errorf("%v calls counted as denied", denied)
	}
}

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/barrage-im/barrage/protocol/client"
	"github.com/barrage-im/barrage/protocol/pki"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// A target is what hostile clients are let loose on: one core and two edges,
// as an operator would start them, with short patience for stuck writers.
type target struct {
	*cluster
	ca                    *pki.CA
	http, https, tcp, tls string // listeners of the first edge
	roots                 *x509.CertPool
	publicKey             []byte // of the tokens, PEM
}

const (
	writeStall = 3 * time.Second
	// perOffender is what an edge may hold for one hostile connection, and
	// workingMemory what it may need besides, garbage included: the attacks
	// together announce, or would be sent, many times as much.
	perOffender   = 64 << 10
	workingMemory = 128 << 20
)

func startTarget(t *testing.T) *target {
	t.Helper()
	if testing.Short() {
		t.Skip("starts three processes")
	}
	bin, dir := barrage(t, ""), t.TempDir()
	ca, err := pki.NewCA("e2e", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	g := &target{cluster: &cluster{operatorDir: filepath.Join(dir, "operator")}, ca: ca}
	g.operator = issue(t, ca, pki.Operator, "tester", g.operatorDir)
	keyFile := g.newKey(t, dir)
	if g.publicKey, err = os.ReadFile(keyFile); err != nil {
		t.Fatal(err)
	}
	ports := freePorts(t, 10)
	next := func() string {
		p := ports[0]
		ports = ports[1:]
		return fmt.Sprintf("127.0.0.1:%d", p)
	}
	core, ops, tlsDir := next(), next(), filepath.Join(dir, "core-tls")
	issue(t, ca, pki.Core, "c1", tlsDir)
	g.addresses = []string{core}
	g.cores = []*process{newProcess(t, "c1", bin, ops, "core", "--node", "c1", "--listen", core, "--data", filepath.Join(dir, "c1"),
		"--tls", tlsDir, "--ops-listen", ops, "--bootstrap", "--log-level", "debug")}
	g.http, g.tcp, g.https, g.tls = next(), next(), next(), next()
	cert, key := g.certificate(t, dir)
	g.edge(t, bin, dir, keyFile, next(), "--listen-http", g.http, "--listen-tcp", g.tcp,
		"--listen-https", g.https, "--listen-tcps", g.tls, "--listen-cert", cert, "--listen-key", key)
	http2, tcp2 := next(), next()
	g.edge(t, bin, dir, keyFile, next(), "--listen-http", http2, "--listen-tcp", tcp2)
	g.endpoints = []string{"ws://" + g.http + "/v1/ws", "tcp://" + g.tcp, "ws://" + http2 + "/v1/ws", "tcp://" + tcp2}
	for _, p := range g.all() {
		if err := p.start(); err != nil {
			t.Fatal(err)
		}
	}
	g.waitReady(t, g.all()...)
	return g
}

func (g *target) edge(t *testing.T, bin, dir, keyFile, ops string, args ...string) {
	name := fmt.Sprintf("e%d", len(g.edges)+1)
	tlsDir := filepath.Join(dir, name+"-tls")
	issue(t, g.ca, pki.Edge, name, tlsDir)
	g.edges = append(g.edges, newProcess(t, name, bin, ops, slices.Concat([]string{
		"edge-node", "--name", name, "--core", g.addresses[0], "--tls", tlsDir, "--ops-listen", ops, "--log-level", "debug",
		"--auth-keys", "EdDSA:" + keyFile, "--limits-per-user", "100", "--drain", "500ms", "--write-stall", writeStall.String(),
	}, args)...))
}

// certificate makes a self-signed one for clients to see.
func (g *target) certificate(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	g.roots = x509.NewCertPool()
	g.roots.AddCert(parsed)
	cert, key = filepath.Join(dir, "public.crt"), filepath.Join(dir, "public.key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// setPolicies replaces the room policies and waits until the edges follow them.
func (g *target) setPolicies(t *testing.T, policies ...*rpc.Policy) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), settle)
	defer cancel()
	g.eventually(t, ctx, "set the policies", func() error {
		return g.ask(ctx, func(ctx context.Context, op rpc.OperatorClient) error {
			now, err := op.GetPolicies(ctx, &rpc.StatusRequest{})
			if err != nil {
				return err
			}
			res, err := op.SetPolicies(ctx, &rpc.PutPolicies{Expect: now.GetVersion(), Policies: policies})
			if err == nil && res.GetCode() != 0 {
				err = errors.New(res.GetMessage())
			}
			return err
		})
	})
}

// metric adds the samples of a process whose line begins with prefix: a name,
// or a name with some labels.
func metric(t *testing.T, p *process, prefix string) (sum float64) {
	t.Helper()
	for line := range strings.Lines(page(t, p, "/metrics")) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || !strings.HasPrefix(name, prefix) {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		sum += v
	}
	return sum
}

func page(t *testing.T, p *process, path string) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.get(t.Context(), path, &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// resident is the resident memory of a process, in bytes.
func resident(t *testing.T, p *process) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid()))
	if err != nil {
		t.Skipf("no /proc to read memory from: %v", err)
	}
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// guardMemory checks until the returned function is called that the process
// stays within what so many offenders may take.
func guardMemory(t *testing.T, p *process) (release func(offenders int)) {
	t.Helper()
	before := resident(t, p)
	peak, done := before, make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if p.running() {
					peak = max(peak, resident(t, p))
				}
			}
		}
	})
	return func(offenders int) {
		t.Helper()
		close(done)
		watching.Wait()
		bound := before + int64(offenders)*perOffender + workingMemory
		t.Logf("%s: %d MiB resident before, at most %d MiB with %d offenders", p.name, before>>20, peak>>20, offenders)
		if peak > bound {
			t.Errorf("%s grew to %d MiB, allowed are %d", p.name, peak>>20, bound>>20)
		}
	}
}

// A bystander is two well-behaved clients of the attacked edge, in a room of
// their own, who talk all the time.
type bystander struct {
	stop chan struct{}
	done chan struct{}

	mu     sync.Mutex // guards the fields below
	joins  int        // of the listener: 1 unless it lost its connection
	heard  []uint64
	gaps   []client.Gap
	waits  []time.Duration // from publish to delivery
	broken error
}

// calm is how long a message of a bystander may take, on a machine with two
// processors on which everything else happens too.
const calm = 2 * time.Second

func (g *target) startBystander(t *testing.T) *bystander {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), settle)
	defer cancel()
	b := &bystander{stop: make(chan struct{}), done: make(chan struct{})}
	join := func(name string, endpoint int, events client.Events) *client.Room {
		c, err := client.Dial(ctx, client.Config{
			Endpoints: g.endpoints[endpoint : endpoint+1],
			Token:     func(context.Context) (string, error) { return g.token(name) },
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		room, err := c.Join(ctx, "calm", client.JoinOptions{}, events)
		if err != nil {
			t.Fatal(err)
		}
		return room
	}
	arrived := make(chan uint64, 1000)
	join("listener", 0, client.Events{
		OnMessages: func(list []client.Message) {
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, m := range list {
				b.heard = append(b.heard, m.Seq)
				arrived <- m.Seq
			}
		},
		OnGap: func(gap client.Gap) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.gaps = append(b.gaps, gap)
		},
		OnState: func(s client.RoomState) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if s.Joined {
				b.joins++
			}
		},
	})
	speaker := join("speaker", 1, client.Events{})
	go b.talk(speaker, arrived)
	return b
}

func (b *bystander) talk(speaker *client.Room, arrived <-chan uint64) {
	defer close(b.done)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-b.stop:
			return
		case <-tick.C:
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), settle)
		ack, err := speaker.Publish(ctx, client.Message{Text: "all is well"})
		for seq := uint64(0); err == nil && seq < ack.Seq; {
			select {
			case seq = <-arrived:
			case <-ctx.Done():
				err = fmt.Errorf("message %d was acknowledged and did not arrive", ack.Seq)
			}
		}
		cancel()
		b.mu.Lock()
		b.waits = append(b.waits, time.Since(began))
		b.broken = errors.Join(b.broken, err)
		b.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// end checks that nobody has noticed anything.
func (b *bystander) end(t *testing.T) {
	t.Helper()
	close(b.stop)
	<-b.done
	b.mu.Lock()
	defer b.mu.Unlock()
	slices.Sort(b.waits)
	n := len(b.waits)
	if n == 0 || b.broken != nil {
		t.Fatalf("the bystanders could not talk: %d messages, %v", n, b.broken)
	}
	t.Logf("bystanders: %d messages, half within %v, 99 %% within %v, all within %v", n, b.waits[n/2], b.waits[n*99/100], b.waits[n-1])
	if p99 := b.waits[n*99/100]; p99 > calm {
		t.Errorf("one of a hundred messages took more than %v", p99)
	}
	if b.joins != 1 || len(b.gaps) > 0 {
		t.Errorf("the listener joined %d times, gaps %v", b.joins, b.gaps)
	}
	for i := 1; i < len(b.heard); i++ {
		if b.heard[i] != b.heard[i-1]+1 {
			t.Fatalf("message %d came after %d", b.heard[i], b.heard[i-1])
		}
	}
}

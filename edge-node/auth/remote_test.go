package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/token"
)

// provider is an identity provider on loopback whose answers a test chooses.
type provider struct {
	*httptest.Server
	fetched chan struct{} // one for each request, before it is answered

	mu     sync.Mutex // guards answer
	answer http.HandlerFunc
}

func newProvider(t *testing.T, answer http.HandlerFunc) *provider {
	t.Helper()
	p := &provider{fetched: make(chan struct{}, 100), answer: answer}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.fetched <- struct{}{}
		p.mu.Lock()
		answer := p.answer
		p.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *provider) set(answer http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

func fails(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }

// keySet encodes public keys by id.
func keySet(t testing.TB, pairs map[string]pair) []byte {
	t.Helper()
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	b64 := base64.RawURLEncoding.EncodeToString
	for id, p := range pairs {
		j := map[string]string{"kid": id, "use": "sig", "alg": p.algorithm}
		switch k := p.private.(type) {
		case ed25519.PrivateKey:
			j["kty"], j["crv"], j["x"] = "OKP", "Ed25519", b64(k.Public().(ed25519.PublicKey))
		case *ecdsa.PrivateKey:
			point, err := k.PublicKey.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			j["kty"], j["crv"], j["x"], j["y"] = "EC", "P-256", b64(point[1:33]), b64(point[33:])
		case *rsa.PrivateKey:
			j["kty"], j["n"], j["e"] = "RSA", b64(k.N.Bytes()), b64(big.NewInt(int64(k.E)).Bytes())
		case []byte:
			j["kty"], j["k"] = "oct", b64(k)
		}
		set.Keys = append(set.Keys, j)
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func serve(text []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(text) }
}

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex // guards at
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func remoteVerifier(t *testing.T, now func() time.Time, urls ...string) *Verifier {
	t.Helper()
	cfg := Default()
	for i, u := range urls {
		cfg.Issuers = append(cfg.Issuers, Issuer{Issuer: fmt.Sprintf("https://issuer-%d", i), JWKSURL: u})
	}
	v, err := newVerifier(cfg, discard, now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

// by signs for an issuer and a year, so that moving the clock ends no token.
func (p pair) by(t *testing.T, issuer int, id string) string {
	c := claims()
	c.Issuer = fmt.Sprintf("https://issuer-%d", issuer)
	c.ExpiresAt = jwt.NewNumericDate(noon.Add(365 * 24 * time.Hour))
	return p.sign(t, c, id)
}

func (p *provider) fetches() int { return len(p.fetched) }

func TestKeysOfEveryKindAreFetched(t *testing.T) {
	pairs := map[string]pair{}
	for _, a := range []string{token.EdDSA, token.ES256, token.RS256} {
		pairs[a] = newPair(t, a)
	}
	secret := newPair(t, token.HS256)
	all := map[string]pair{"secret": secret}
	for id, p := range pairs {
		all[id] = p
	}
	p := newProvider(t, serve(keySet(t, all)))
	v := remoteVerifier(t, func() time.Time { return noon }, p.URL)
	for id, k := range pairs {
		if _, err := v.Verify(t.Context(), k.by(t, 0, id)); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	if _, err := v.Verify(t.Context(), secret.by(t, 0, "secret")); err == nil {
		t.Error("a secret from a URL was used")
	}
}

// B45: two issuers use the same key id for different keys, and the second even
// publishes the first one's URL's id.
func TestSameKeyIDUnderTwoIssuers(t *testing.T) {
	a, b := newPair(t, token.EdDSA), newPair(t, token.EdDSA)
	pa, pb := newProvider(t, serve(keySet(t, map[string]pair{"k": a}))), newProvider(t, serve(keySet(t, map[string]pair{"k": b})))
	v := remoteVerifier(t, func() time.Time { return noon }, pa.URL, pb.URL)
	for _, c := range []struct {
		key    pair
		issuer int
		ok     bool
	}{{a, 0, true}, {b, 1, true}, {a, 1, false}, {b, 0, false}} {
		if _, err := v.Verify(t.Context(), c.key.by(t, c.issuer, "k")); (err == nil) != c.ok {
			t.Errorf("issuer %d: %v", c.issuer, err)
		}
	}
}

// B46: any number of unknown key ids causes one fetch in ten seconds.
func TestUnknownKeyIDsCauseFewFetches(t *testing.T) {
	known, stranger := newPair(t, token.EdDSA), newPair(t, token.EdDSA)
	p := newProvider(t, serve(keySet(t, map[string]pair{"k": known})))
	c := &clock{at: noon}
	v := remoteVerifier(t, c.now, p.URL)
	if _, err := v.Verify(t.Context(), known.by(t, 0, "k")); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		_, err := v.Verify(t.Context(), stranger.by(t, 0, fmt.Sprint("x", i)))
		if codeOf(err) != protocol.CloseOverloaded {
			t.Fatalf("right after a fetch: %v", err)
		}
	}
	if n := p.fetches(); n != 1 {
		t.Errorf("%d fetches, want the first only", n)
	}
	c.advance(minFetchGap)
	for range 50 {
		if _, err := v.Verify(t.Context(), stranger.by(t, 0, "x")); codeOf(err) != protocol.CloseUnauthenticated {
			t.Fatalf("after a fetch that did not bring it: %v", err)
		}
		c.advance(time.Second)
	}
	if n := p.fetches(); n != 2 {
		t.Errorf("%d fetches, want 2: the key id is known to be unknown", n)
	}
	for i := range 5000 {
		r := v.issuers["https://issuer-0"].remote
		r.mu.Lock()
		r.remember(fmt.Sprint(i))
		r.mu.Unlock()
	}
	if n := len(v.issuers["https://issuer-0"].remote.unknown); n > maxUnknown {
		t.Errorf("%d unknown key ids are remembered", n)
	}
}

func TestNewKeyIsFoundWhenATokenNeedsIt(t *testing.T) {
	old, next := newPair(t, token.EdDSA), newPair(t, token.EdDSA)
	p := newProvider(t, serve(keySet(t, map[string]pair{"old": old})))
	c := &clock{at: noon}
	v := remoteVerifier(t, c.now, p.URL)
	if _, err := v.Verify(t.Context(), old.by(t, 0, "old")); err != nil {
		t.Fatal(err)
	}
	p.set(serve(keySet(t, map[string]pair{"next": next})))
	c.advance(minFetchGap)
	var all sync.WaitGroup
	for range 20 {
		raw := next.by(t, 0, "next")
		all.Go(func() {
			if _, err := v.Verify(t.Context(), raw); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := p.fetches(); n != 2 {
		t.Errorf("%d fetches for twenty waiting clients, want 2 in all", n)
	}
	c.advance(minFetchGap)
	if _, err := v.Verify(t.Context(), old.by(t, 0, "old")); codeOf(err) != protocol.CloseUnauthenticated {
		t.Errorf("the withdrawn key: %v", err)
	}
}

// B46: an outage of the provider locks nobody out until the keys are too old.
func TestStaleKeysServeThroughAnOutage(t *testing.T) {
	k := newPair(t, token.EdDSA)
	p := newProvider(t, serve(keySet(t, map[string]pair{"k": k})))
	c := &clock{at: noon}
	v := remoteVerifier(t, c.now, p.URL)
	if _, err := v.Verify(t.Context(), k.by(t, 0, "k")); err != nil {
		t.Fatal(err)
	}
	p.set(fails)
	c.advance(defaultMaxAge - time.Second)
	if _, err := v.Verify(t.Context(), k.by(t, 0, "k")); err != nil {
		t.Errorf("within the age: %v", err)
	}
	if _, err := v.Verify(t.Context(), k.by(t, 0, "new")); codeOf(err) != protocol.CloseOverloaded {
		t.Errorf("a key that cannot be asked for: %v", err)
	}
	c.advance(time.Second)
	var refused *protocol.Error
	_, err := v.Verify(t.Context(), k.by(t, 0, "k"))
	if codeOf(err) != protocol.CloseOverloaded {
		t.Fatalf("beyond the age: %v", err)
	}
	if refused, _ = err.(*protocol.Error); refused.RetryAfter <= 0 { //nolint:errorlint // Verify returns it as it is
		t.Errorf("no wait is named: %v", refused)
	}
	p.set(serve(keySet(t, map[string]pair{"k": k})))
	c.advance(minFetchGap)
	if _, err := v.Verify(t.Context(), k.by(t, 0, "k")); err != nil {
		t.Errorf("after the outage: %v", err)
	}
}

func TestWaitingEndsWithTheCaller(t *testing.T) {
	release := make(chan struct{})
	p := newProvider(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	v := remoteVerifier(t, func() time.Time { return noon }, p.URL)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := v.Verify(ctx, newPair(t, token.EdDSA).by(t, 0, "k")); codeOf(err) != protocol.CloseOverloaded {
		t.Errorf("got %v", err)
	}
}

// B44: what a provider may answer with is bounded, and it cannot send us on.
func TestHostileProviders(t *testing.T) {
	good := keySet(t, map[string]pair{"k": newPair(t, token.EdDSA)})
	reached := make(chan struct{}, 1)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reached <- struct{}{}
		_, _ = w.Write(good)
	}))
	defer elsewhere.Close()
	many := map[string]pair{}
	k := newPair(t, token.EdDSA)
	for i := range maxKeys + 1 {
		many[fmt.Sprint(i)] = k
	}
	for name, answer := range map[string]http.HandlerFunc{
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		},
		"too large": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `{"pad":"%s","keys":[]}`, strings.Repeat("x", maxSetBytes))
		},
		"not JSON":    serve([]byte("<html>")),
		"no keys":     serve([]byte(`{"keys":[]}`)),
		"many keys":   serve(keySet(t, many)),
		"500":         fails,
		"wrong curve": serve([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}]}`)),
	} {
		p := newProvider(t, answer)
		f, err := newFetcher(p.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if keys, _, err := f.get(t.Context()); err == nil {
			t.Errorf("%s: got %d keys", name, len(keys))
		}
	}
	select {
	case <-reached:
		t.Error("a redirect was followed")
	default:
	}
}

// B44: a public name that resolves to an address inside is refused when
// connecting.
func TestAddressesThatAreNotConnectedTo(t *testing.T) {
	public, err := newFetcher("https://id.example.com/keys", nil)
	if err != nil {
		t.Fatal(err)
	}
	local, err := newFetcher("http://localhost:1/keys", nil)
	if err != nil {
		t.Fatal(err)
	}
	inside, err := newFetcher("https://id.auth.svc/keys", []string{"10.96.0.0/12", "169.254.20.10"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		f       *fetcher
		address string
		ok      bool
	}{
		{public, "93.184.216.34:443", true},
		{public, "[2606:2800:220:1::1]:443", true},
		{public, "127.0.0.1:443", false},
		{public, "[::1]:443", false},
		{public, "[::ffff:127.0.0.1]:443", false},
		{public, "169.254.169.254:80", false},
		{public, "[::ffff:169.254.169.254]:80", false},
		{public, "[fe80::1%eth0]:443", false},
		{public, "[fd00:ec2::254]:80", false},
		{public, "100.100.100.200:80", false},
		{public, "168.63.129.16:80", false},
		{public, "10.0.0.1:443", false},
		{public, "172.16.0.1:443", false},
		{public, "192.168.1.1:443", false},
		{public, "100.64.0.1:443", false},
		{public, "0.0.0.0:443", false},
		{public, "224.0.0.1:443", false},
		{local, "127.0.0.1:80", true},
		{local, "169.254.169.254:80", false},
		{inside, "10.97.0.1:443", true},
		{inside, "10.0.0.1:443", false},
		{inside, "169.254.20.10:443", true},
		{inside, "169.254.169.254:80", false},
	} {
		if err := c.f.control("tcp", c.address, nil); (err == nil) != c.ok {
			t.Errorf("%s → %s: %v", c.f.url, c.address, err)
		}
	}
}

func TestURLsThatAreRefused(t *testing.T) {
	for _, u := range []string{
		"", "keys", "http://id.example.com/keys", "ftp://id.example.com", "https://user:pw@id.example.com", "file:///etc/passwd",
		"http://127.0.0.1.example.com/", "http://10.0.0.1/",
	} {
		if _, err := newFetcher(u, nil); err == nil {
			t.Errorf("%q is taken", u)
		}
	}
	if _, err := newFetcher("https://x", []string{"everywhere"}); err == nil {
		t.Error("a network that is none is taken")
	}
}

func FuzzKeySet(f *testing.F) {
	f.Add(string(keySet(f, map[string]pair{"k": newPair(f, token.EdDSA), "r": newPair(f, token.RS256), "h": newPair(f, token.HS256)})))
	f.Add(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		keys, _, err := parseSet([]byte(text), false)
		if err == nil && (len(keys) == 0 || len(keys) > maxKeys) {
			t.Errorf("%d keys", len(keys))
		}
		for _, k := range keys {
			if is, err := token.AlgorithmOf(k.material); err != nil || is != k.algorithm {
				t.Errorf("a key for %s is pinned to %s: %v", is, k.algorithm, err)
			}
		}
	})
}

package auth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var discard = slog.New(slog.DiscardHandler)

// pair is a signing key and the files that a test's edge would have.
type pair struct {
	algorithm string
	private   any
	public    []byte // PEM, or the secret
	path      string // file with public
}

func newPair(t testing.TB, algorithm string) pair {
	t.Helper()
	private, public, err := token.NewKey(algorithm)
	if err != nil {
		t.Fatal(err)
	}
	key, is, err := token.ParsePrivate(private)
	if err != nil || is != algorithm {
		t.Fatalf("%s: read back as %s: %v", algorithm, is, err)
	}
	if public == nil {
		public = private
	}
	return pair{algorithm, key, public, file(t, public)}
}

func file(t testing.TB, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// noon is the verifier's clock in these tests.
var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func verifier(t testing.TB, cfg Config) *Verifier {
	t.Helper()
	v, err := newVerifier(cfg, discard, func() time.Time { return noon })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func config(keys ...pair) Config {
	c := Default()
	for _, k := range keys {
		c.Keys = append(c.Keys, k.algorithm+":"+k.path)
	}
	return c
}

// claims that are good at noon.
func claims() token.Claims {
	c := token.Claims{Name: "Ann", Rooms: []token.Grant{{Pattern: "lobby:*", Verbs: []string{token.Join, token.Publish}}}}
	c.Subject = "ann"
	c.ExpiresAt = jwt.NewNumericDate(noon.Add(time.Hour))
	return c
}

func (p pair) sign(t testing.TB, c token.Claims, id string) string {
	t.Helper()
	s, err := token.Sign(c, p.algorithm, p.private, id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// raw signs anything, also what token.Sign refuses.
func (p pair) raw(t testing.TB, header, payload map[string]any) string {
	t.Helper()
	tok := jwt.New(jwt.GetSigningMethod(p.algorithm))
	for k, v := range header {
		tok.Header[k] = v
	}
	tok.Claims = jwt.MapClaims(payload)
	s, err := tok.SignedString(p.private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func codeOf(err error) protocol.Code {
	if e := (*protocol.Error)(nil); errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// counted is how many tokens the verifier refused for a reason.
func counted(t *testing.T, v *Verifier, reason string) float64 {
	t.Helper()
	var m dto.Metric
	if err := v.refused.WithLabelValues(reason).Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

func TestEveryAlgorithmVerifies(t *testing.T) {
	for _, algorithm := range token.Algorithms() {
		p := newPair(t, algorithm)
		got, err := verifier(t, config(p)).Verify(t.Context(), p.sign(t, claims(), "any"))
		if err != nil {
			t.Errorf("%s: %v", algorithm, err)
			continue
		}
		if got.User != "ann" || got.Name != "Ann" || !got.Expires.Equal(noon.Add(time.Hour)) {
			t.Errorf("%s: got %+v", algorithm, got)
		}
	}
}

func TestGrantsAllowByPatternAndVerb(t *testing.T) {
	c := &Claims{Rooms: []token.Grant{
		{Pattern: "lobby:*", Verbs: []string{token.Join}},
		{Pattern: "a*b*c", Verbs: []string{token.Publish, "future-verb"}},
	}}
	for _, x := range []struct {
		verb, room string
		want       bool
	}{
		{token.Join, "lobby:1", true},
		{token.Join, "lobby:", true},
		{token.Join, "lobby", false},
		{token.Join, "xlobby:1", false},
		{token.Publish, "lobby:1", false},
		{token.Publish, "a-b-c", true},
		{token.Publish, "a-b-c-d", false},
		{token.History, "a-b-c", false},
		{"", "lobby:1", false},
	} {
		if got := c.May(x.verb, x.room); got != x.want {
			t.Errorf("May(%q, %q) = %t", x.verb, x.room, got)
		}
	}
}

func part(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps of strings
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// B43: every forged, damaged or wrongly made token is refused, with a reason
// that is counted and a message that does not echo it.
func TestBadTokens(t *testing.T) {
	ed, rs, es, hs := newPair(t, token.EdDSA), newPair(t, token.RS256), newPair(t, token.ES256), newPair(t, token.HS256)
	stranger := newPair(t, token.EdDSA)
	payload := map[string]any{"sub": "mallory", "exp": noon.Add(time.Hour).Unix()}
	with := func(changes map[string]any) map[string]any {
		m := map[string]any{}
		for k, v := range payload {
			m[k] = v
		}
		for k, v := range changes {
			if m[k] = v; v == nil {
				delete(m, k)
			}
		}
		return m
	}
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims(payload)).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	confused := func(key []byte) string {
		s, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims(payload)).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	es384, err := jwt.NewWithClaims(jwt.SigningMethodHS512, jwt.MapClaims(payload)).SignedString(hs.private)
	if err != nil {
		t.Fatal(err)
	}
	good := ed.sign(t, claims(), "")
	alg := func(name string) string { // the good token under another alg
		return part(map[string]string{"alg": name}) + good[strings.Index(good, "."):]
	}
	last := good[len(good)-1]
	flipped := byte('A')
	if good[len(good)-2] == 'A' {
		flipped = 'Q'
	}
	for name, c := range map[string]struct {
		token  string
		reason string
		code   protocol.Code
	}{
		"empty":                        {"", "missing", protocol.CloseUnauthenticated},
		"not a JWT":                    {"hello", "malformed", protocol.CloseUnauthenticated},
		"two parts":                    {"a.b", "malformed", protocol.CloseUnauthenticated},
		"extra dots":                   {good + ".x", "malformed", protocol.CloseUnauthenticated},
		"only dots":                    {strings.Repeat(".", 8000), "malformed", protocol.CloseUnauthenticated},
		"empty parts":                  {"..", "malformed", protocol.CloseUnauthenticated},
		"1 MiB":                        {strings.Repeat("a", 1<<20), "too_large", protocol.CloseUnauthenticated},
		"one byte above the limit":     {strings.Repeat("a", protocol.MaxToken+1), "too_large", protocol.CloseUnauthenticated},
		"not base64":                   {"!!!." + good[strings.Index(good, ".")+1:], "malformed", protocol.CloseUnauthenticated},
		"padding":                      {strings.Replace(good, ".", "=.", 1), "malformed", protocol.CloseUnauthenticated},
		"trailing bits":                {good[:len(good)-1] + string(trailing(last)), "malformed", protocol.CloseUnauthenticated},
		"header is no object":          {part("x") + good[strings.Index(good, "."):], "malformed", protocol.CloseUnauthenticated},
		"alg none":                     {none, "signature", protocol.CloseUnauthenticated},
		"alg None":                     {alg("None"), "algorithm", protocol.CloseUnauthenticated},
		"alg nOnE":                     {alg("nOnE"), "algorithm", protocol.CloseUnauthenticated},
		"alg eddsa":                    {alg("eddsa"), "algorithm", protocol.CloseUnauthenticated},
		"alg EDDSA":                    {alg("EDDSA"), "algorithm", protocol.CloseUnauthenticated},
		"alg hs256":                    {alg("hs256"), "algorithm", protocol.CloseUnauthenticated},
		"alg empty":                    {alg(""), "algorithm", protocol.CloseUnauthenticated},
		"alg missing":                  {part(map[string]string{"typ": "JWT"}) + good[strings.Index(good, "."):], "algorithm", protocol.CloseUnauthenticated},
		"alg a number":                 {part(map[string]int{"alg": 1}) + good[strings.Index(good, "."):], "algorithm", protocol.CloseUnauthenticated},
		"alg not allowed":              {es384, "signature", protocol.CloseUnauthenticated},
		"HS256 with RSA public key":    {confused(rs.public), "signature", protocol.CloseUnauthenticated},
		"HS256 with EC public key":     {confused(es.public), "signature", protocol.CloseUnauthenticated},
		"HS256 with empty key":         {confused([]byte{}), "signature", protocol.CloseUnauthenticated},
		"key of a stranger":            {stranger.raw(t, nil, payload), "signature", protocol.CloseUnauthenticated},
		"signature changed":            {good[:len(good)-2] + string(flipped) + good[len(good)-1:], "signature", protocol.CloseUnauthenticated},
		"signature of another payload": {good[:strings.LastIndex(good, ".")+1] + ed.raw(t, nil, payload)[strings.LastIndex(ed.raw(t, nil, payload), ".")+1:], "signature", protocol.CloseUnauthenticated},
		"crit":                         {ed.raw(t, map[string]any{"crit": []string{"x"}}, payload), "malformed", protocol.CloseUnauthenticated},
		"b64":                          {ed.raw(t, map[string]any{"b64": false}, payload), "malformed", protocol.CloseUnauthenticated},
		"kid a number":                 {ed.raw(t, map[string]any{"kid": 7}, payload), "malformed", protocol.CloseUnauthenticated},
		"kid of 1 KiB":                 {ed.raw(t, map[string]any{"kid": strings.Repeat("k", 1024)}, payload), "unknown_key", protocol.CloseUnauthenticated},
		"issuer steers":                {ed.raw(t, map[string]any{"jku": "http://169.254.169.254/"}, with(map[string]any{"iss": "http://169.254.169.254/"})), "issuer", protocol.CloseUnauthenticated},
		"expired":                      {ed.raw(t, nil, with(map[string]any{"exp": noon.Add(-DefaultLeeway - time.Second).Unix()})), "expired", protocol.CloseTokenExpired},
		"expired long ago":             {ed.raw(t, nil, with(map[string]any{"exp": 1})), "expired", protocol.CloseTokenExpired},
		"exp negative":                 {ed.raw(t, nil, with(map[string]any{"exp": -5})), "expired", protocol.CloseTokenExpired},
		"exp missing":                  {ed.raw(t, nil, with(map[string]any{"exp": nil})), "no_expiry", protocol.CloseUnauthenticated},
		"exp a string":                 {ed.raw(t, nil, with(map[string]any{"exp": "tomorrow"})), "malformed", protocol.CloseUnauthenticated},
		"exp beyond dates":             {ed.raw(t, nil, with(map[string]any{"exp": 1e15})), "claims", protocol.CloseUnauthenticated},
		"nbf in the future":            {ed.raw(t, nil, with(map[string]any{"nbf": noon.Add(DefaultLeeway + time.Second).Unix()})), "not_yet", protocol.CloseUnauthenticated},
		"for somebody else":            {ed.raw(t, nil, with(map[string]any{"aud": "other"})), "audience", protocol.CloseUnauthenticated},
		"no user":                      {ed.raw(t, nil, with(map[string]any{"sub": nil})), "claims", protocol.CloseUnauthenticated},
		"user not a string":            {ed.raw(t, nil, with(map[string]any{"sub": 7})), "malformed", protocol.CloseUnauthenticated},
		"user too long":                {ed.raw(t, nil, with(map[string]any{"sub": strings.Repeat("u", protocol.MaxUser+1)})), "claims", protocol.CloseUnauthenticated},
		"user with newline":            {ed.raw(t, nil, with(map[string]any{"sub": "a\nb"})), "claims", protocol.CloseUnauthenticated},
		"name with escape":             {ed.raw(t, nil, with(map[string]any{"name": "\x1b[31m"})), "claims", protocol.CloseUnauthenticated},
		"name too long":                {ed.raw(t, nil, with(map[string]any{"name": strings.Repeat("n", protocol.MaxName+1)})), "claims", protocol.CloseUnauthenticated},
		"rooms not a list":             {ed.raw(t, nil, with(map[string]any{"rooms": "*"})), "malformed", protocol.CloseUnauthenticated},
		"too many grants":              {ed.raw(t, nil, with(map[string]any{"rooms": make([]token.Grant, token.MaxGrants+1)})), "claims", protocol.CloseUnauthenticated},
		"empty pattern":                {ed.raw(t, nil, with(map[string]any{"rooms": []token.Grant{{}}})), "claims", protocol.CloseUnauthenticated},
		"pattern too long":             {ed.raw(t, nil, with(map[string]any{"rooms": []token.Grant{{Pattern: strings.Repeat("*", protocol.MaxRoomName+1)}}})), "claims", protocol.CloseUnauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			v := verifier(t, config(ed, rs, es, hs))
			got, err := v.Verify(t.Context(), c.token)
			if err == nil {
				t.Fatalf("it was taken as %+v", got)
			}
			if codeOf(err) != c.code {
				t.Errorf("code is %v (%v), want %v", codeOf(err), err, c.code)
			}
			if n := counted(t, v, c.reason); n != 1 {
				t.Errorf("the reason is not %q: %v", c.reason, err)
			}
			for _, p := range strings.Split(c.token, ".") {
				if len(p) > 8 && strings.Contains(err.Error(), p) {
					t.Errorf("the message echoes the token: %v", err)
				}
			}
		})
	}
}

// trailing sets the two unused bits of the last character of an Ed25519
// signature, which a lenient decoder ignores.
func trailing(c byte) byte {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return alphabet[strings.IndexByte(alphabet, c)|1]
}

// B47: the edges of the leeway.
func TestLeeway(t *testing.T) {
	p := newPair(t, token.EdDSA)
	for name, c := range map[string]struct {
		exp, nbf time.Duration
		ok       bool
	}{
		"just inside exp":  {-DefaultLeeway + time.Second, 0, true},
		"at the end":       {-DefaultLeeway, 0, false},
		"nbf at the edge":  {time.Hour, DefaultLeeway, true},
		"nbf just outside": {time.Hour, DefaultLeeway + time.Second, false},
		"five minutes":     {-5 * time.Minute, 0, false},
	} {
		tc := claims()
		tc.ExpiresAt = jwt.NewNumericDate(noon.Add(c.exp))
		tc.NotBefore = jwt.NewNumericDate(noon.Add(c.nbf))
		got, err := verifier(t, config(p)).Verify(t.Context(), p.sign(t, tc, ""))
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && !got.Expires.Equal(tc.ExpiresAt.Time) {
			t.Errorf("%s: expires %v", name, got.Expires)
		}
	}
}

func TestYear9999IsTakenAndNoExpiryOnlyWhenAllowed(t *testing.T) {
	p := newPair(t, token.EdDSA)
	c := claims()
	c.ExpiresAt = jwt.NewNumericDate(time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC))
	if _, err := verifier(t, config(p)).Verify(t.Context(), p.sign(t, c, "")); err != nil {
		t.Errorf("exp in 9999: %v", err)
	}
	c.ExpiresAt = nil
	cfg := config(p)
	cfg.AllowNoExpiry = true
	got, err := verifier(t, cfg).Verify(t.Context(), p.sign(t, c, ""))
	if err != nil || !got.Expires.IsZero() {
		t.Errorf("got %+v, %v", got, err)
	}
}

// B45: what one issuer may sign, another may not, whatever the key id says.
func TestIssuersDoNotShareKeys(t *testing.T) {
	a, b := newPair(t, token.EdDSA), newPair(t, token.EdDSA)
	cfg := Default()
	cfg.Issuers = []Issuer{
		{Issuer: "https://a", Audience: []string{"chat"}, Keys: []string{"EdDSA@k1:" + a.path}},
		{Issuer: "https://b", Keys: []string{"EdDSA@k1:" + b.path}},
	}
	v := verifier(t, cfg)
	sign := func(p pair, issuer, audience, id string) string {
		c := claims()
		c.Issuer = issuer
		if audience != "" {
			c.Audience = []string{audience}
		}
		return p.sign(t, c, id)
	}
	for name, c := range map[string]struct {
		token string
		ok    bool
	}{
		"a by a":               {sign(a, "https://a", "chat", "k1"), true},
		"b by b":               {sign(b, "https://b", "", "k1"), true},
		"a by b":               {sign(b, "https://a", "chat", "k1"), false},
		"b by a":               {sign(a, "https://b", "", "k1"), false},
		"no issuer":            {sign(a, "", "chat", "k1"), false},
		"issuer in capitals":   {sign(a, "HTTPS://A", "chat", "k1"), false},
		"other key id":         {sign(a, "https://a", "chat", "k2"), false},
		"no key id":            {sign(a, "https://a", "chat", ""), true},
		"audience missing":     {sign(a, "https://a", "", "k1"), false},
		"audience wrong":       {sign(a, "https://a", "Chat", "k1"), false},
		"audience unasked for": {sign(b, "https://b", "chat", "k1"), false},
	} {
		if _, err := v.Verify(t.Context(), c.token); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReplyDoesNotEndTheConnection(t *testing.T) {
	for _, c := range []struct{ from, to protocol.Code }{
		{protocol.CloseUnauthenticated, protocol.TokenInvalid},
		{protocol.CloseTokenExpired, protocol.TokenInvalid},
		{protocol.CloseOverloaded, protocol.Unavailable},
	} {
		got := Reply(&protocol.Error{Code: c.from, Message: "m", RetryAfter: 7})
		if got.Code != c.to || got.Message != "m" || got.RetryAfter != 7 {
			t.Errorf("%v became %v", c.from, got)
		}
	}
}

func TestNobodyConfiguredNobodyTaken(t *testing.T) {
	p := newPair(t, token.EdDSA)
	if _, err := verifier(t, Default()).Verify(t.Context(), p.sign(t, claims(), "")); codeOf(err) != protocol.CloseUnauthenticated {
		t.Errorf("got %v", err)
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, algorithm := range token.Algorithms() {
		b.Run(algorithm, func(b *testing.B) {
			p := newPair(b, algorithm)
			v, raw := verifier(b, config(p)), p.sign(b, claims(), "")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func FuzzVerify(f *testing.F) {
	p := newPair(f, token.HS256)
	cfg := config(p)
	v := verifier(f, cfg)
	good := p.sign(f, claims(), "k")
	f.Add(good)
	f.Add(good + ".")
	f.Add(part(map[string]any{"alg": "none"}) + "." + part(map[string]any{"sub": "x"}) + ".")
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := v.Verify(t.Context(), raw)
		if err == nil && raw != good {
			t.Errorf("a forged token was taken as %+v: %q", got, raw)
		}
		if err != nil && codeOf(err) < 4000 {
			t.Errorf("not a close code: %v", err)
		}
	})
}

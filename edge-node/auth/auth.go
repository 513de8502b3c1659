// Package auth decides who a client is: it checks the signature and the claims
// of its token. What the user may then do is in the claims; asking is May.
//
// Keys come from the configuration alone, from files or from one key set URL
// per issuer. Nothing in a token says where to look for a key: its iss selects
// among the configured issuers, its kid among that issuer's keys, and a key is
// used with the one algorithm it is for.
package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/token"
)

// Claims is who a client is and what it may do.
type Claims struct {
	User    string
	Name    string    // display name; may be empty
	Expires time.Time // zero: never
	Rooms   []token.Grant
}

// May reports whether the claims allow the verb on the room. A room's policy
// may allow more.
func (c *Claims) May(verb, room string) bool { return token.May(c.Rooms, verb, room) }

// Role is what the claims make of the user in the room; empty when they say
// nothing of it. A room's policy may make more, or less, of it.
func (c *Claims) Role(room string) string { return token.Role(c.Rooms, room) }

// Verifier checks tokens. Its methods may be called by any goroutine.
type Verifier struct {
	// Set by New, never changed.
	issuers map[string]*issuer // by iss; "" is for tokens without
	parser  *jwt.Parser
	leeway  time.Duration
	now     func() time.Time
	refused *prometheus.CounterVec
}

type issuer struct {
	audience []string
	fixed    []key      // from files
	remote   *remoteSet // nil: none
}

// key checks signatures of one algorithm.
type key struct {
	id        string // kid; empty matches every token of the algorithm
	algorithm string
	material  any
}

// New reads the key files and begins to fetch the key sets. With no issuer
// configured every token is refused.
func New(cfg Config, log *slog.Logger) (*Verifier, error) {
	return newVerifier(cfg, log, time.Now)
}

func newVerifier(cfg Config, log *slog.Logger, now func() time.Time) (*Verifier, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	v := &Verifier{
		issuers: map[string]*issuer{},
		leeway:  cfg.Leeway,
		now:     now,
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "barrage_auth_refused_total",
			Help: "Tokens that were refused, by reason.",
		}, []string{"reason"}),
	}
	options := []jwt.ParserOption{
		jwt.WithValidMethods(token.Algorithms()),
		jwt.WithStrictDecoding(),
		jwt.WithLeeway(cfg.Leeway),
		jwt.WithTimeFunc(now),
	}
	if !cfg.AllowNoExpiry {
		options = append(options, jwt.WithExpirationRequired())
	}
	v.parser = jwt.NewParser(options...)
	all := cfg.all()
	// Files first: a mistake in one must not leave a fetching goroutine behind.
	for _, c := range all {
		fixed, err := c.load(log)
		if err != nil {
			return nil, err
		}
		v.issuers[c.Issuer] = &issuer{audience: c.Audience, fixed: fixed}
	}
	for _, c := range all {
		if c.JWKSURL == "" {
			continue
		}
		f, err := newFetcher(c.JWKSURL, c.JWKSAllow)
		if err != nil { // Validate has looked at both
			v.Close()
			return nil, err
		}
		v.issuers[c.Issuer].remote = startRemote(f, c.refresh(), c.maxAge(), now, log)
	}
	return v, nil
}

// Collector gives the verifier's metrics, to be registered by the process.
func (v *Verifier) Collector() prometheus.Collector { return v.refused }

// Leeway is how long after a token's expiry its session may go on: the clocks of
// issuer and edge may be that far apart.
func (v *Verifier) Leeway() time.Duration { return v.leeway }

// Close stops the fetching of key sets and waits for it.
func (v *Verifier) Close() {
	for _, i := range v.issuers {
		if i.remote != nil {
			i.remote.close()
		}
	}
}

// A refusal is why a token is no good: its reason labels the counter.
type refusal struct {
	reason     string
	code       protocol.Code
	message    string
	retryAfter time.Duration
}

func (r *refusal) Error() string { return r.message }

func refuse(reason, format string, args ...any) *refusal {
	return &refusal{reason: reason, code: protocol.CloseUnauthenticated, message: fmt.Sprintf(format, args...)}
}

// Verify checks a token at the start of a connection. It may wait, as long as
// ctx and at most a few seconds, for an issuer's keys. The error is a
// *protocol.Error with a close code: CloseTokenExpired, CloseOverloaded (the
// issuer's keys cannot be had now; RetryAfter says when to try again) or
// CloseUnauthenticated. Its message says what to do and holds nothing of the
// token but the names of issuer, audience and algorithm, quoted and cut.
func (v *Verifier) Verify(ctx context.Context, raw string) (*Claims, error) {
	claims, err := v.verify(ctx, raw)
	if err == nil {
		return claims, nil
	}
	r := classify(err)
	v.refused.WithLabelValues(r.reason).Inc()
	return nil, &protocol.Error{Code: r.code, Message: r.message, RetryAfter: r.retryAfter.Milliseconds()}
}

// Reply turns an error of Verify into the answer to a refresh, which does not
// end the connection: TokenInvalid, or Unavailable when it may succeed later.
func Reply(err error) *protocol.Error {
	e := &protocol.Error{Code: protocol.TokenInvalid, Message: err.Error()}
	if verdict := (*protocol.Error)(nil); errors.As(err, &verdict) {
		e.Message, e.RetryAfter = verdict.Message, verdict.RetryAfter
		if verdict.Code == protocol.CloseOverloaded {
			e.Code = protocol.Unavailable
		}
	}
	return e
}

func (v *Verifier) verify(ctx context.Context, raw string) (*Claims, error) {
	switch {
	case raw == "":
		return nil, refuse("missing", "no token; connect with the token that your application's server gave you")
	case len(raw) > protocol.MaxToken:
		return nil, refuse("too_large", "the token has %d bytes; at most %d are taken", len(raw), protocol.MaxToken)
	case strings.Count(raw, ".") != 2:
		return nil, refuse("malformed", "the token is not a signed JWT of three parts")
	}
	var c token.Claims
	var from *issuer
	_, err := v.parser.ParseWithClaims(raw, &c, func(t *jwt.Token) (any, error) {
		// Nothing is verified yet: look only at sizes and select by equality.
		if from = v.issuers[c.Issuer]; from == nil {
			if c.Issuer == "" {
				return nil, refuse("issuer", "the token names no issuer (iss)")
			}
			return nil, refuse("issuer", "the issuer %s is not known here; see auth.issuer in the edge's configuration", cut(c.Issuer))
		}
		for _, parameter := range []string{"crit", "b64"} {
			if _, has := t.Header[parameter]; has {
				return nil, refuse("malformed", "the token's header has %q, which is not supported", parameter)
			}
		}
		return from.keys(ctx, t)
	})
	if err != nil {
		return nil, err
	}
	if err := from.checkAudience(c.Audience); err != nil {
		return nil, err
	}
	if err := c.Check(); err != nil {
		return nil, refuse("claims", "the token's claims are not usable: %v", err)
	}
	claims := &Claims{User: c.Subject, Name: c.Name, Rooms: c.Rooms}
	if c.ExpiresAt != nil {
		claims.Expires = c.ExpiresAt.Time
	}
	return claims, nil
}

// keys returns those that may have signed the token.
func (i *issuer) keys(ctx context.Context, t *jwt.Token) (any, error) {
	algorithm := t.Method.Alg()
	id := ""
	switch kid := t.Header["kid"].(type) {
	case nil:
	case string:
		if len(kid) > maxKeyID {
			return nil, refuse("unknown_key", "the token's key id has %d bytes; at most %d are taken", len(kid), maxKeyID)
		}
		id = kid
	default:
		return nil, refuse("malformed", "the token's key id (kid) is not a string")
	}
	set := jwt.VerificationKeySet{Keys: candidates(i.fixed, algorithm, id)}
	if len(set.Keys) == 0 && i.remote != nil {
		found, err := i.remote.find(ctx, algorithm, id)
		if err != nil {
			return nil, err
		}
		set.Keys = found
	}
	if len(set.Keys) == 0 {
		return nil, refuse("unknown_key", "no key of the issuer has this token's key id (kid) and the algorithm %s", algorithm)
	}
	return set, nil
}

// candidates picks the keys of one algorithm by id. A token without id may be
// of any of them; so may every token be of a key that has none.
func candidates(keys []key, algorithm, id string) (found []jwt.VerificationKey) {
	for _, k := range keys {
		if k.algorithm == algorithm && (id == "" || k.id == "" || k.id == id) {
			found = append(found, k.material)
		}
	}
	return found
}

// checkAudience: a token made for somebody else is refused, and so is one made
// for anybody in particular when we were not told who we are (RFC 7519, 4.1.3).
func (i *issuer) checkAudience(aud []string) error {
	if len(i.audience) == 0 && len(aud) == 0 {
		return nil
	}
	for _, a := range aud {
		if slices.Contains(i.audience, a) {
			return nil
		}
	}
	switch {
	case len(aud) == 0:
		return refuse("audience", "the token names no audience (aud)")
	case len(i.audience) == 0:
		return refuse("audience", "the token is for the audience %s; set auth.audience in the edge's configuration", cut(aud[0]))
	}
	return refuse("audience", "the token is for the audience %s, not for this service", cut(aud[0]))
}

// classify turns what the parser says into a refusal that echoes no token.
func classify(err error) *refusal {
	if r := (*refusal)(nil); errors.As(err, &r) {
		return r
	}
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		r := refuse("expired", "the token has expired; get a new one")
		r.code = protocol.CloseTokenExpired
		return r
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return refuse("not_yet", "the token is not valid yet (nbf); check the issuer's clock")
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return refuse("no_expiry", "the token never expires; issue it with exp")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return refuse("signature", "the token's signature is not valid for the issuer's keys")
	case errors.Is(err, jwt.ErrTokenUnverifiable):
		return refuse("algorithm", "the token's algorithm is not supported; sign with one of %v", token.Algorithms())
	}
	return refuse("malformed", "the token is not a well-formed JWT")
}

// cut quotes what a stranger sent, for a message.
func cut(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most] + "…"
	}
	return fmt.Sprintf("%+q", s)
}

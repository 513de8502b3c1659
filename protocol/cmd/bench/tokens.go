package bench

import (
	"fmt"
	"os"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/barrage-im/barrage/protocol/token"
)

// tokenLife is longer than any run.
const tokenLife = 24 * time.Hour

// An issuer makes the tokens that connections present: none, always the same,
// or one for each user.
type issuer struct {
	fixed     string
	key       any
	algorithm string
	keyID     string
	rooms     string
}

func newIssuer(opt options) (*issuer, error) {
	t := &issuer{fixed: opt.token, keyID: opt.tokenID, rooms: opt.prefix + "*"}
	if opt.tokenKey == "" {
		return t, nil
	}
	text, err := os.ReadFile(opt.tokenKey)
	if err != nil {
		return nil, fmt.Errorf("--token-key: %w", err)
	}
	if t.key, t.algorithm, err = token.ParsePrivate(text); err != nil {
		return nil, fmt.Errorf("--token-key %s: %w", opt.tokenKey, err)
	}
	return t, nil
}

func (t *issuer) issue(user string) (string, error) {
	if t.key == nil {
		return t.fixed, nil
	}
	return token.Sign(token.Claims{
		RegisteredClaims: jwt.RegisteredClaims{Subject: user, ExpiresAt: jwt.NewNumericDate(time.Now().Add(tokenLife))},
		Rooms:            []token.Grant{{Pattern: t.rooms, Verbs: []string{token.Join, token.Publish, token.History}}},
	}, t.algorithm, t.key, t.keyID)
}

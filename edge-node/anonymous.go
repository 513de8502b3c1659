package edgenode

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"

	"github.com/barrage-im/barrage/edge-node/auth"
	"github.com/barrage-im/barrage/edge-node/session"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/token"
)

// anonymousPrefix begins the token of somebody who only says a name.
const anonymousPrefix = "anonymous:"

// anonymous lets anybody in as a member of every room: the token is empty or
// "anonymous:NAME". Who moderates is a room's policy to say, or a real token's. Real tokens are verified as ever. It is for trials on one
// machine; Config.Validate sees to that.
type anonymous struct{ verified session.Verifier }

func (a anonymous) Verify(ctx context.Context, raw string) (*auth.Claims, error) {
	name, named := strings.CutPrefix(raw, anonymousPrefix)
	if raw != "" && !named {
		return a.verified.Verify(ctx, raw)
	}
	if err := protocol.CheckName(name); err != nil {
		return nil, protocol.Errorf(protocol.CloseUnauthenticated, "the name cannot be used: %v", err)
	}
	user := protocol.Canonical(strings.ToLower(strings.ReplaceAll(name, " ", "-")))
	if protocol.CheckUser(user) != nil {
		var random [4]byte
		_, _ = rand.Read(random[:]) // never fails
		user = "guest-" + hex.EncodeToString(random[:])
	}
	return &auth.Claims{User: user, Name: name, Rooms: []token.Grant{{Pattern: "*", Role: protocol.RoleMember}}}, nil
}

package session

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"

	"github.com/barrage-im/barrage/edge-node/auth"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/wire"
)

// version is the protocol version spoken here.
const version = 1

// connect is the first command of a connection.
func (s *Session) connect(id uint64, c *wire.Connect) {
	if !s.is(arrived) {
		s.refuse(id, protocol.Errorf(protocol.AlreadyConnected, "connect comes once; use refresh for a new token"))
		return
	}
	if c.GetVersion() > version {
		s.end(protocol.Errorf(protocol.CloseVersion, "protocol version %d is not spoken here; %d is", c.GetVersion(), version))
		return
	}
	claims, err := s.authenticate(c.GetToken())
	if err != nil {
		s.end(err)
		return
	}
	if !s.srv.users.Acquire(claims.User) {
		s.end(protocol.Errorf(protocol.CloseUserConnections, "this user has too many connections on this edge"))
		return
	}
	var random [9]byte
	_, _ = rand.Read(random[:]) // never fails
	name := hex.EncodeToString(random[:])

	s.mu.Lock()
	if s.phase != arrived { // drained meanwhile
		s.mu.Unlock()
		s.srv.users.Release(claims.User)
		return
	}
	s.phase, s.claims, s.id = connected, claims, name
	s.mu.Unlock()
	s.srv.met.connects.Inc()
	if !claims.Expires.IsZero() {
		s.srv.wheel.add(s, claims.Expires.Add(s.srv.cfg.ExpiryGrace))
	}
	cfg := &s.srv.cfg
	s.reply(&wire.ServerFrame{Id: id, Body: &wire.ServerFrame_Connected{Connected: &wire.Connected{
		Session: name, User: claims.User, Name: claims.Name, Region: cfg.Region, Edge: cfg.Edge,
		Limits: &wire.Limits{
			FrameBytes: protocol.MaxClientFrame, MessageBytes: protocol.MaxMessage, Rooms: uint32(cfg.Rooms),
			Outstanding: uint32(cfg.Outstanding), History: protocol.MaxHistory, KeyWindowMs: uint32(protocol.KeyWindow.Milliseconds()),
			FrameRate: uint32(cfg.FrameRate), FrameBurst: uint32(cfg.FrameBurst),
		},
		Heartbeat: &wire.HeartbeatPolicy{IntervalMs: uint32(cfg.Heartbeat.Milliseconds()), TimeoutMs: uint32(cfg.HeartbeatTimeout.Milliseconds())},
		ExpiresMs: expiresMS(claims), Endpoints: s.srv.Elsewhere(), Resume: name, TimeMs: time.Now().UnixMilli(),
	}}})
}

// authenticate verifies a token; the error has a close code.
func (s *Session) authenticate(token string) (*auth.Claims, *protocol.Error) {
	ctx, cancel := context.WithTimeout(s.srv.ctx, s.srv.cfg.AuthTimeout)
	defer cancel()
	claims, err := s.srv.verify.Verify(ctx, token)
	if err == nil {
		return claims, nil
	}
	var e *protocol.Error
	if !errors.As(err, &e) {
		e = protocol.Errorf(protocol.CloseUnauthenticated, "the token cannot be verified")
	}
	return nil, e
}

// refresh replaces the token of a connection; the user must stay the same.
func (s *Session) refresh(id uint64, c *wire.Refresh) {
	claims, err := s.authenticate(c.GetToken())
	if err != nil {
		s.refuse(id, auth.Reply(err))
		return
	}
	s.mu.Lock()
	same := s.claims.User == claims.User
	if same {
		s.claims = claims
	}
	s.mu.Unlock()
	if !same {
		s.refuse(id, protocol.Errorf(protocol.TokenInvalid, "the new token is for another user; connect again instead"))
		return
	}
	if !claims.Expires.IsZero() {
		s.srv.wheel.add(s, claims.Expires.Add(s.srv.cfg.ExpiryGrace))
	}
	s.restand()
	s.reply(&wire.ServerFrame{Id: id, Body: &wire.ServerFrame_Refreshed{Refreshed: &wire.Refreshed{ExpiresMs: expiresMS(claims)}}})
}

func expiresMS(c *auth.Claims) int64 {
	if c.Expires.IsZero() {
		return 0
	}
	return c.Expires.UnixMilli()
}

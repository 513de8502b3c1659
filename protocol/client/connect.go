package client

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/wire"
)

// connect dials endpoint and introduces itself.
func (c *Client) connect(ctx context.Context, endpoint string, resume string) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	token, err := c.token(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := c.cfg.Dialer.Dial(ctx, endpoint)
	if err != nil {
		return nil, err // says which endpoint
	}
	l := &link{
		conn: conn, codec: newCodec(endpoint, c.cfg.JSON), endpoint: endpoint,
		wakeWrite: make(chan struct{}, 1), done: make(chan struct{}), answers: map[uint64]answer{}, lastID: 1,
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err = c.introduce(l, token, resume)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("connect to %s: %w", endpoint, err)
	}
	return l, nil
}

// token asks the application for a token.
func (c *Client) token(ctx context.Context) (string, error) {
	c.asking.Lock()
	defer c.asking.Unlock()
	token, err := c.cfg.Token(ctx)
	if err != nil {
		return "", fmt.Errorf("get a token: %w", err)
	}
	if len(token) > protocol.MaxToken || !utf8.ValidString(token) {
		return "", &closedError{Err: protocol.Errorf(protocol.TokenInvalid, "a token is text of at most %d bytes; Config.Token returned %d bytes", protocol.MaxToken, len(token))}
	}
	return token, nil
}

func (c *Client) introduce(l *link, token, resume string) error {
	hello := l.codec.append(nil, &wire.ClientFrame{Id: 1, Command: &wire.ClientFrame_Connect{Connect: &wire.Connect{
		Token: token, Client: c.cfg.Client, Network: c.cfg.Network, Resume: resume, Version: 1,
	}}})
	if err := l.conn.WriteFrames(hello); err != nil {
		return err
	}
	for {
		raw, err := l.conn.ReadFrame()
		if err != nil {
			return err
		}
		f, err := l.codec.decode(raw)
		if err != nil {
			return err
		}
		switch body := f.GetBody().(type) {
		case *wire.ServerFrame_Connected:
			l.accept(body.Connected)
			return nil
		case *wire.ServerFrame_Error:
			return &closedError{Err: toError(body.Error)}
		case *wire.ServerFrame_Close:
			return &closedError{hint: body.Close.GetReconnect(), Err: &protocol.Error{
				Code: protocol.Code(body.Close.GetCode()), Message: body.Close.GetMessage(),
			}}
		case *wire.ServerFrame_Reconnect:
			return &closedError{hint: body.Reconnect, Err: &protocol.Error{
				Code: protocol.CloseDraining, Message: body.Reconnect.GetReason(),
			}}
		}
	}
}

func (l *link) accept(m *wire.Connected) {
	now := time.Now()
	lim, hb := m.GetLimits(), m.GetHeartbeat()
	l.info = Info{
		Session: m.GetSession(), User: m.GetUser(), Name: m.GetName(), Region: m.GetRegion(), Edge: m.GetEdge(),
		Endpoint: l.endpoint,
		Limits: Limits{
			FrameBytes: int(lim.GetFrameBytes()), MessageBytes: int(lim.GetMessageBytes()), Rooms: int(lim.GetRooms()),
			Outstanding: int(lim.GetOutstanding()), History: int(lim.GetHistory()),
			KeyWindow: time.Duration(lim.GetKeyWindowMs()) * time.Millisecond,
		},
		Heartbeat:        time.Duration(hb.GetIntervalMs()) * time.Millisecond,
		HeartbeatTimeout: time.Duration(hb.GetTimeoutMs()) * time.Millisecond,
	}
	if l.info.Limits.Outstanding <= 0 {
		l.info.Limits.Outstanding = defaultOutstanding
	}
	if m.GetTimeMs() != 0 {
		l.skew = now.Sub(time.UnixMilli(m.GetTimeMs()))
	}
	if m.GetExpiresMs() != 0 {
		l.info.Expires = time.UnixMilli(m.GetExpiresMs()).Add(l.skew)
	}
	l.beat, l.heard, l.since = l.info.Heartbeat, now, now
	l.others = m.GetEndpoints()
	l.info.resume = m.GetResume()
}

// closedError is the end of a connection, or its refusal, as the server told it.
type closedError struct {
	Err  *protocol.Error
	hint *wire.Reconnect
}

func (e *closedError) Error() string { return "refused: " + e.Err.Error() }
func (e *closedError) Unwrap() error { return e.Err }

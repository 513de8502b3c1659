package client

import (
	"errors"
	"time"

	"github.com/barrage-im/barrage/protocol/wire"
)

const (
	// moveTimeout is how long a move waits for the old connection's answers
	// and the new one's joins.
	moveTimeout = 5 * time.Second
	// renewRetry is the pause before a failed token refresh is tried again.
	renewRetry = 5 * time.Second
)

var errMoved = errors.New("moved to another connection")

// manage owns everything that happens by the clock: dialling, moving, silence,
// deadlines, and the end of waits.
func (c *Client) manage() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		c.mu.Lock()
		if c.err != nil {
			c.mu.Unlock()
			return
		}
		now := time.Now()
		c.tickLocked(now)
		c.alarm = c.alarmLocked()
		if c.alarm.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(c.alarm.Sub(now))
		}
		c.mu.Unlock()
		select {
		case <-c.kick:
		case <-timer.C:
		}
	}
}

func due(at, now time.Time) bool { return !at.IsZero() && !at.After(now) }

func (c *Client) tickLocked(now time.Time) {
	for _, l := range []*link{c.current, c.next} {
		if l == nil || !due(l.silentAt(), now) {
			continue
		}
		if c.queue.full() {
			l.heard = now // it is us who do not listen
		} else {
			c.dropLocked(l, errSilent)
		}
	}
	c.promoteLocked(now)
	c.expireLocked(now)
	c.unholdLocked(now)
	for _, r := range c.rooms {
		if due(r.retryAt, now) {
			r.retryAt = time.Time{}
			r.enterLocked()
		}
	}
	if due(c.renewAt, now) {
		c.renewAt = time.Time{}
		l := c.current
		c.wg.Go(func() { c.renew(l) })
	}
	if c.err == nil && due(c.dialAt, now) && !c.dialing {
		c.dialLocked()
	}
}

// alarmLocked is the next time at which tickLocked has something to do.
func (c *Client) alarmLocked() time.Time {
	var first time.Time
	consider := func(t time.Time) {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	for _, l := range []*link{c.current, c.next} {
		if l != nil {
			consider(l.silentAt())
		}
	}
	if c.next != nil {
		consider(c.giveOver)
	}
	if !c.dialing {
		consider(c.dialAt)
	}
	consider(c.renewAt)
	consider(c.ages.first())
	for _, ln := range c.held {
		consider(ln.hold)
	}
	for _, r := range c.rooms {
		consider(r.retryAt)
	}
	return first
}

// dialLocked starts one attempt.
func (c *Client) dialLocked() {
	endpoint, round := c.routes.next()
	c.dialing, c.dialAt = true, time.Time{}
	if c.current == nil {
		c.setStateLocked(State{Phase: Connecting, Endpoint: endpoint, Err: c.state.Err})
	}
	resume := c.resume
	c.wg.Go(func() {
		l, err := c.connect(c.ctx, endpoint, resume)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.dialing = false
		defer c.wake()
		switch {
		case err == nil && c.err != nil:
			l.conn.Close()
		case err == nil:
			c.adoptLocked(l)
		case c.err == nil:
			c.log.Debug("connection attempt failed", "endpoint", endpoint, "err", err)
			c.againLocked(endpoint, err, !round)
		}
	})
}

// adoptLocked takes a new link: at once, or, while another one lives, when the
// rooms have been joined on it.
func (c *Client) adoptLocked(l *link) {
	c.startLocked(l)
	c.resume = l.info.resume
	c.routes.prefer(append([]string{l.endpoint}, l.others...)...)
	if c.current == nil {
		c.takeOverLocked(l, false)
	} else {
		c.next, c.giveOver = l, time.Now().Add(moveTimeout)
	}
	for _, r := range c.rooms {
		r.enterLocked()
	}
}

// takeOverLocked makes l the link for everything that follows.
func (c *Client) takeOverLocked(l *link, moved bool) {
	c.current = l
	c.scheduleRenewLocked()
	if !c.everReady {
		c.everReady = true
		close(c.ready)
	}
	c.log.Debug("connected", "endpoint", l.endpoint, "session", l.info.Session, "moved", moved)
	c.setStateLocked(State{Phase: Connected, Endpoint: l.endpoint, Moved: moved})
	for cl := range c.calls {
		c.sendLocked(l, cl.frame, answer{call: cl})
	}
	c.restartLanesLocked()
	c.pumpLocked()
}

// moveLocked: the server asks for l to be moved elsewhere.
func (c *Client) moveLocked(l *link, hint *wire.Reconnect) {
	if l != c.current || c.next != nil || c.dialing || !c.dialAt.IsZero() {
		return
	}
	c.routes.avoid(l.endpoint)
	c.routes.prefer(hint.GetEndpoints()...)
	c.dialAt = time.Now().Add(c.hinted(hint))
	c.log.Debug("asked to move", "reason", hint.GetReason(), "at", c.dialAt)
	c.wake()
}

func (c *Client) hinted(hint *wire.Reconnect) time.Duration {
	low := time.Duration(hint.GetWaitMinMs()) * time.Millisecond
	return within(low, time.Duration(hint.GetWaitMaxMs())*time.Millisecond, c.cfg.Rand)
}

// promoteLocked lets next take over once nothing is lost by it: the old link
// owes no answer to a publish and every room has been joined on the new one.
// A move that takes too long is finished anyway: resending under the key and
// resuming by seq make that safe, only slower.
func (c *Client) promoteLocked(now time.Time) {
	l, old := c.next, c.current
	if l == nil {
		return
	}
	if old != nil && now.Before(c.giveOver) {
		for _, r := range c.rooms {
			if r.owner != l {
				return
			}
		}
		if c.draining = old.inFlight > 0; c.draining {
			return
		}
	}
	c.next, c.current, c.draining = nil, nil, false
	if old != nil {
		c.unsendLocked(old)
		for _, r := range c.rooms {
			r.forgetLocked(old)
		}
		c.dropLocked(old, errMoved)
	}
	c.takeOverLocked(l, true)
}

// lostLocked takes the consequences of l's end.
func (c *Client) lostLocked(l *link) {
	if c.err != nil {
		return
	}
	switch l {
	case c.next:
		c.next, c.draining = nil, false
		for _, r := range c.rooms {
			// What current sent to a room that had moved was passed over: it
			// resumes on the link that is dialled now.
			r.forgetLocked(l)
		}
		c.againLocked(l.endpoint, l.err, false)
		if c.err == nil {
			c.pumpLocked()
		}
	case c.current:
		c.current = nil
		c.renewAt = time.Time{}
		c.unsendLocked(l)
		for _, r := range c.rooms {
			r.forgetLocked(l)
		}
		if time.Since(l.since) >= stableAfter {
			c.retry.rounds = 0
		}
		if c.next != nil {
			c.promoteLocked(time.Now())
			return
		}
		c.log.Debug("connection lost", "endpoint", l.endpoint, "err", l.err)
		c.againLocked(l.endpoint, l.err, false)
	}
}

// againLocked decides what follows the end of a connection or of an attempt:
// when to dial next, and where, or to give up. atOnce says that there are
// endpoints which were not tried in this round.
func (c *Client) againLocked(endpoint string, err error, atOnce bool) {
	var closed *closedError
	wait := time.Duration(-1)
	if errors.As(err, &closed) {
		switch code := closed.Err.Code; {
		case (!code.Reconnect() || code < 200) && c.current == nil:
			c.failLocked(closed.Err)
			return
		case !code.Reconnect(), code < 200:
			c.routes.avoid(endpoint) // the edge we are at thinks otherwise
		case code >= 4100 && code < 4200:
			c.routes.avoid(endpoint)
		}
		c.routes.prefer(closed.hint.GetEndpoints()...)
		switch {
		case closed.hint.GetWaitMaxMs() > 0:
			wait = c.hinted(closed.hint)
		case closed.Err.RetryAfter > 0:
			wait = c.jittered(time.Duration(closed.Err.RetryAfter) * time.Millisecond)
		}
	}
	if errors.Is(err, errSilent) {
		c.routes.avoid(endpoint)
	}
	switch {
	case wait >= 0:
	case atOnce:
		wait = 0
	default:
		wait = c.retry.next(c.cfg.Rand)
	}
	if !c.dialing {
		c.dialAt = time.Now().Add(wait)
	}
	if c.current == nil {
		c.setStateLocked(State{Phase: Waiting, Endpoint: endpoint, Retry: wait, Err: err})
	}
}

// jittered lengthens a wait by up to half.
func (c *Client) jittered(d time.Duration) time.Duration {
	d = max(d, minRetryAfter)
	return d + time.Duration(c.cfg.Rand()*float64(d)/2)
}

// scheduleRenewLocked plans the refresh of current's token at 80 % of its life.
func (c *Client) scheduleRenewLocked() {
	c.renewAt = time.Time{}
	if l := c.current; l != nil && !l.info.Expires.IsZero() {
		now := time.Now()
		c.renewAt = now.Add(max(l.info.Expires.Sub(now)*8/10, time.Second))
	}
	c.wake()
}

// renew refreshes l's token. When it cannot, the server ends the connection at
// the token's expiry and the next one begins with a new token.
func (c *Client) renew(l *link) {
	token, err := c.token(c.ctx)
	var f *wire.ServerFrame
	if err == nil {
		f, err = c.call(c.ctx, &wire.ClientFrame{Command: &wire.ClientFrame_Refresh{Refresh: &wire.Refresh{Token: token}}})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != l || c.err != nil {
		return
	}
	if err != nil {
		c.log.Warn("token refresh refused; trying again", "err", err)
		c.renewAt = time.Now().Add(renewRetry)
		c.wake()
		return
	}
	l.info.Expires = time.Time{}
	if ms := f.GetRefreshed().GetExpiresMs(); ms != 0 {
		l.info.Expires = time.UnixMilli(ms).Add(l.skew)
	}
	c.scheduleRenewLocked()
}

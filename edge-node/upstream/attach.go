package upstream

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// minResetWait keeps a lane without a leader from spinning.
const minResetWait = 10 * time.Millisecond

// sendLanes owns the sending side of an attach stream.
func (c *Client) sendLanes(ctx context.Context, l *link, stream grpc.BidiStreamingClient[rpc.AttachRequest, rpc.AttachResponse]) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var proposals []*rpc.Proposal
	for {
		var next time.Time
		proposals, next = c.takeProposals(proposals[:0])
		for _, p := range proposals {
			if err := stream.Send(&rpc.AttachRequest{Frame: &rpc.AttachRequest_Proposal{Proposal: p}}); err != nil {
				return fmt.Errorf("send to core: %w", err)
			}
			c.met.proposals.Inc()
		}
		if len(proposals) > 0 {
			continue
		}
		wait := time.Hour
		if !next.IsZero() {
			wait = max(time.Until(next), 0)
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.wake:
		case <-timer.C:
		case <-l.hello:
			if err := stream.Send(c.edge()); err != nil {
				return fmt.Errorf("send to core: %w", err)
			}
			sleep(ctx, renewPause)
		}
	}
}

// takeProposals collects what the lanes want sent now, and says when to ask
// again.
func (c *Client) takeProposals(to []*rpc.Proposal) ([]*rpc.Proposal, time.Time) {
	now := time.Now()
	var next time.Time
	sooner := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ln := range c.lanes {
		if !ln.open && !ln.resumeAt.IsZero() {
			if now.Before(ln.resumeAt) {
				sooner(ln.resumeAt)
				continue
			}
			ln.restart(c.lease(), now)
		}
		before := ln.sent
		p, at := ln.take(now)
		if p != nil {
			to = append(to, p)
			c.met.commands.Add(float64(ln.sent - before))
		}
		sooner(at)
	}
	return to, next
}

// receiveLanes owns the receiving side of an attach stream.
func (c *Client) receiveLanes(stream grpc.BidiStreamingClient[rpc.AttachRequest, rpc.AttachResponse]) error {
	for {
		m, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("receive from core: %w", err)
		}
		switch f := m.GetFrame().(type) {
		case *rpc.AttachResponse_Results:
			c.results(f.Results)
		case *rpc.AttachResponse_Reset_:
			c.reset(f.Reset_)
		case *rpc.AttachResponse_State:
			c.learn(f.State)
		case *rpc.AttachResponse_Welcome:
			c.welcome.Store(f.Welcome)
			c.learn(f.Welcome.GetState())
		}
	}
}

func (c *Client) results(r *rpc.ProposalResults) {
	c.telling.Lock()
	defer c.telling.Unlock()
	c.mu.Lock()
	l := c.lanes[r.GetShard()]
	if l == nil {
		c.mu.Unlock()
		return
	}
	answers, fresh := l.results(r, time.Now())
	more := len(l.queue) > l.sent
	c.mu.Unlock()
	if more {
		c.signal()
	}
	if fresh {
		c.restate(r.GetShard())
	}
	for _, a := range answers {
		if code := protocol.Code(a.result.GetCode()); code != protocol.OK {
			c.met.refused.WithLabelValues(code.Name()).Inc()
		}
	}
	deliver(answers)
	c.told(l)
}

// told lets the lane go on after its owners heard of refusals.
func (c *Client) told(l *lane) {
	c.mu.Lock()
	more := len(l.held) > 0
	l.told()
	c.mu.Unlock()
	if more {
		c.signal()
	}
}

// reset begins the next generation of a lane after the wait core asked for.
func (c *Client) reset(r *rpc.LaneReset) {
	now := time.Now()
	c.mu.Lock()
	if l := c.lanes[r.GetShard()]; l != nil && l.open && l.generation == r.GetGeneration() {
		wait := max(time.Duration(r.GetRetryAfterMs())*time.Millisecond, minResetWait)
		l.stop(now.Add(min(wait, maxPause)), now)
	}
	c.mu.Unlock()
	c.met.resets.WithLabelValues(protocol.Code(r.GetCode()).Name()).Inc()
	c.signal()
}

// keep does what time alone asks for: statements of presence, deadlines of
// publishes, renewals of leases.
func (c *Client) keep(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	renew := time.NewTicker(c.cfg.TTL / 3)
	defer renew.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.expire()
			c.statePresence()
		case <-renew.C:
			c.renewLeases()
		}
	}
}

// expire answers what waited too long to be sent.
func (c *Client) expire() {
	now := time.Now()
	var answers []answer
	var lanes []*lane
	c.telling.Lock()
	defer c.telling.Unlock()
	c.mu.Lock()
	for _, l := range c.lanes {
		if a := l.expire(now, c.cfg.Hold); len(a) > 0 {
			answers = append(answers, a...)
			lanes = append(lanes, l)
		}
	}
	c.mu.Unlock()
	for _, a := range answers {
		c.met.refused.WithLabelValues(protocol.Code(a.result.GetCode()).Name()).Inc()
	}
	deliver(answers)
	for _, l := range lanes {
		c.told(l)
	}
}

func (c *Client) renewLeases() {
	c.mu.Lock()
	for _, l := range c.lanes {
		if l.open {
			_ = l.push(&op{kind: opLease, data: c.lease()})
		}
	}
	c.mu.Unlock()
	c.signal()
	if l := c.link.Load(); l != nil {
		l.renew()
	}
}

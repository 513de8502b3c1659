package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/client"
	"github.com/barrage-im/barrage/protocol/cmd/bench/ledger"
)

// roomsPerClient bounds the rooms of one publishing client: below the
// protocol's limit for a session.
const roomsPerClient = 200

// dialTimeout bounds the connecting of one publisher, which would try for ever.
const dialTimeout = 15 * time.Second

// publishTimeout bounds a publish, retries included.
const publishTimeout = 30 * time.Second

// A publisher sends to one room through the real SDK, and is a member of it
// unless it is to --read-back.
type publisher struct {
	run    *run
	id     int // in the ledger
	name   string
	client *client.Client
	track  *ledger.Track
	text   []byte // scratch of send
	batch  []ledger.Delivery
}

// openClient connects a client and joins it to the rooms of its publishers.
func (r *run) openClient(ctx context.Context, n int, rooms []string, publishers []*publisher) error {
	servers := make([]string, len(r.opt.publishTo))
	for i := range servers {
		servers[i] = r.opt.publishTo[(n+i)%len(servers)].String()
	}
	dialing, stop := context.WithTimeout(ctx, dialTimeout)
	defer stop()
	c, err := client.Dial(dialing, client.Config{
		Endpoints:      servers,
		Token:          func(context.Context) (string, error) { return r.tokens.issue(fmt.Sprintf("bench-p%d", n)) },
		Client:         "barrage-bench/1",
		PublishTimeout: publishTimeout,
		MaxPending:     max(r.opt.outstanding*2, 4*protocol.MaxOutstanding),
	})
	if err != nil {
		return fmt.Errorf("connect publisher %d: %w", n, reachable(err, "--server"))
	}
	r.clients = append(r.clients, c)
	for i, p := range publishers {
		p.client, p.name = c, rooms[i]
		if r.opt.readBack {
			continue
		}
		if _, err := c.Join(ctx, p.name, client.JoinOptions{}, client.Events{OnMessages: p.receive, OnGap: p.gap}); err != nil {
			return fmt.Errorf("join publisher %d to %s: %w", n, p.name, err)
		}
	}
	return nil
}

// readAll receives all that the room's history holds.
func (p *publisher) readAll(ctx context.Context) error {
	for next, more := uint64(1), true; more; {
		page, err := p.client.History(ctx, p.name, client.HistoryOptions{From: next, Limit: protocol.MaxHistory})
		if e := (*protocol.Error)(nil); errors.As(err, &e) && e.Code.Temporary() {
			if err := wait(ctx, time.Duration(e.RetryAfter)*time.Millisecond); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("read back %s from %d: %w", p.name, next, err)
		}
		p.receive(page.Messages)
		more = page.More && len(page.Messages) > 0
		next += uint64(len(page.Messages))
	}
	return nil
}

func (p *publisher) receive(messages []client.Message) {
	p.batch = p.batch[:0]
	for _, m := range messages {
		d := ledger.Delivery{Seq: m.Seq}
		var known bool
		if d.Publisher, d.N, d.Sent, known = ledger.ParseMarker([]byte(m.Text)); !known {
			d.Publisher = -1
		}
		if p.run.opt.readBack {
			d.Sent = 0 // when it was read says nothing of how fast it came
		}
		p.batch = append(p.batch, d)
	}
	p.track.Deliver(p.batch, ledger.Now())
}

func (p *publisher) gap(g client.Gap) { p.track.Gap(g.Last) }

// send publishes one message that was due at the time given. done, if not nil,
// is called with its outcome booked.
func (p *publisher) send(due int64, done func()) {
	n := p.run.ledger.Sent(p.id)
	p.text = ledger.AppendMessage(p.text[:0], p.id, n, due, p.run.opt.size)
	answered := func(_ client.Ack, err error) {
		p.book(n, due, err)
		if done != nil {
			done()
		}
	}
	if err := p.client.PublishAsync(p.name, client.Message{Text: string(p.text)}, answered); err != nil {
		answered(client.Ack{}, err) // not taken: it will not be called
	}
}

func (p *publisher) book(n uint32, due int64, err error) {
	var refusal *protocol.Error
	switch {
	case err == nil:
		p.run.ledger.Acked(p.id, n, due, ledger.Now())
	case errors.Is(err, client.ErrOutcomeUnknown):
		p.run.ledger.Unknown(p.id, n, "unknown")
	case errors.As(err, &refusal):
		p.run.ledger.Refused(p.id, refusal.Code.Name())
	default:
		p.run.ledger.Refused(p.id, err.Error())
	}
}

// pace sends to the publishers in turn, rate messages a second in all.
func pace(ctx context.Context, publishers []*publisher, rate float64) {
	ledger.Pace(ctx, rate, func(i int, due int64) { publishers[i%len(publishers)].send(due, nil) })
}

// saturate keeps a number of messages outstanding until ctx ends.
func (p *publisher) saturate(ctx context.Context, outstanding int) {
	slots := make(chan struct{}, outstanding)
	for {
		select {
		case <-ctx.Done():
			return
		case slots <- struct{}{}:
		}
		p.send(ledger.Now(), func() { <-slots })
	}
}

// roomName is the room with number i.
func (r *run) roomName(i int) string { return fmt.Sprintf("%s%d", r.opt.prefix, i) }

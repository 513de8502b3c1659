package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/barrage-im/barrage/protocol/client"
	"github.com/barrage-im/barrage/protocol/cmd/bench/lean"
	"github.com/barrage-im/barrage/protocol/cmd/bench/ledger"
	"github.com/barrage-im/barrage/protocol/cmd/bench/proc"
)

// A run is one benchmark from the first connection to the report.
type run struct {
	opt    options
	tokens *issuer
	stderr io.Writer
	ledger *ledger.Ledger
	loop   *lean.Loop
	dialer lean.Dialer

	members    []*member
	publishers []*publisher
	clients    []*client.Client

	began    time.Time
	before   span // at the end of the warm-up
	after    span // at the end of the load
	idleRSS  uint64
	recovery *Recovery

	mu   sync.Mutex // guards the fields below
	lost uint64     // connections that ended by themselves
	why  string     // how the first of them did
}

// span is what is read at both ends of the measured time.
type span struct {
	at     time.Time
	usage  proc.Usage
	self   proc.Usage
	counts ledger.Progress
}

func newRun(opt options, stderr io.Writer) (*run, error) {
	if opt.prefix == "" {
		opt.prefix = "bench-" + rand.Text()[:6] + "-"
	}
	tokens, err := newIssuer(opt)
	if err != nil {
		return nil, err
	}
	loop, err := lean.NewLoop()
	if err != nil {
		return nil, err
	}
	return &run{
		opt: opt, tokens: tokens, stderr: stderr, ledger: ledger.New(), loop: loop,
		dialer: lean.Dialer{Spread: opt.spread}, began: time.Now(),
	}, nil
}

func (r *run) close() {
	for _, c := range r.clients {
		c.Close() // the report is made; what is left has no bearing on it
	}
	for _, m := range r.members {
		m.leave()
	}
	r.loop.Close()
}

// open opens the accounts, then the members, then the publishers, so that
// everybody receives everything.
func (r *run) open(ctx context.Context) error {
	for range r.opt.publishers {
		for room := range r.opt.rooms {
			r.publishers = append(r.publishers, &publisher{run: r, id: r.ledger.Publisher(room)})
		}
	}
	for n := range r.opt.rooms * r.opt.members {
		room := n % r.opt.rooms
		r.members = append(r.members, &member{run: r, number: n, room: r.roomName(room), track: r.ledger.Member(room)})
	}
	for i, p := range r.publishers {
		p.track = r.ledger.Member(i % r.opt.rooms)
	}
	if err := r.each(ctx, r.members, "connected", (*member).connect); err != nil {
		return fmt.Errorf("connect members: %w", reachable(err, "--server"))
	}
	perClient := roomsPerClient
	if r.opt.mode == "publish" {
		perClient = 1
	}
	for first := 0; first < len(r.publishers); {
		room := first % r.opt.rooms
		n := min(perClient, r.opt.rooms-room)
		rooms := make([]string, n)
		for i := range rooms {
			rooms[i] = r.roomName(room + i)
		}
		if err := r.openClient(ctx, len(r.clients), rooms, r.publishers[first:first+n]); err != nil {
			return err
		}
		first += n
	}
	return nil
}

// reachable adds to an error of the network what to look at.
func reachable(err error, flag string) error {
	var network *net.OpError
	if errors.As(err, &network) {
		return fmt.Errorf("%w: is an edge running there, and is %s right?", err, flag)
	}
	return err
}

// each does something for every member, a few at a time, and shows how far it
// is.
func (r *run) each(ctx context.Context, members []*member, verb string, do func(*member, context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(r.opt.parallel)
	shown := time.Now()
	for i, m := range members {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			if err := do(m, ctx); err != nil {
				return fmt.Errorf("member %d: %w", m.number, err)
			}
			return nil
		})
		if time.Since(shown) > time.Second {
			shown = time.Now()
			fmt.Fprintf(r.stderr, "%6.1fs  %d of %d %s\n", time.Since(r.began).Seconds(), i, len(members), verb)
		}
	}
	return group.Wait()
}

// load runs the senders through warm-up and measurement, then waits for what
// is still on its way.
func (r *run) load(ctx context.Context, send func(context.Context)) error {
	loading, stop := context.WithCancel(ctx)
	defer stop()
	var senders sync.WaitGroup
	senders.Go(func() { send(loading) })
	progress := r.showProgress(loading)
	err := wait(ctx, r.opt.warmup)
	r.ledger.MeasureFrom(ledger.Now())
	if err == nil {
		r.before, err = r.measure()
	}
	if err == nil {
		err = wait(ctx, r.opt.duration)
	}
	if err == nil {
		r.after, err = r.measure()
	}
	stop()
	senders.Wait()
	<-progress
	if err == nil && r.opt.readBack {
		err = r.readBack(ctx)
	}
	if err != nil {
		return err
	}
	return r.settle(ctx, func() bool { return r.answered() && r.ledger.Missing() == 0 })
}

func (r *run) answered() bool { return r.ledger.Progress().Pending() == 0 }

// readBack lets the publishers read their rooms' history.
func (r *run) readBack(ctx context.Context) error {
	if err := r.settle(ctx, r.answered); err != nil {
		return err
	}
	for _, p := range r.publishers {
		if err := p.readAll(ctx); err != nil {
			return err
		}
	}
	return nil
}

// settle waits until done, or until --drain has passed.
func (r *run) settle(ctx context.Context, done func() bool) error {
	for deadline := time.Now().Add(r.opt.drain); time.Now().Before(deadline); {
		if done() {
			// A duplicate would come behind the last message: give it a moment.
			return wait(ctx, 200*time.Millisecond)
		}
		if err := wait(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) measure() (span, error) {
	s := span{at: time.Now(), counts: r.ledger.Progress()}
	var err error
	if s.usage, err = proc.Read(r.opt.pids); err != nil {
		return s, err
	}
	s.self, err = proc.Self()
	return s, err
}

// showProgress prints a line each second until ctx ends; the channel is closed
// after the last.
func (r *run) showProgress(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		last := r.ledger.Progress()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			p := r.ledger.Progress()
			fmt.Fprintf(r.stderr, "%6.1fs  sent %d  acknowledged %d (%d/s)  refused %d  delivered %d (%d/s)  pending %d\n",
				time.Since(r.began).Seconds(), p.Sent, p.Acked, p.Acked-last.Acked, p.Refused, p.Delivered, p.Delivered-last.Delivered, p.Pending())
			last = p
		}
	}()
	return done
}

func (r *run) lostConnection(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lost++; r.lost == 1 {
		r.why = err.Error()
	}
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errors.New("interrupted")
	}
}

package bench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/barrage-im/barrage/protocol/cmd/bench/proc"
)

// idleSettle is how long an idle server gets to give memory of the handshakes
// back before it is weighed.
const idleSettle = 10 * time.Second

// fanout: a steady rate to each room.
func (r *run) fanout(ctx context.Context) error {
	if err := r.open(ctx); err != nil {
		return err
	}
	return r.load(ctx, func(ctx context.Context) { pace(ctx, r.publishers, r.opt.rate*float64(r.opt.rooms)) })
}

// publish: as much as fits into the outstanding messages.
func (r *run) publish(ctx context.Context) error {
	if err := r.open(ctx); err != nil {
		return err
	}
	each := max(1, r.opt.outstanding/len(r.publishers))
	return r.load(ctx, func(ctx context.Context) {
		var all sync.WaitGroup
		for _, p := range r.publishers {
			all.Go(func() { p.saturate(ctx, each) })
		}
		all.Wait()
	})
}

// idle: what the servers weigh with the members, less what they weighed
// without.
func (r *run) idle(ctx context.Context) error {
	empty, err := proc.Read(r.opt.pids)
	if err != nil {
		return err
	}
	if err := r.open(ctx); err != nil {
		return err
	}
	if r.before, err = r.measure(); err != nil {
		return err
	}
	fmt.Fprintf(r.stderr, "%6.1fs  %d connected, waiting\n", time.Since(r.began).Seconds(), len(r.members))
	if err := wait(ctx, idleSettle+r.opt.duration); err != nil {
		return err
	}
	if r.after, err = r.measure(); err != nil {
		return err
	}
	if full := r.after.usage.RSS; full > empty.RSS {
		r.idleRSS = full - empty.RSS
	}
	return nil
}

// storm: all members are cut in the middle of the load and come back to where
// they were.
func (r *run) storm(ctx context.Context) error {
	if err := r.open(ctx); err != nil {
		return err
	}
	var failed error
	err := r.load(ctx, func(ctx context.Context) {
		var all sync.WaitGroup
		all.Go(func() { pace(ctx, r.publishers, r.opt.rate*float64(r.opt.rooms)) })
		if wait(ctx, r.opt.warmup+r.opt.duration/4) == nil {
			failed = r.cutAndResume(ctx)
		}
		all.Wait()
	})
	if failed != nil {
		return failed
	}
	return err
}

// Recovery is how a storm went.
type Recovery struct {
	Members int     `json:"members"`
	CutMS   float64 `json:"cut_ms"`      // until all had noticed
	LiveMS  float64 `json:"all_live_ms"` // from then until all had what they missed
}

func (r *run) cutAndResume(ctx context.Context) error {
	began := time.Now()
	var cutting sync.WaitGroup
	for _, m := range r.members {
		cutting.Go(m.cut)
	}
	cutting.Wait()
	cut := time.Now()
	fmt.Fprintf(r.stderr, "%6.1fs  %d members cut\n", time.Since(r.began).Seconds(), len(r.members))
	if err := r.each(ctx, r.members, "resumed", (*member).connect); err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	r.recovery = &Recovery{
		Members: len(r.members),
		CutMS:   float64(cut.Sub(began).Microseconds()) / 1e3, LiveMS: float64(time.Since(cut).Microseconds()) / 1e3,
	}
	fmt.Fprintf(r.stderr, "%6.1fs  all live again after %.0f ms\n", time.Since(r.began).Seconds(), r.recovery.LiveMS)
	return nil
}

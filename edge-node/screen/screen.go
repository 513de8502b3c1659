// Package screen is the rules in force on an edge. It watches the cluster's
// state for sets of rules, gets their bundles, checks and compiles them in the
// background, swaps them in, and says what is to become of a message. It also
// holds the client of the external hook. What a verdict means for a session is
// not decided here.
package screen

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barrage-im/barrage/filter/corpus"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// Limits of the rules in force, each with its reason.
const (
	// canaryFloor is the share of the canary corpus that any list may hit: five
	// times what a good one hits of clean messages.
	canaryFloor = 0.005
	// canaryJump is how many times more than the version in force a new one may
	// hit. A few hundred new words do not triple it; a short word in common use,
	// or a stray wildcard, does.
	canaryJump = 3
	// maxProblem bounds what a report says of a refusal, in bytes: every core
	// node keeps it.
	maxProblem = 200
	// minRetry and maxRetry are between two attempts to get a bundle.
	minRetry = 200 * time.Millisecond
	maxRetry = 30 * time.Second
	// reportPause is between two reports while rules are being loaded: each is an
	// entry of the control log.
	reportPause = time.Second
	// maxCovers bounds the rooms whose sets are remembered.
	maxCovers = 16 << 10
	// timedOf is how many messages are scanned for each that is timed: the clock
	// costs as much as a short message.
	timedOf = 16
)

// canary is ordinary messages, made when the first rules come.
var canary = sync.OnceValue(corpus.Canary)

// A Source is where rules come from, and where it is said what became of them.
type Source interface {
	// State is the newest control state, nil while there is none.
	State() *rpc.ControlState
	// Changed has a value when State may have become newer.
	Changed() <-chan struct{}
	// FetchFilter gets a bundle by its SHA-256.
	FetchFilter(ctx context.Context, digest []byte, size int) ([]byte, error)
	Report(filters []*rpc.FilterReport)
}

// A Screen holds the rules in force. Judge may be called by anybody at any time.
type Screen struct {
	// Set by Start, never changed.
	region string
	keys   []ed25519.PublicKey
	copies *copies // nil: none are kept
	source Source
	log    *slog.Logger
	met    *metrics

	inForce atomic.Pointer[rules]
	judged  atomic.Uint64 // messages, to choose those that are timed

	// Owned by run, and before it by Start.
	sets    map[string]*watched
	loading *loading
	told    []*rpc.FilterReport
	toldAt  time.Time

	cancel context.CancelFunc
	done   sync.WaitGroup
}

// Start puts the copies of the last run in force, then watches source for
// what is newer, until Close.
func Start(cfg Config, region string, source Source, log *slog.Logger, reg prometheus.Registerer) (*Screen, error) {
	s := &Screen{region: region, source: source, log: log, sets: make(map[string]*watched)}
	var err error
	if s.keys, err = readKeys(cfg.Keys); err != nil {
		return nil, err
	}
	if s.met, err = newMetrics(reg); err != nil {
		return nil, fmt.Errorf("register metrics of rules: %w", err)
	}
	s.inForce.Store(newRules(nil))
	switch {
	case cfg.Dir == "" && len(s.keys) > 0:
		log.Warn("no copies of rules are kept, see filter.dir: without core, an edge that starts anew lets every message pass")
	case cfg.Dir != "":
		if s.copies, err = openCopies(cfg.Dir); err != nil {
			return nil, fmt.Errorf("filter.dir: %w", err)
		}
		s.restore()
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.done.Go(func() { s.run(ctx) })
	return s, nil
}

// Close stops watching. The rules stay in force.
func (s *Screen) Close() {
	s.cancel()
	s.done.Wait()
}

// run owns sets: it compares them with the state whenever that changes, a load
// ends or it is time to try again.
func (s *Screen) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var loaded chan loadResult
		if s.loading != nil {
			loaded = s.loading.result
		}
		select {
		case <-ctx.Done():
			if s.loading != nil {
				s.loading.cancel()
				<-s.loading.result
			}
			return
		case <-s.source.Changed():
		case <-timer.C:
		case r := <-loaded:
			s.finish(r)
		}
		timer.Reset(s.look(ctx, time.Now()))
	}
}

// look compares what is in force with what the state wants, starts the next
// load, and says when to look again at the latest.
func (s *Screen) look(ctx context.Context, now time.Time) time.Duration {
	state := s.source.State()
	if state == nil {
		return maxRetry // what was kept stays in force
	}
	s.follow(state)
	wait := maxRetry
	if s.loading == nil {
		for _, w := range s.sorted() {
			if !w.missing() {
				continue
			}
			if d := w.retryAt.Sub(now); d > 0 {
				wait = min(wait, d)
				continue
			}
			s.load(ctx, w)
			break
		}
	}
	s.report(now)
	return wait
}

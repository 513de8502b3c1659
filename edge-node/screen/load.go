package screen

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/filter/bundle"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// A loading is the one load that is going on.
type loading struct {
	name   string
	cancel context.CancelFunc
	result chan loadResult // gets one value, always
}

type loadResult struct {
	name  string
	stage *rpc.FilterStage
	set   *set
	data  []byte // the bundle
	err   error
}

// A refusal is why rules are not put in force, however often one tries.
type refusal struct {
	reason string // of the metric
	err    error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func refuse(reason, format string, args ...any) error {
	return &refusal{reason, fmt.Errorf(format, args...)}
}

// Reasons of refusals.
const (
	reasonKey       = "no_key"
	reasonSignature = "signature"
	reasonName      = "name"
	reasonVersion   = "version"
	reasonSize      = "size"
	reasonWords     = "words"
	reasonHits      = "hits"
	reasonMode      = "mode"
	reasonCopy      = "copy"
	reasonPanic     = "panic"
)

// load begins to get, check and compile what is wanted of a set. There is one
// at a time, so that a change of many sets costs the memory of one.
func (s *Screen) load(ctx context.Context, w *watched) {
	ctx, cancel := context.WithCancel(ctx)
	l := &loading{name: w.name, cancel: cancel, result: make(chan loadResult, 1)}
	s.loading = l
	name, rooms, stage, before := w.name, w.want.GetRooms(), w.stage, w.force
	s.done.Go(func() {
		defer cancel()
		r := loadResult{name: name, stage: stage}
		defer func() { l.result <- r }()
		defer func() {
			if p := recover(); p != nil {
				s.log.Error("panic while rules were loaded", "set", name, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				r.err = refuse(reasonPanic, "an error of the server while it was loaded: %v", p)
			}
		}()
		r.set, r.data, r.err = s.get(ctx, name, rooms, stage, before)
	})
}

// get makes a set of what is wanted. A refusal is for good; other errors are
// worth another attempt.
func (s *Screen) get(ctx context.Context, name, rooms string, stage *rpc.FilterStage, before *set) (*set, []byte, error) {
	switch {
	case len(s.keys) == 0:
		return nil, nil, refuse(reasonKey, "this edge trusts nobody to sign rules: set filter.keys")
	case stage.GetMode() != modeEnforce && stage.GetMode() != modeReport:
		return nil, nil, refuse(reasonMode, "mode %.40q is none that this version knows", stage.GetMode())
	case stage.GetSize() > bundle.MaxBundle:
		return nil, nil, refuse(reasonSize, "the bundle has %d bytes, the most is %d", stage.GetSize(), bundle.MaxBundle)
	}
	data, err := s.source.FetchFilter(ctx, stage.GetDigest(), int(stage.GetSize()))
	if err != nil {
		return nil, nil, err
	}
	made, err := s.build(name, rooms, stage, data)
	if err != nil {
		return nil, nil, err
	}
	if err := s.tolerable(made, before); err != nil && !stage.GetAcceptHits() {
		return nil, nil, err
	}
	return made, data, nil
}

// build checks and compiles a bundle.
func (s *Screen) build(name, rooms string, stage *rpc.FilterStage, data []byte) (*set, error) {
	if sum := sha256.Sum256(data); !bytes.Equal(sum[:], stage.GetDigest()) {
		return nil, errors.New("what came is not the bundle: its checksum is another")
	}
	entries, err := open(data, name, stage, s.keys)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	compiled, err := filter.Compile(entries, filter.Options{})
	if err != nil {
		return nil, refuse(reasonWords, "compile: %w", err)
	}
	took := time.Since(began)
	s.met.build.Observe(took.Seconds())
	made := &set{name: name, rooms: rooms, stage: stage, filter: compiled, built: took}
	made.hits = made.rate(canary())
	return made, nil
}

// tolerable refuses a set that hits far more of the canary corpus than the one
// before it: such a list stops everybody, whoever signed it.
func (s *Screen) tolerable(made, before *set) error {
	most := canaryFloor
	if before != nil {
		most = max(most, canaryJump*before.hits)
	}
	if made.hits <= most {
		return nil
	}
	return refuse(reasonHits, "it hits %.2f%% of ordinary messages, the most is %.2f%%; check the list, or push it with --accept-hits",
		100*made.hits, 100*most)
}

// finish takes over what a load came to.
func (s *Screen) finish(r loadResult) {
	s.loading = nil
	w := s.sets[r.name]
	if w == nil || w.stage == nil || !sameBundle(w.stage, r.stage) || w.stage.GetAcceptHits() != r.stage.GetAcceptHits() {
		return // something else is wanted by now
	}
	var no *refusal
	switch {
	case r.err == nil:
		w.refused, w.problem, w.tries = nil, "", 0
		w.force = r.set.with(w.want.GetRooms(), w.stage)
		s.keep(w.force, r.data)
		s.enforce()
		s.met.describe(w.force)
		s.log.Info("rules are in force", "set", w.name, "version", w.force.version(), "mode", w.force.mode(), "words", w.force.filter.Len(),
			"engine", w.force.filter.Engine(), "built_in", w.force.built.Round(time.Millisecond), "canary_hits", w.force.hits)
	case errors.As(r.err, &no):
		w.refused, w.problem = w.stage, brief(r.err)
		s.met.refused.WithLabelValues(no.reason).Inc()
		s.log.Error("rules are refused; what was in force stays", "set", w.name, "version", w.stage.GetVersion(),
			"in_force", w.force.version(), "reason", no.reason, "err", r.err)
	default:
		wait := min(minRetry<<min(w.tries, 10), maxRetry)
		if w.tries++; w.tries == 1 || wait == maxRetry {
			s.log.Warn("rules cannot be fetched; trying on", "set", w.name, "version", w.stage.GetVersion(), "err", r.err)
		}
		s.met.fetchErrors.Inc()
		w.problem, w.retryAt = brief(r.err), time.Now().Add(wait)
	}
}

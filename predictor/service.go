package predictor

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barrage-im/barrage/predictor/demand"
	"github.com/barrage-im/barrage/predictor/series"
	"github.com/barrage-im/barrage/predictor/signal"
)

// A service reads demand, tick by tick, and keeps what autoscalers are told. Run
// owns it; published, wanted and age may be called by anybody.
type service struct {
	// Set by newService, never changed.
	cfg    Config
	source demand.Source
	fleet  *fleet // nil: what a pod carries is not learnt
	log    *slog.Logger
	m      *metrics

	// Owned by Run.
	engine   *engine
	history  *history
	calendar calendar
	due      time.Time // the step whose sample is waited for
	owed     time.Time // steps from here on were not read and may be later; zero: none
	owedAt   time.Time // not to be tried before
	failures int       // in a row
	notAt    time.Time // demand is not to be asked before
	fleetBad int       // failures in a row to look at the fleet
	stored   time.Time // when the state was
	learnt   bool      // the history was fitted once

	mu   sync.Mutex      // guards what is below
	told signal.Forecast // newest
	load float64         // of its sample
}

// of is what a stored history is known by.
func (s *service) of() string { return s.cfg.Region + " " + s.source.String() }

func newService(cfg Config, source demand.Source, leads func() bool, log *slog.Logger, reg prometheus.Registerer) (*service, error) {
	s := &service{cfg: cfg, source: source, log: log, calendar: calendar{path: cfg.Events}}
	s.history = &history{step: cfg.Step, limit: cfg.length()}
	var err error
	if s.engine, err = newEngine(cfg); err != nil {
		return nil, err
	}
	s.m, err = newMetrics(reg, s, leads)
	return s, err
}

// wanted is what an autoscaler should be told, and how much of the forecast
// counts at its age.
func (s *service) wanted() (load, share float64) {
	s.mu.Lock()
	told := s.told
	s.mu.Unlock()
	return s.cfg.Ageing.Value(told, time.Now())
}

// published is what autoscalers are told.
func (s *service) published() float64 {
	if s.cfg.Mode != Publish {
		return 0
	}
	load, _ := s.wanted()
	return load
}

// current is the load of the newest sample; known while that is fresh.
func (s *service) current() (load float64, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.load, !s.told.At.IsZero() && time.Since(s.told.At) < s.cfg.Ageing.Fresh
}

// age of the newest sample, in seconds.
func (s *service) age() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told.At.IsZero() {
		return never
	}
	return time.Since(s.told.At).Seconds()
}

// Run looks at demand every tick until ctx ends, then stores the state.
func (s *service) Run(ctx context.Context) error {
	s.open(ctx, time.Now())
	for {
		now := time.Now()
		next := now.Truncate(s.cfg.Tick).Add(s.cfg.Tick)
		wait := time.NewTimer(next.Sub(now))
		select {
		case <-ctx.Done():
			wait.Stop()
			s.store(time.Now())
			return nil
		case <-wait.C:
			s.tick(ctx, next)
		}
	}
}

// open begins with the stored history, and reads what it lacks.
func (s *service) open(ctx context.Context, now time.Time) {
	s.look()
	last := now.Truncate(s.cfg.Step) // may be known already
	s.due = last.Add(s.cfg.Step)
	begin := s.due.Add(-time.Duration(s.cfg.length()) * s.cfg.Step)
	s.history.next = begin
	s.owed = begin
	if h := s.stow(begin); h != nil {
		s.history.load, s.history.known, s.history.next = h.load, h.known, h.next
		s.owed = h.next
	}
	s.skip(s.due)
	s.refill(ctx, now)
	s.recall(ctx)
	s.stored = now
}

// stow reads the stored history, as far as it still matters; nil if there is none.
func (s *service) stow(begin time.Time) *history {
	if s.cfg.State == "" {
		return nil
	}
	h, err := readSnapshot(s.cfg.State, s.of(), s.cfg.Step, s.cfg.inputs())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.log.Info("no stored state yet", "path", s.cfg.State)
		return nil
	case err != nil:
		s.m.errors.WithLabelValues(errorState).Inc()
		s.log.Warn("the stored state is not used; history is read anew", "path", s.cfg.State, "err", err)
		return nil
	case h.next.After(s.due):
		s.m.errors.WithLabelValues(errorState).Inc()
		s.log.Warn("the stored state is of the future and not used: is the clock right?", "path", s.cfg.State, "until", h.next)
		return nil
	case !h.next.After(begin):
		s.log.Info("the stored state is too old to be of use", "path", s.cfg.State, "until", h.next)
		return nil
	}
	h.limit = s.cfg.length()
	if s.cfg.inputs() > 0 && len(h.known) == 0 {
		h.known = s.calendar.schedule.appendRows(nil, h.begin(), h.step, len(h.load))
	}
	s.log.Info("stored state", "path", s.cfg.State, "steps", len(h.load), "until", h.next)
	return h
}

// skip makes steps before a time missing ones.
func (s *service) skip(until time.Time) {
	for s.history.next.Before(until) {
		s.history.add(math.NaN(), s.known())
	}
}

// known is what is scheduled for the next step of the history.
func (s *service) known() []float64 {
	if s.cfg.inputs() == 0 {
		return nil
	}
	return []float64{s.calendar.schedule.at(s.history.next)}
}

// look reads the schedule if it changed.
func (s *service) look() {
	changed, err := s.calendar.look()
	if err != nil {
		s.m.errors.WithLabelValues(errorEvents).Inc()
		s.log.Warn("the schedule cannot be read; the one before stays in force", "err", err)
	}
	if changed {
		s.log.Info("schedule", "path", s.cfg.Events, "events", len(s.calendar.schedule.events))
	}
}

// tick is one look at demand, at a time of the grid of ticks.
func (s *service) tick(ctx context.Context, at time.Time) {
	if s.due.Sub(at) > 2*s.cfg.Step {
		s.log.Warn("the clock went back; beginning again", "to", at)
		s.open(ctx, at)
	}
	s.look()
	s.pass(at)
	if at.Before(s.notAt) {
		s.tell(at, math.NaN())
		return
	}
	y, of, err := s.read(ctx, at)
	if err != nil {
		if ctx.Err() != nil {
			return
		}
		s.failed(at, err)
		s.tell(at, math.NaN())
		return
	}
	s.failures, s.notAt = 0, time.Time{}
	s.m.load.Set(y)
	if of.Equal(s.due) {
		s.step(y)
	}
	s.see(ctx, of, y)
	if !s.owed.IsZero() && !at.Before(s.owedAt) {
		s.refill(ctx, at)
	}
	s.tell(of, y)
	if at.Sub(s.stored) >= s.cfg.StateEvery {
		s.store(at)
	}
}

// see learns what a pod carries. Without an answer the last estimate stays.
func (s *service) see(ctx context.Context, at time.Time, load float64) {
	if s.fleet == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Tick)
	defer cancel()
	ready, err := s.fleet.look(ctx, at, load)
	if err != nil {
		s.fleetFailed(err)
	} else {
		s.fleetBad = 0
	}
	s.carries(ready)
}

func (s *service) carries(ready int) {
	perPod := s.fleet.perPod.Load()
	s.m.perPod.Set(perPod)
	s.engine.fleet(perPod, ready)
}

// recall learns what a pod carried before this process started.
func (s *service) recall(ctx context.Context) {
	if s.fleet == nil {
		return
	}
	steps, err := s.fleet.recall(ctx, s.history)
	if err != nil {
		s.fleetFailed(err)
	}
	s.carries(0)
	s.log.Info("load per pod", "configured", s.cfg.Plan.PerPod, "steps", steps, "learnt", s.fleet.perPod.Load())
}

func (s *service) fleetFailed(err error) {
	s.m.errors.WithLabelValues(errorFleet).Inc()
	if s.fleetBad++; s.fleetBad&(s.fleetBad-1) == 0 { // not every time
		s.log.Warn("what a pod carries is not learnt at present; look at plan.ready and plan.overloaded", "failures", s.fleetBad, "err", err)
	}
}

// pass gives up the sample of a step when the next one is due.
func (s *service) pass(at time.Time) {
	for !at.Before(s.due.Add(s.cfg.Step)) {
		if s.owed.IsZero() {
			s.owed = s.due
		}
		s.m.missing.Inc()
		s.step(math.NaN())
	}
}

// read is the demand of the step that is due, else of now. A Prometheus still
// knows what was when the step was due; the edges do not, but as long as less than
// half of a step is over what they have now is nearest to it.
func (s *service) read(ctx context.Context, at time.Time) (y float64, of time.Time, err error) {
	of = at
	if !at.Before(s.due) && at.Sub(s.due) < s.cfg.Step/2 {
		of = s.due
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Tick)
	defer cancel()
	y, err = s.source.Now(ctx, of)
	return y, of, err
}

// step ends the step that is due.
func (s *service) step(y float64) {
	if !math.IsNaN(y) {
		s.m.samples.Inc()
	}
	s.engine.step(y, s.due, s.calendar.schedule)
	s.history.add(y, s.known())
	s.m.scheduled.Set(s.calendar.schedule.at(s.due))
	s.due = s.due.Add(s.cfg.Step)
	s.m.show(s.engine)
}

// failed counts an error, and says when to ask again: after twice as long each
// time, a step at most, and not at the same time as others.
func (s *service) failed(at time.Time, err error) {
	s.failures++
	kind := demand.KindOf(err)
	s.m.errors.WithLabelValues(string(kind)).Inc()
	wait := min(s.cfg.Tick<<min(s.failures-1, 16), s.cfg.Step)
	s.notAt = at.Add(wait - time.Duration(rand.Int64N(int64(wait/2)+1)))
	if s.failures&(s.failures-1) == 0 { // not every time
		s.log.Warn("no sample of demand; what autoscalers are told ages", "kind", string(kind), "failures", s.failures, "err", err)
	}
}

// tell renews what autoscalers are told as of a sample. Without one it is not
// lowered: it only ages.
func (s *service) tell(at time.Time, y float64) {
	want := s.engine.want(y)
	s.mu.Lock()
	defer s.mu.Unlock()
	f := signal.Forecast{Load: want, At: at}
	if math.IsNaN(y) {
		f = signal.Forecast{Load: max(want, s.told.Load), At: s.told.At}
	}
	if err := f.Check(); err != nil {
		s.log.Error("a forecast is not told", "err", err)
		return
	}
	s.told = f
	if !math.IsNaN(y) {
		s.load = y
	}
}

// owedEvery is how often, in steps, history that is owed is asked for.
const owedEvery = 2

// refill reads the history that was not read when it was time, and learns it
// anew.
func (s *service) refill(ctx context.Context, now time.Time) {
	end := s.history.next.Add(-s.cfg.Step)
	if s.owed.IsZero() {
		return
	}
	begin := s.history.begin()
	from := s.owed
	if from.Before(begin) {
		from = begin
	}
	if !from.After(end) {
		points, err := s.source.History(ctx, from, end, s.cfg.Step)
		switch {
		case errors.Is(err, demand.ErrNoHistory):
		case demand.KindOf(err) == demand.Empty && err != nil:
			s.log.Info("no history to learn from", "from", from, "err", err)
		case err != nil:
			if ctx.Err() == nil {
				s.owedAt = now.Add(owedEvery * s.cfg.Step)
				s.m.errors.WithLabelValues(string(demand.KindOf(err))).Inc()
				s.log.Warn("history cannot be read; it will be tried again", "from", from, "err", err)
			}
			if !s.learnt {
				s.learn() // what there is
			}
			return
		default:
			if s.place(points, from, end) > 0 {
				s.learnt = false
			}
		}
	}
	s.owed = time.Time{}
	if !s.learnt {
		s.learn()
	}
}

// place puts what was read where it was missing, and says how much that was.
func (s *service) place(points []series.Point, from, end time.Time) (filled int) {
	n := int(end.Sub(from)/s.cfg.Step) + 1
	values, repairs := series.Grid(points, from, s.cfg.Step, n)
	at := s.history.place(from)
	for i, y := range values {
		if !math.IsNaN(y) && math.IsNaN(s.history.load[at+i]) {
			s.history.load[at+i] = y
			filled++
		}
	}
	s.log.Info("history", "from", from, "steps", n, "filled", filled, "repairs", repairs.String())
	return filled
}

// learn fits the history anew.
func (s *service) learn() {
	begun := time.Now()
	s.history.trim()
	if err := s.engine.fit(s.history, s.calendar.schedule); err != nil {
		s.log.Error("the history cannot be learnt", "err", err)
		return
	}
	s.learnt = true
	s.m.fits.Inc()
	s.m.fitTime.Set(time.Since(begun).Seconds())
	s.m.history.Set(float64(s.history.samples()))
	s.m.show(s.engine)
	s.mu.Lock()
	fresh := s.told.At.IsZero()
	s.mu.Unlock()
	if last := s.history.last(); fresh && !last.IsZero() { // a restart goes on with what was told
		s.tell(last, s.history.load[s.history.place(last)])
	}
}

// store writes the history to its file.
func (s *service) store(now time.Time) {
	s.stored = now
	if s.cfg.State == "" || s.history.samples() == 0 {
		return
	}
	s.history.trim()
	if err := writeSnapshot(s.cfg.State, s.history.encode(s.of())); err != nil {
		s.m.errors.WithLabelValues(errorState).Inc()
		s.log.Warn("the state cannot be stored", "path", s.cfg.State, "err", err)
	}
}

package predictor

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/barrage-im/barrage/predictor/demand"
	"github.com/barrage-im/barrage/predictor/series"
)

// A fake is a source that a test controls.
type fake struct {
	mu sync.Mutex // guards the fields below

	load    func(at time.Time) float64
	err     error // of Now
	past    error // of History
	asked   int
	history int
}

// set changes what the source does, from a test.
func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fake) Now(_ context.Context, at time.Time) (float64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if f.err != nil {
		return 0, f.err
	}
	return f.load(at), nil
}

func (f *fake) History(_ context.Context, start, end time.Time, step time.Duration) (points []series.Point, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.history++
	if f.past != nil {
		return nil, f.past
	}
	for at := start; !at.After(end); at = at.Add(step) {
		points = append(points, series.Point{At: at, Value: f.load(at)})
	}
	return points, nil
}

func (*fake) String() string { return "fake" }
func (*fake) Close()         {}

// daily is a load with a day.
func daily(at time.Time) float64 {
	return math.Round(1000 + 500*math.Sin(2*math.Pi*float64(at.Unix()%86400)/86400))
}

func config() Config {
	cfg := Default()
	cfg.Mode = Publish
	cfg.History = 3 * day
	return cfg
}

// begin makes a service run in a bubble.
func begin(t *testing.T, cfg Config, source demand.Source) (*service, func()) {
	t.Helper()
	s, err := newService(cfg, source, func() bool { return false }, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	pass(time.Second) // beside the ticks: whatever a test changes, nothing reads meanwhile
	return s, func() { stop(); <-ended }
}

// pass lets time pass, and everything happen that then does.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

var errDown = &demand.Error{Kind: demand.Unreachable, Err: errors.New("down")}

func TestAForecastIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &fake{load: daily}
		s, stop := begin(t, config(), source)
		defer stop()
		pass(10 * time.Minute)
		now := daily(time.Now())
		if got := s.published(); got < now || got > 1.2*now {
			t.Errorf("told %v at a load of %v", got, now)
		}
		if n := testutil.ToFloat64(s.m.samples); n != 10 || source.asked != 40 || source.history != 1 {
			t.Errorf("%v samples, asked %d times and %d times for history; want 10, 40, 1", n, source.asked, source.history)
		}
		if n := testutil.ToFloat64(s.m.finished); n != 9 {
			t.Errorf("%v forecasts were judged; want 9", n)
		}
		if n := testutil.CollectAndCount(s.m.mae); n != 9 {
			t.Errorf("%d distances have an error; want 9", n)
		}
	})
}

// The load of now is told while it is known, and then that it is not: 0 would
// make a fleet smaller.
func TestTheLoadOfNowIsKnownOrNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{load: daily}
		s, stop := begin(t, config(), f)
		defer stop()
		pass(5 * time.Minute)
		if load, known := s.current(); !known || load < 500 {
			t.Errorf("%v, %v", load, known)
		}
		f.set(func() { f.err = errDown })
		pass(5 * time.Minute)
		if load, known := s.current(); known {
			t.Errorf("%v of five minutes ago counts as known", load)
		}
	})
}

func TestForecastOnlyTellsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Mode = ForecastOnly
		s, stop := begin(t, cfg, &fake{load: daily})
		defer stop()
		pass(5 * time.Minute)
		if wanted, _ := s.wanted(); s.published() != 0 || wanted < 1000 {
			t.Errorf("told %v, would tell %v", s.published(), wanted)
		}
	})
}

// What is told goes down by its age only, whatever the source does.
func TestMissingDataNeverLowersWhatIsTold(t *testing.T) {
	for name, err := range map[string]error{"down": errDown, "garbage": &demand.Error{Kind: demand.Garbage, Err: errors.New("garbage")}, "slow": context.DeadlineExceeded} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				falling := func(at time.Time) float64 { return 2000 - at.Sub(at.Truncate(day)).Minutes() } // the model expects less
				source := &fake{load: falling}
				cfg := config()
				s, stop := begin(t, cfg, source)
				defer stop()
				pass(5 * time.Minute)
				source.set(func() { source.err = err })
				before := s.published()
				slope := before / cfg.Ageing.Fade.Seconds()
				for at := time.Duration(0); at < cfg.Ageing.Fresh+cfg.Ageing.Fade; at += 5 * time.Second {
					pass(5 * time.Second)
					now := s.published()
					if at < cfg.Ageing.Fresh-time.Minute && now < before || before-now > 5*slope*1.2+1e-9 {
						t.Fatalf("after %v: from %v to %v at once", at, before, now)
					}
					before = now
				}
				pass(time.Minute)
				if now := s.published(); now != 0 {
					t.Errorf("told %v at the end", now)
				}
				kind := string(demand.KindOf(err))
				if n := testutil.ToFloat64(s.m.errors.WithLabelValues(kind)); n < 5 || n > 40 {
					t.Errorf("%v errors of kind %s", n, kind)
				}
				if n := testutil.ToFloat64(s.m.missing); n < 17 || n > 20 {
					t.Errorf("%v samples are missing", n)
				}
			})
		})
	}
}

func TestWhatWasMissedIsReadLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &fake{load: daily}
		s, stop := begin(t, config(), source)
		defer stop()
		pass(3 * time.Minute)
		source.set(func() { source.err = errDown })
		pass(10 * time.Minute)
		if s.history.last().After(time.Now().Add(-9 * time.Minute)) {
			t.Errorf("the newest sample is of %v", s.history.last())
		}
		source.set(func() { source.err = nil })
		pass(3 * time.Minute)
		for i, y := range s.history.load {
			if at := s.history.begin().Add(time.Duration(i) * time.Minute); y != daily(at) {
				t.Fatalf("%v: %v; want %v", at, y, daily(at))
			}
		}
		// Once at the start, once for what was missed, and once more where the source
		// came back too late for the step that was due then.
		if n := testutil.ToFloat64(s.m.fits); n != 2 && n != 3 {
			t.Errorf("%v fits; want 2 or 3", n)
		}
	})
}

func TestItBeginsWithoutAHistory(t *testing.T) {
	for name, c := range map[string]struct {
		past error
		fits float64
	}{
		"edges":              {&demand.Error{Kind: demand.Empty, Err: demand.ErrNoHistory}, 1},
		"new Prometheus":     {&demand.Error{Kind: demand.Empty, Err: errors.New("nothing")}, 1},
		"Prometheus is down": {errDown, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source := &fake{load: daily, past: c.past, err: errDown}
				s, stop := begin(t, config(), source)
				defer stop()
				pass(5 * time.Minute)
				if s.published() != 0 || !math.IsInf(s.age(), 1) {
					t.Errorf("told %v of nothing", s.published())
				}
				source.set(func() { source.err = nil })
				pass(5 * time.Minute)
				if got, now := s.published(), daily(time.Now()); got < now {
					t.Errorf("told %v at a load of %v", got, now)
				}
				if n := testutil.ToFloat64(s.m.fits); n != c.fits {
					t.Errorf("%v fits; want %v", n, c.fits)
				}
				source.set(func() { source.past = nil })
				pass(5 * time.Minute)
				if want := name == "Prometheus is down"; (s.history.samples() > 4000) != want {
					t.Errorf("%d samples; the history was to come later: %v", s.history.samples(), want)
				}
			})
		})
	}
}

func TestAStateLastsOverARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	run := func(t *testing.T, source *fake) (samples int, errs float64) {
		synctest.Test(t, func(t *testing.T) {
			cfg := config()
			cfg.State = path
			s, stop := begin(t, cfg, source)
			pass(10 * time.Minute)
			samples, errs = s.history.samples(), testutil.ToFloat64(s.m.errors.WithLabelValues(errorState))
			if s.published() < 1000 {
				t.Errorf("told %v", s.published())
			}
			stop()
		})
		return samples, errs
	}
	const all = 3*1440 + 10
	if n, errs := run(t, &fake{load: daily}); n < all-10 || errs != 0 {
		t.Fatalf("at first: %d samples, %v errors", n, errs)
	}
	// Each bubble begins at the same time: what it stored ends in its future.
	if _, errs := run(t, &fake{load: daily}); errs != 1 {
		t.Errorf("a state of the future: %v errors", errs)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	h, err := decodeHistory(b, "local fake", time.Minute, 0)
	if err != nil {
		t.Fatal(err)
	}
	h.next = h.next.Add(-15 * time.Minute) // as of a process that stopped before
	again := h.encode("local fake")
	if err := writeSnapshot(path, again); err != nil {
		t.Fatal(err)
	}
	none := &demand.Error{Kind: demand.Empty, Err: demand.ErrNoHistory}
	if n, errs := run(t, &fake{load: daily, past: none}); n < 4000 || errs != 0 {
		t.Errorf("after a restart: %d samples, %v errors", n, errs)
	}
	for name, damaged := range map[string][]byte{"cut": again[:len(again)/2], "empty": nil, "one bit": append([]byte(nil), again...)} {
		if name == "one bit" {
			damaged[len(damaged)-3] ^= 4
		}
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if n, errs := run(t, &fake{load: daily, past: none}); n > 20 || errs != 1 {
			t.Errorf("%s: %d samples, %v errors", name, n, errs)
		}
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if n, errs := run(t, &fake{load: daily}); n < 4000 || errs != 1 {
			t.Errorf("%s, but Prometheus knows: %d samples, %v errors", name, n, errs)
		}
	}
	left, err := filepath.Glob(path + ".new*")
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

func TestAScheduleIsAnInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "events.yaml")
		write := func(text string) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("events: []\n")
		cfg := config()
		cfg.Events = path
		s, stop := begin(t, cfg, &fake{load: daily})
		defer stop()
		pass(2 * time.Minute)
		at := time.Now().Add(2 * time.Minute).UTC()
		write("events:\n- {name: final, start: " + at.Format(time.RFC3339) + ", end: " + at.Add(time.Hour).Format(time.RFC3339) + ", size: 5000}\n")
		pass(5 * time.Minute)
		if got := testutil.ToFloat64(s.m.scheduled); got != 5000 {
			t.Errorf("%v is scheduled; want 5000", got)
		}
		if last := s.history.known[len(s.history.known)-1]; last != 5000 || len(s.history.known) != len(s.history.load) {
			t.Errorf("the history has %v, %d rows for %d steps", last, len(s.history.known), len(s.history.load))
		}
		write("events: nonsense\n")
		pass(time.Minute)
		if got, errs := testutil.ToFloat64(s.m.scheduled), testutil.ToFloat64(s.m.errors.WithLabelValues(errorEvents)); got != 5000 || errs != 1 {
			t.Errorf("after nonsense: %v is scheduled, %v errors", got, errs)
		}
	})
}

func TestSchedulesThatCannotBeUsed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.yaml")
	for says, text := range map[string]string{
		"give start and end": "events:\n- {size: 3}\n",
		"after the start":    "events:\n- {start: 2026-03-04T20:00:00Z, end: 2026-03-04T20:00:00Z, size: 3}\n",
		"above 0":            "events:\n- {start: 2026-03-04T20:00:00Z, end: 2026-03-04T21:00:00Z}\n",
		"unknown key":        "events:\n- {begin: 2026-03-04T20:00:00Z}\n",
		"events.yaml:2":      "events:\n- {start: tomorrow}\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readSchedule(path); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	json := `{"events":[{"name":"final","start":"2026-03-04T20:00:00Z","end":"2026-03-04T22:00:00Z","size":120000}]}`
	if err := os.WriteFile(path, []byte(json), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := readSchedule(path)
	if at := time.Date(2026, 3, 4, 21, 0, 0, 0, time.UTC); err != nil || s.at(at) != 120000 || s.at(at.Add(time.Hour)) != 0 {
		t.Errorf("JSON: %v, %v", s, err)
	}
}

func TestConfigurationsThatCannotWork(t *testing.T) {
	for says, change := range map[string]func(*Config){
		"region:":        func(c *Config) { c.Region = "" },
		"mode":           func(c *Config) { c.Mode = "direct" },
		"is a day":       func(c *Config) { c.Step = 7 * time.Minute },
		"tick":           func(c *Config) { c.Tick = 25 * time.Second },
		"horizon":        func(c *Config) { c.Horizon = 5 * time.Hour },
		"history":        func(c *Config) { c.History = 0 },
		"state_every":    func(c *Config) { c.StateEvery = 0 },
		"plan.lead":      func(c *Config) { c.Plan.Lead = time.Hour },
		"plan.per_pod":   func(c *Config) { c.Plan.Overloaded = "x" },
		"plan.quantile":  func(c *Config) { c.Plan.Quantile = 95 },
		"a single sampl": func(c *Config) { c.Ageing.Fresh = 10 * time.Second },
	} {
		cfg := config()
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

// With the load that a pod carries, what is told is a whole number of pods: enough
// for now, more before a rise that comes every day, and no fewer when nothing is
// known.
func TestPodsAreWantedAheadOfARise(t *testing.T) {
	cfg := Default()
	cfg.Step, cfg.Plan.PerPod, cfg.Plan.Lead = 15*time.Second, 10, 2*time.Minute
	cfg.Tick = cfg.Step
	e, err := newEngine(cfg)
	if err != nil {
		t.Fatal(err)
	}
	const perDay = 5760
	load := func(i int) float64 { return 300 - 250*math.Cos(2*math.Pi*float64(i)/perDay) + float64(i%3) }
	history := make([]float64, 2*perDay)
	for i := range history {
		history[i] = load(i)
	}
	e.plan.Fit(history)
	const rising = perDay / 4
	last := 0.0
	for i := range rising {
		last = e.want(load(i))
		if last < load(i)-12 || math.Abs(last/10-math.Round(last/10)) > 1e-9 {
			t.Fatalf("tick %d: %v are wanted for a load of %.0f", i, last, load(i))
		}
	}
	if ahead := load(rising + 8); last < ahead {
		t.Errorf("%v are wanted, the load two minutes later is %.0f", last, ahead)
	}
	for range 100 {
		if got := e.want(math.NaN()); got < last {
			t.Fatalf("%v are wanted when nothing is known, after %v", got, last)
		}
	}
	cfg.Plan.PerPod = -1
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "load a pod") {
		t.Errorf("a negative load a pod: %v", err)
	}
}

// Pods that are overloaded below the load that was configured for them make for
// more pods, learnt from the past at the start and from every tick after it; what
// cannot be read changes nothing.
func TestWhatAPodCarriesIsLearnt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Plan.PerPod, cfg.Plan.Overloaded, cfg.Demand.Prometheus = 100, "overloaded", "http://127.0.0.1:1"
		told := func(overloaded func(at time.Time) float64, err error) (service *service, wanted float64) {
			f, open := openFleet(cfg)
			if open != nil {
				t.Fatal(open)
			}
			f.ready = &fake{load: func(time.Time) float64 { return 10 }, err: err, past: err}
			f.overloaded = &fake{load: overloaded, err: err, past: err}
			s, err := newService(cfg, &fake{load: func(at time.Time) float64 { return 600 + float64(at.Unix()/60%7)*30 }}, func() bool { return true }, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
			if err != nil {
				t.Fatal(err)
			}
			s.fleet = f
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- s.Run(ctx) }()
			pass(10*time.Minute + time.Second)
			wanted = s.published()
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			return s, wanted
		}
		never := func(time.Time) float64 { return 0 }
		above70 := func(at time.Time) float64 {
			if at.Unix()/60%7 >= 4 { // 720 over 10 pods
				return 1
			}
			return 0
		}
		s, without := told(never, nil)
		if got := s.fleet.perPod.Load(); got != 100 {
			t.Errorf("nobody was overloaded, and a pod carries %.1f, want the 100 of the configuration", got)
		}
		s, with := told(above70, nil)
		if got := s.fleet.perPod.Load(); got < 66 || got > 72 {
			t.Errorf("a pod carries %.1f, want about 70", got)
		}
		if got := testutil.ToFloat64(s.m.perPod); got != s.fleet.perPod.Load() {
			t.Errorf("the metric says %v", got)
		}
		if with < 1.25*without || math.Mod(with, 100) != 0 {
			t.Errorf("%v is told, %v when nobody was overloaded; want whole pods of 100, about 10/7 of it", with, without)
		}
		s, blind := told(above70, errDown)
		if blind != without || testutil.ToFloat64(s.m.errors.WithLabelValues(errorFleet)) < 10 {
			t.Errorf("%v is told when the fleet cannot be read, %v when nobody was overloaded", blind, without)
		}
	})
}

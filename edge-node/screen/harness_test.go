package screen

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/filter/bundle"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// signer is a key whose public half lies in a file.
type signer struct {
	t       testing.TB
	private ed25519.PrivateKey
	public  string
}

func newSigner(t testing.TB, seed byte) signer {
	t.Helper()
	key := ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune(seed)), ed25519.SeedSize)))
	text, err := bundle.MarshalPublicKey(key.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "filter.pub")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return signer{t, key, path}
}

// world is a Source that tests change.
type world struct {
	mu      sync.Mutex // guards the fields below
	state   *rpc.ControlState
	bundles map[string][]byte
	broken  bool
	fetches int
	reports []*rpc.FilterReport
	poison  string        // digest of what panics
	slow    time.Duration // before a fetch is answered

	changed chan struct{}
}

func newWorld() *world {
	return &world{state: &rpc.ControlState{}, bundles: map[string][]byte{}, changed: make(chan struct{}, 1)}
}

func (w *world) State() *rpc.ControlState {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

func (w *world) Changed() <-chan struct{} { return w.changed }

func (w *world) FetchFilter(ctx context.Context, digest []byte, _ int) ([]byte, error) {
	select {
	case <-time.After(w.slow):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if string(digest) == w.poison {
		panic("poison")
	}
	w.fetches++
	b, ok := w.bundles[string(digest)]
	if w.broken || !ok {
		return nil, errors.New("no core node has it")
	}
	return b, nil
}

func (w *world) Report(reports []*rpc.FilterReport) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reports = reports
}

// put replaces the sets of the state.
func (w *world) put(sets ...*rpc.FilterSet) {
	w.mu.Lock()
	w.state = &rpc.ControlState{Version: w.state.GetVersion() + 1, Filters: sets}
	w.mu.Unlock()
	w.changed <- struct{}{}
}

func (w *world) breaks(broken bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = broken
}

func (w *world) fetched() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fetches
}

func (w *world) report(name string) *rpc.FilterReport {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.reports {
		if r.GetName() == name {
			return r
		}
	}
	return nil
}

// stage seals a bundle, makes it known and returns a stage that names it.
func (w *world) stage(s signer, name string, version uint64, mode string, entries ...filter.Entry) *rpc.FilterStage {
	bundle := seal(s.t, name, version, entries, s.private)
	sum := sha256.Sum256(bundle)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bundles[string(sum[:])] = bundle
	return &rpc.FilterStage{Version: version, Digest: sum[:], Size: uint32(len(bundle)), Mode: mode}
}

func aSet(name, rooms string, stages ...*rpc.FilterStage) *rpc.FilterSet {
	return &rpc.FilterSet{Name: name, Rooms: rooms, Stages: stages}
}

func word(word string, action filter.Action) filter.Entry {
	return filter.Entry{Word: word, Severity: 2, Action: action, Categories: []string{"test"}}
}

// A started screen and what it says.
type started struct {
	*Screen
	t   testing.TB
	reg *prometheus.Registry
	log *strings.Builder
}

func startScreen(t testing.TB, cfg Config, w *world) *started {
	t.Helper()
	s := &started{t: t, reg: prometheus.NewRegistry(), log: &strings.Builder{}}
	var err error
	if s.Screen, err = Start(cfg, "eu", w, slog.New(slog.NewTextHandler(s.log, nil)), s.reg); err != nil {
		t.Fatal(err)
	}
	return s
}

// settle waits until the screen has done what it can at this moment.
func settle() {
	time.Sleep(time.Millisecond)
	synctest.Wait()
}

func (s *started) expect(room, text string, want filter.Action) {
	s.t.Helper()
	if got := s.Judge(room, nil, []byte(text)).Action; got != want {
		s.t.Errorf("%q in %s: %v, want %v\n%s", text, room, got, want, s.log)
	}
}

// metric sums the values of a metric, those with a label of this value only
// unless it is empty.
func (s *started) metric(name, label string) (sum float64) {
	s.t.Helper()
	families, err := s.reg.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if label == "" || has(m, label) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

func has(m *dto.Metric, value string) bool {
	for _, l := range m.GetLabel() {
		if l.GetValue() == value {
			return true
		}
	}
	return false
}

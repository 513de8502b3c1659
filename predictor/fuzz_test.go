package predictor

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barrage-im/barrage/predictor/forecast"
	"github.com/barrage-im/barrage/predictor/series"
)

// FuzzSchedule reads a schedule: events that can be, whose load at any time is one,
// or an error that names the file.
func FuzzSchedule(f *testing.F) {
	for _, text := range []string{
		"events:\n- {name: a, start: 2026-03-04T20:00:00Z, end: 2026-03-04T22:00:00Z, size: 12}\n",
		`{"events":[]}`, "", "null", "events:", "events: {}", "events: [null]", "events: [[]]", "- 1", "events: &a [*a]\n",
		"events:\n- {start: 2026-03-04T20:00:00Z, end: 2026-03-04T21:00:00Z, size: .nan}\n",
		"events:\n- {start: 2026-03-04T20:00:00Z, end: 2026-03-04T21:00:00Z, size: .inf}\n",
		"events:\n- {start: 2026-03-04T20:00:00Z, end: 2026-03-04T21:00:00Z, size: -1}\n",
		"events:\n- {start: 2026-03-04T20:00:00Z, end: 2026-03-04T21:00:00Z, size: 1e15}\n- {start: 2026-03-04T20:00:00Z, end: 2026-03-04T21:00:00Z, size: 1e15}\n",
		"events:\n- {start: 0000-01-01T00:00:00Z, end: 9999-12-31T23:59:59Z, size: 1}\n",
		"events:\n- {start: 2026-03-04T20:00:00+23:59, end: 2026-03-04T20:00:00-23:59, size: 1}\n",
	} {
		f.Add([]byte(text))
	}
	path := filepath.Join(f.TempDir(), "events.yaml")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := readSchedule(path)
		if err != nil {
			if !strings.Contains(err.Error(), path) {
				t.Fatalf("which file? %v", err)
			}
			return
		}
		if len(s.events) > maxEvents {
			t.Fatalf("%d events", len(s.events))
		}
		for _, e := range s.events {
			if !e.End.After(e.Start) || e.End.Sub(e.Start) > maxEvent || !(e.Size > 0 && e.Size <= forecast.MaxLoad) {
				t.Fatalf("taken: %+v", e)
			}
			for _, v := range s.appendRows(nil, e.Start, e.End.Sub(e.Start)/3+1, 3) {
				if !(v >= e.Size && v <= forecast.MaxLoad) {
					t.Fatalf("%v while %+v is on", v, e)
				}
			}
		}
	})
}

// FuzzSnapshot reads a stored history: loads that are loads or missing, inputs that
// are there for each step or not at all, the same bytes when it is stored again; or
// an error that says which of the two it is. With sealed, the checksum is right.
func FuzzSnapshot(f *testing.F) {
	h := &history{step: time.Minute, next: time.Unix(60000, 0), load: []float64{1, math.NaN(), 3}, known: []float64{0, 0, 5}}
	good := h.encode("x")
	f.Add(good, false, 1)
	f.Add(good, true, 0)
	f.Add(good[:len(good)-8], true, 1)
	f.Add([]byte(snapshotMagic), true, 1)
	for _, v := range []float64{-1, math.Inf(1), 2 * forecast.MaxLoad, math.Copysign(0, -1)} {
		f.Add((&history{step: time.Minute, next: time.Unix(60000, 0), load: []float64{v}}).encode("x"), false, 0)
	}
	f.Add((&history{step: time.Minute, next: time.Unix(60000, 0), load: []float64{1}, known: []float64{math.NaN()}}).encode("x"), false, 1)
	f.Fuzz(func(t *testing.T, b []byte, sealed bool, inputs int) {
		inputs &= 1
		if sealed {
			b = seal(b)
		}
		got, err := decodeHistory(b, "x", time.Minute, inputs)
		if err != nil {
			if got != nil || !errors.Is(err, errSnapshot) && !errors.Is(err, errOther) || len(err.Error()) > 5*maxSource {
				t.Fatal(got, err)
			}
			return
		}
		if got.step != time.Minute || len(got.load) > series.MaxSamples || len(got.known) != 0 && len(got.known) != inputs*len(got.load) {
			t.Fatalf("taken: %+v", got)
		}
		for i, v := range got.load {
			if !math.IsNaN(v) && !(v >= 0 && v <= forecast.MaxLoad) {
				t.Fatalf("load %d is %v", i, v)
			}
		}
		for i, v := range got.known {
			if !(v >= 0 && v <= forecast.MaxLoad) {
				t.Fatalf("input %d is %v", i, v)
			}
		}
		again := got.encode("x")
		if len(got.known) == len(got.load)*columnsOf(b) && !bytes.Equal(again, b) {
			t.Fatalf("%+v is stored as other bytes than it was read from", got)
		}
		back, err := decodeHistory(again, "x", time.Minute, inputs)
		if err != nil || !bytes.Equal(back.encode("x"), again) || !back.next.Equal(got.next) {
			t.Fatalf("%+v becomes %+v, %v", got, back, err)
		}
	})
}

// columnsOf is how many inputs a step has in a good snapshot of "x".
func columnsOf(b []byte) int {
	return int(binary.LittleEndian.Uint32(b[len(snapshotMagic)+sha256.Size+2+1+8+8+4:]))
}

// seal gives bytes the right magic and checksum, so that fuzzing comes past them.
func seal(b []byte) []byte {
	b = bytes.TrimPrefix(b, []byte(snapshotMagic))
	if len(b) > sha256.Size {
		b = b[sha256.Size:]
	}
	sum := sha256.Sum256(b)
	return append(append([]byte(snapshotMagic), sum[:]...), b...)
}

// FuzzPlacedHistory takes samples at any times and of any value, as a source may
// answer them. What is placed is loads or missing, no known step is overwritten, what
// autoscalers are told is a load, and the stored state can be read again.
func FuzzPlacedHistory(f *testing.F) {
	of := func(pairs ...float64) (b []byte) {
		for i := 0; i < len(pairs); i += 2 {
			b = binary.LittleEndian.AppendUint16(b, uint16(int16(pairs[i])))
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(pairs[i+1]))
		}
		return b
	}
	f.Add(of(0, 1, 60, 2, 120, 3))
	f.Add(of(120, 1, 60, 2, 60, 3, -60, 4, 32767, 5))
	f.Add(of(0, math.NaN(), 60, math.Inf(1), 120, -1, 180, 1e16, 240, 1e15))
	f.Fuzz(func(t *testing.T, b []byte) {
		const steps, knownAt, known = 64, 7, 42
		cfg := config()
		cfg.History = steps * time.Minute
		s, err := newService(cfg, &fake{load: daily}, func() bool { return false }, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		from := time.Unix(60000, 0).UTC()
		s.history.next = from
		s.skip(from.Add(steps * time.Minute))
		s.history.load[knownAt] = known
		var points []series.Point
		for ; len(b) >= 10; b = b[10:] {
			points = append(points, series.Point{
				At:    from.Add(time.Duration(int16(binary.LittleEndian.Uint16(b))) * time.Second),
				Value: math.Float64frombits(binary.LittleEndian.Uint64(b[2:])),
			})
		}
		filled := s.place(points, from, from.Add((steps-1)*time.Minute))
		if got := s.history.samples(); got != filled+1 || s.history.load[knownAt] != known || len(s.history.load) != steps {
			t.Fatalf("%d filled, %d samples of %d, %v where %v was", filled, got, len(s.history.load), s.history.load[knownAt], known)
		}
		s.learn()
		if err := s.told.Check(); err != nil || s.told.At.IsZero() || s.told.Load > 1e3*forecast.MaxLoad {
			t.Fatalf("told %+v: %v", s.told, err)
		}
		back, err := decodeHistory(s.history.encode("x"), "x", time.Minute, 0)
		if err != nil || back.samples() != s.history.samples() {
			t.Fatalf("what was placed cannot be stored: %v, %v", back, err)
		}
	})
}

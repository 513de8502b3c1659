package ledger

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// longest is the longest latency told apart, in nanoseconds; longer ones count
// as this.
const longest = int64(2 * time.Minute)

// Latency is a histogram of durations with three significant digits.
type Latency struct{ h *hdrhistogram.Histogram }

// NewLatency makes an empty one.
func NewLatency() *Latency {
	return &Latency{hdrhistogram.New(int64(time.Microsecond), longest, 3)}
}

// Record adds a duration in nanoseconds.
func (l *Latency) Record(ns int64) {
	l.h.RecordValue(min(max(ns, 0), longest)) //nolint:errcheck // within range by the line itself
}

// Summary is a latency in milliseconds.
type Summary struct {
	Count uint64  `json:"count"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p999_ms"`
	Max   float64 `json:"max_ms"`
}

// Summary reads the percentiles.
func (l *Latency) Summary() Summary {
	at := func(q float64) float64 { return float64(l.h.ValueAtQuantile(q)) / 1e6 }
	return Summary{
		Count: uint64(l.h.TotalCount()), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9),
		Max: float64(l.h.Max()) / 1e6,
	}
}

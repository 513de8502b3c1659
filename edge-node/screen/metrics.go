package screen

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barrage-im/barrage/filter"
)

// actions is how many a verdict may have.
const actions = int(filter.Block) + 1

type metrics struct {
	sets        prometheus.Gauge
	refusing    prometheus.Gauge
	reloads     prometheus.Counter
	fetchErrors prometheus.Counter
	copyErrors  prometheus.Counter
	refused     *prometheus.CounterVec
	words       *prometheus.GaugeVec
	version     *prometheus.GaugeVec
	memory      prometheus.Gauge
	build       prometheus.Histogram
	scan        prometheus.Histogram

	messages, reported [actions]prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "barrage_filter_" + name, Help: help}, []string{"set"})
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "barrage_filter_" + name, Help: help}, labels)
	}
	messages := counter("messages_total", "Messages that rules were asked about, by verdict.", "verdict")
	reported := counter("reported_total", "Messages by what rules in report mode would have had done.", "verdict")
	fetchErrors := counter("fetch_errors_total", "Bundles that could not be fetched, attempts.")
	copyErrors := counter("copy_errors_total", "Copies of rules that could not be written.")
	reloads := counter("reloads_total", "Changes of the rules in force.")
	m := &metrics{
		sets:        prometheus.NewGauge(prometheus.GaugeOpts{Name: "barrage_filter_sets", Help: "Sets of rules in force."}),
		refusing:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "barrage_filter_refused_sets", Help: "Sets whose newest version this edge refuses."}),
		reloads:     reloads.WithLabelValues(),
		fetchErrors: fetchErrors.WithLabelValues(),
		copyErrors:  copyErrors.WithLabelValues(),
		refused:     counter("refused_total", "Versions of rules that were refused, by reason.", "reason"),
		words:       gauge("words", "Words of the version in force."),
		version:     gauge("version", "Version in force."),
		memory:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "barrage_filter_bytes", Help: "Memory of all rules in force."}),
		build: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "barrage_filter_build_seconds", Help: "Time to compile a bundle.",
			Buckets: prometheus.ExponentialBuckets(1e-3, 4, 8), // to 16 s
		}),
		scan: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "barrage_filter_scan_seconds", Help: "Time to judge a message; one of 16 is timed.",
			Buckets: prometheus.ExponentialBuckets(250e-9, 4, 9), // to 16 ms
		}),
	}
	for i := range actions {
		m.messages[i] = messages.WithLabelValues(filter.Action(i).String())
		m.reported[i] = reported.WithLabelValues(filter.Action(i).String())
	}
	if reg == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		m.sets, m.refusing, reloads, fetchErrors, copyErrors, m.refused, m.words, m.version, m.memory, m.build, m.scan, messages, reported,
	} {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}

// describe says what is in force of a set. Core bounds how many there are.
func (m *metrics) describe(s *set) {
	m.words.WithLabelValues(s.name).Set(float64(s.filter.Len()))
	m.version.WithLabelValues(s.name).Set(float64(s.version()))
}

func (m *metrics) forget(name string) {
	m.words.DeleteLabelValues(name)
	m.version.DeleteLabelValues(name)
}

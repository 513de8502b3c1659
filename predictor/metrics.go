package predictor

import (
	"math"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barrage-im/barrage/predictor/demand"
)

// Kinds of errors beside those of demand.
const (
	errorState  = "state"  // the stored history cannot be read or written
	errorEvents = "events" // the schedule cannot be read
	errorFleet  = "fleet"  // pods that serve or are overloaded cannot be read
)

// blocks are the horizons that experts are weighed by.
var blocks = []string{"1-3", "4-8", "9-15", "16-"}

type metrics struct {
	load      prometheus.Gauge
	point     *prometheus.GaugeVec
	quantile  *prometheus.GaugeVec
	maximum   *prometheus.GaugeVec
	weight    *prometheus.GaugeVec
	mae       *prometheus.GaugeVec
	pinball   *prometheus.GaugeVec
	coverage  *prometheus.GaugeVec
	finished  prometheus.Counter
	samples   prometheus.Counter
	missing   prometheus.Counter
	errors    *prometheus.CounterVec
	fits      prometheus.Counter
	fitTime   prometheus.Gauge
	changes   prometheus.Gauge
	scheduled prometheus.Gauge
	history   prometheus.Gauge
	perPod    prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer, s *service, leads func() bool) (*metrics, error) {
	opts := func(name, help string) prometheus.GaugeOpts {
		return prometheus.GaugeOpts{Name: "barrage_predictor_" + name, Help: help, ConstLabels: prometheus.Labels{"region": s.cfg.Region}}
	}
	gauge := func(name, help string) prometheus.Gauge { return prometheus.NewGauge(opts(name, help)) }
	vec := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(opts(name, help), labels)
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts(opts(name, help)))
	}
	live := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(opts(name, help), value)
	}
	m := &metrics{
		load:      gauge("load", "Demand as it was last read."),
		point:     vec("forecast_load", "Median of the demand so far ahead.", "ahead"),
		quantile:  vec("forecast_quantile_load", "Quantile of the demand so far ahead.", "ahead", "quantile"),
		maximum:   vec("lead_maximum_load", "Quantile of the maximum of the demand over the lead.", "quantile"),
		weight:    vec("expert_weight_ratio", "Share of an expert in the forecast, by steps ahead.", "expert", "steps"),
		mae:       vec("forecast_error_load", "Mean absolute error of the median, over about a day.", "ahead"),
		pinball:   vec("forecast_pinball_load", "Mean pinball loss of the quantiles, over about a day.", "ahead"),
		coverage:  vec("forecast_coverage_ratio", "Share of samples inside an interval, over about a day.", "ahead", "interval"),
		finished:  counter("finished_forecasts_total", "Forecasts whose first step has come."),
		samples:   counter("samples_total", "Steps whose demand was read."),
		missing:   counter("missing_samples_total", "Steps whose demand was not read."),
		errors:    prometheus.NewCounterVec(prometheus.CounterOpts(opts("errors_total", "What could not be read or written, by kind.")), []string{"kind"}),
		fits:      counter("fits_total", "Histories learnt from the beginning."),
		fitTime:   gauge("fit_seconds", "How long the last history took to learn."),
		changes:   gauge("regime_changes", "Changes of regime that the forecaster met since it was fitted."),
		scheduled: gauge("scheduled_load", "What the schedule says of now."),
		history:   gauge("history_samples", "Samples of the history that is learnt from."),
		perPod:    gauge("pod_load", "Load that one pod carries, as configured or learnt; 0: not used."),
	}
	for _, kind := range demand.Kinds {
		m.errors.WithLabelValues(string(kind))
	}
	m.errors.WithLabelValues(errorState)
	m.errors.WithLabelValues(errorEvents)
	m.errors.WithLabelValues(errorFleet)
	m.perPod.Set(s.cfg.Plan.PerPod)
	for _, c := range []prometheus.Collector{
		m.load, m.point, m.quantile, m.maximum, m.weight, m.mae, m.pinball, m.coverage, m.finished, m.samples, m.missing,
		m.errors, m.fits, m.fitTime, m.changes, m.scheduled, m.history, m.perPod,
		live("published_load", "What autoscalers are told; 0 tells them nothing.", s.published),
		live("wanted_load", "What autoscalers would be told in mode publish, by the age of the forecast.", func() float64 { load, _ := s.wanted(); return load }),
		live("fresh_ratio", "How much of the forecast still counts by its age, 1 to 0.", func() float64 { _, share := s.wanted(); return share }),
		live("leader", "1: this predictor leads, or there is no election.", func() float64 {
			if leads() {
				return 1
			}
			return 0
		}),
		live("sample_age_seconds", "Age of the newest sample; +Inf: there is none.", s.age),
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// show renews what depends on the forecast.
func (m *metrics) show(e *engine) {
	m.changes.Set(float64(e.f.Stats().Changes))
	for _, w := range e.f.Weights() {
		for b, share := range w.Share {
			if b < len(blocks) {
				m.weight.WithLabelValues(w.Expert, blocks[b]).Set(share)
			}
		}
	}
	if !e.made {
		return
	}
	for i, level := range e.levels {
		m.maximum.WithLabelValues(number(level)).Set(e.forecast.Maximum[e.cfg.lead()-1][i])
	}
	for h := range e.forecast.Point {
		ahead := (time.Duration(h+1) * e.cfg.Step).String()
		m.point.WithLabelValues(ahead).Set(e.forecast.Point[h])
		for i, level := range e.levels {
			m.quantile.WithLabelValues(ahead, number(level)).Set(e.forecast.Quantiles[h][i])
		}
		j := e.accuracy.ahead[h]
		if j.count == 0 {
			continue
		}
		m.mae.WithLabelValues(ahead).Set(j.mae)
		m.pinball.WithLabelValues(ahead).Set(j.pinball)
		for i, iv := range intervals {
			m.coverage.WithLabelValues(ahead, iv.name).Set(j.coverage[i])
		}
	}
	m.finished.Add(float64(e.accuracy.done))
	e.accuracy.done = 0
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// never is the age of a sample that there is not.
var never = math.Inf(1)

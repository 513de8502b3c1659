package api

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	refused       *prometheus.CounterVec
	denied        *prometheus.CounterVec
	resets        *prometheus.CounterVec
	gaps          *prometheus.CounterVec
	pressure      prometheus.Counter
	relayBreaks   prometheus.Counter
	fed           prometheus.Counter
	fedFromStore  prometheus.Counter
	edges         prometheus.Gauge
	feeds         prometheus.Gauge
	subscriptions prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	var errs []error
	register := func(c prometheus.Collector) { errs = append(errs, reg.Register(c)) }
	vec := func(name, help string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "barrage", Subsystem: "core", Name: name, Help: help}, []string{"reason"})
		register(c)
		return c
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "barrage", Subsystem: "core", Name: name, Help: help})
		register(c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "barrage", Subsystem: "core", Name: name, Help: help})
		register(g)
		return g
	}
	m := &metrics{
		refused:       vec("connections_refused_total", "Connections that did not get through the door."),
		denied:        vec("calls_denied_total", "Calls that the caller's role may not make."),
		resets:        vec("lane_resets_total", "Lanes whose edge was asked to send again."),
		gaps:          vec("feed_gaps_total", "Gaps told to feeds."),
		pressure:      counter("lane_waits_total", "Times a stream was not read because too much was unanswered."),
		relayBreaks:   counter("relay_breaks_total", "Streams to other nodes that broke."),
		fed:           counter("fed_messages_total", "Messages sent to feeds."),
		fedFromStore:  counter("fed_from_store_total", "Messages sent to feeds that the tail no longer held."),
		edges:         gauge("edges", "Edges attached to this node."),
		feeds:         gauge("feeds", "Feeds open on this node."),
		subscriptions: gauge("subscriptions", "Rooms that the feeds of this node subscribe to."),
	}
	return m, errors.Join(errs...)
}

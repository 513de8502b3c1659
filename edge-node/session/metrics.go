package session

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	sessions   *prometheus.GaugeVec
	connects   prometheus.Counter
	published  prometheus.Counter
	publishing prometheus.Histogram
	heartbeats prometheus.Counter
	moved      prometheus.Counter
	panics     prometheus.Counter
	outbox     prometheus.Counter
	held       prometheus.Counter
	refused    *prometheus.CounterVec
	closed     *prometheus.CounterVec
	fed        *prometheus.CounterVec
	unfed      *prometheus.CounterVec
	moderated  *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, s *Server) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "barrage_edge_" + name, Help: help})
	}
	m := &metrics{
		sessions:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "barrage_edge_sessions", Help: "Connections, by transport."}, []string{"transport"}),
		connects:  counter("connects_total", "Connections that were authenticated."),
		published: counter("published_total", "Publishes that were acknowledged."),
		publishing: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "barrage_edge_publish_seconds", Help: "From a publish's arrival to its acknowledgement.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
		heartbeats: counter("heartbeats_total", "Heartbeats sent."),
		moved:      counter("moved_total", "Clients asked to reconnect elsewhere."),
		panics:     counter("session_panics_total", "Panics that ended a session."),
		outbox:     counter("outbox_overflows_total", "Sessions closed because they did not read their replies."),
		held:       counter("held_total", "Waits of connections that sent frames faster than the limit."),
		refused:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "barrage_edge_refused_total", Help: "Commands that were refused, by reason."}, []string{"reason"}),
		fed:        prometheus.NewCounterVec(prometheus.CounterOpts{Name: "barrage_filter_feed_total", Help: "Items for moderation feeds, by kind."}, []string{"kind"}),
		unfed:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "barrage_filter_feed_dropped_total", Help: "Items that moderation feeds did not get, by reason."}, []string{"reason"}),
		closed:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "barrage_edge_closed_total", Help: "Connections that ended or were refused, by reason."}, []string{"reason"}),
		moderated:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "barrage_edge_moderated_total", Help: "What moderators did here, by action."}, []string{"action"}),
	}
	if reg == nil {
		return m, nil
	}
	all := []prometheus.Collector{
		m.sessions, m.connects, m.published, m.publishing, m.heartbeats, m.moved, m.panics, m.outbox, m.held, m.refused, m.closed, m.moderated, m.fed, m.unfed,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "barrage_filter_waiting", Help: "Messages that wait for the external check, for a feed, or behind one that does."}, func() float64 { return float64(s.waitingJobs.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "barrage_edge_connections", Help: "Connections of all transports."}, func() float64 { return float64(s.Count()) }),
	}
	for _, c := range all {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

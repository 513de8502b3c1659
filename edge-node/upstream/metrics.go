package upstream

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	connected  prometheus.Gauge
	reconnects prometheus.Counter
	proposals  prometheus.Counter
	commands   prometheus.Counter
	refused    *prometheus.CounterVec
	resets     *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		connected:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "barrage_edge_core_connected", Help: "1 while a core node serves this edge."}),
		reconnects: prometheus.NewCounter(prometheus.CounterOpts{Name: "barrage_edge_core_reconnects_total", Help: "Connections to core that ended or could not be made."}),
		proposals:  prometheus.NewCounter(prometheus.CounterOpts{Name: "barrage_edge_lane_proposals_total", Help: "Proposals sent to core."}),
		commands:   prometheus.NewCounter(prometheus.CounterOpts{Name: "barrage_edge_lane_commands_total", Help: "Commands in proposals, repetitions included."}),
		refused:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "barrage_edge_lane_refused_total", Help: "Publishes that core refused or the lane gave up, by reason."}, []string{"reason"}),
		resets:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "barrage_edge_lane_resets_total", Help: "Lanes that had to begin a new generation, by reason."}, []string{"reason"}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.connected, m.reconnects, m.proposals, m.commands, m.refused, m.resets} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

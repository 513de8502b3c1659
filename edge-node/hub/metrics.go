package hub

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	deliveries prometheus.Counter
	writes     prometheus.Counter
	bytes      prometheus.Counter
	flushes    prometheus.Counter
	window     prometheus.Histogram
	lagged     prometheus.Counter
	feedGaps   prometheus.Counter
	reads      prometheus.Counter
	gaps       *prometheus.CounterVec
	dropped    *prometheus.CounterVec
	joins      *prometheus.CounterVec
	sanctions  *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, h *Hub) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "barrage_edge_" + name, Help: help})
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "barrage_edge_" + name, Help: help}, []string{label})
	}
	m := &metrics{
		deliveries: counter("deliveries_total", "Messages sent to members."),
		writes:     counter("writes_total", "Writes to connections on behalf of rooms."),
		bytes:      counter("sent_bytes_total", "Bytes of those writes."),
		flushes:    counter("flushes_total", "Flushes of rooms."),
		window: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "barrage_edge_flush_window_seconds", Help: "Windows of flushes that waited.", Buckets: []float64{.005, .01, .02, .03, .04, .05},
		}),
		lagged:    counter("members_lagged_total", "Members whose connection was busy at a flush and who go on from the tail."),
		feedGaps:  counter("feed_gaps_total", "Gaps in what core fed to this edge."),
		reads:     counter("history_reads_total", "Pages of history read for members behind the tail."),
		gaps:      vec("gaps_total", "Gaps that clients were told of, by reason.", "reason"),
		dropped:   vec("dropped_total", "Blocks, pages and pushes that were not used, by reason.", "reason"),
		joins:     vec("joins_total", "Joins by how they were answered: head, tail, history, ahead, epoch, failed.", "result"),
		sanctions: vec("sanctions_total", "Members who were told of a sanction, by what it was.", "action"),
	}
	if reg == nil {
		return m, nil
	}
	all := []prometheus.Collector{
		m.deliveries, m.writes, m.bytes, m.flushes, m.window, m.lagged, m.feedGaps, m.reads, m.gaps, m.dropped, m.joins, m.sanctions,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "barrage_edge_tail_bytes", Help: "Bytes of all room tails."}, func() float64 { return float64(h.tails.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "barrage_edge_rooms", Help: "Rooms with a tail on this edge."}, func() float64 {
			h.mu.Lock()
			defer h.mu.Unlock()
			return float64(len(h.rooms))
		}),
	}
	for _, c := range all {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

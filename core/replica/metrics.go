package replica

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of a node. Shards are few and numbered, so they may be a label.
type metrics struct {
	entries, sections, bytes, skipped, told *prometheus.CounterVec
	commit, apply, fsync                    *prometheus.HistogramVec
	leader, pending                         *prometheus.GaugeVec
	refused                                 *prometheus.CounterVec // by reason
	snapshotBytes                           *prometheus.CounterVec // by direction
	conns                                   *prometheus.CounterVec // refused, by reason
	diskFree, diskTotal                     prometheus.Gauge
}

type shardMetrics struct {
	entries, sections, bytes, skipped, told prometheus.Counter
	commit, apply, fsync                    prometheus.Observer
	leader, pending                         prometheus.Gauge
	refused, snapshotBytes                  *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "barrage", Subsystem: "replica", Name: name, Help: help}
	}
	count := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts(opts(name, help)), labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts(opts(name, help)), labels)
	}
	seconds := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "barrage", Subsystem: "replica", Name: name, Help: help,
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16), // 0.1 ms to 3.3 s
		}, []string{"shard"})
	}
	m := &metrics{
		entries:       count("entries_total", "Log entries proposed by this node.", "shard"),
		sections:      count("sections_total", "Sections proposed by this node.", "shard"),
		bytes:         count("entry_bytes_total", "Bytes of log entries proposed by this node.", "shard"),
		skipped:       count("skipped_entries_total", "Replayed entries that the state held already.", "shard"),
		told:          count("told_total", "Messages that told a follower of a commit and nothing else.", "shard"),
		commit:        seconds("commit_seconds", "From proposing an entry to its effects."),
		apply:         seconds("apply_seconds", "Applying and storing one batch of entries."),
		fsync:         seconds("log_write_seconds", "Writing entries to the log, durably."),
		leader:        gauge("leader", "1 where this node leads the shard.", "shard"),
		pending:       gauge("pending_bytes", "Bytes that wait to be proposed.", "shard"),
		refused:       count("refused_total", "Sections that were not proposed or whose outcome is unknown, by reason.", "reason"),
		snapshotBytes: count("snapshot_bytes_total", "Bytes of snapshots between nodes.", "direction"),
		conns:         count("refused_connections_total", "Raft connections refused, by reason.", "reason"),
		diskFree:      prometheus.NewGauge(prometheus.GaugeOpts(opts("disk_free_bytes", "Free bytes of the data directory's file system."))),
		diskTotal:     prometheus.NewGauge(prometheus.GaugeOpts(opts("disk_total_bytes", "Bytes of the data directory's file system."))),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.entries, m.sections, m.bytes, m.skipped, m.told, m.commit, m.apply, m.fsync, m.leader, m.pending,
		m.refused, m.snapshotBytes, m.conns, m.diskFree, m.diskTotal,
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) shard(id uint32) *shardMetrics {
	l := strconv.FormatUint(uint64(id), 10)
	return &shardMetrics{
		entries: m.entries.WithLabelValues(l), sections: m.sections.WithLabelValues(l), bytes: m.bytes.WithLabelValues(l),
		skipped: m.skipped.WithLabelValues(l), told: m.told.WithLabelValues(l),
		commit: m.commit.WithLabelValues(l), apply: m.apply.WithLabelValues(l), fsync: m.fsync.WithLabelValues(l),
		leader: m.leader.WithLabelValues(l), pending: m.pending.WithLabelValues(l),
		refused: m.refused, snapshotBytes: m.snapshotBytes,
	}
}

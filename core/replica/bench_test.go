package replica

import (
	"bytes"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/barrage-im/barrage/core/machine"
)

// BenchmarkCommit is durable messages of 128 bytes, 256 a section, 16 sections
// outstanding, three nodes in this process on one disk. cpu-µs/msg is that of
// all three nodes and the submitter.
func BenchmarkCommit(b *testing.B) {
	for _, k := range []struct {
		name             string
		per, outstanding int
	}{{"per1/win256", 1, 256}, {"per16/win16", 16, 16}, {"per256/win16", 256, 16}} {
		b.Run(k.name, func(b *testing.B) { benchCommit(b, k.per, k.outstanding) })
	}
}

func benchCommit(b *testing.B, per, outstanding int) {
	c := three(b, func(cfg *Config) {
		cfg.Heartbeat = time.Second
		cfg.SegmentBytes = 8 << 20
		cfg.SnapshotInterval = 2 * time.Second
		cfg.Machine = func(uint32) machine.Machine { return &tally{} }
	})
	leader := c.leader(1)
	section := tallySection(string(bytes.Repeat([]byte("x"), 128*per)))
	slots := make(chan struct{}, outstanding)
	var waiting sync.WaitGroup
	var failed atomic.Int64
	var latency atomic.Int64
	start, cpu := time.Now(), cpuTime()
	entries := leader.Shard(1).raft.LastIndex()
	b.ResetTimer()
	n := 0
	for ; b.Loop(); n++ {
		slots <- struct{}{}
		waiting.Add(1)
		began := time.Now()
		leader.Shard(1).Submit(section, func(_ int, _ any, err error) {
			if err != nil {
				failed.Add(1)
			}
			latency.Add(int64(time.Since(began)))
			<-slots
			waiting.Done()
		})
	}
	waiting.Wait()
	b.StopTimer()
	if failed.Load() > 0 {
		b.Fatalf("%d sections failed", failed.Load())
	}
	msgs := float64(n * per)
	b.ReportMetric(msgs/time.Since(start).Seconds(), "msgs/s")
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/msgs, "cpu-µs/msg")
	b.ReportMetric(float64(latency.Load())/float64(n)/1e6, "ms/section")
	b.ReportMetric(float64(n)/float64(leader.Shard(1).raft.LastIndex()-entries), "sections/entry")
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

package rollout

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// A Sample is what one edge has counted since it started.
type Sample struct {
	Published float64            // publishes that were acknowledged
	Refused   map[string]float64 // commands that were refused, by reason
	Closed    map[string]float64 // connections that ended, by reason
	Latency   []Bucket           // acknowledgements, by time; in order
	Connected float64            // connections now
}

// A Bucket counts acknowledgements that took at most so long, the shorter ones
// included, as Prometheus' histograms do.
type Bucket struct {
	UpTo  float64 // seconds; +Inf in the last
	Count float64
}

// Bounds are what a wave's service must hold. Zero bounds nothing.
type Bounds struct {
	Errors     float64       // percent of publishes
	Latency    time.Duration // of the 99th percentile
	Reconnects float64       // percent of connections a minute
}

// faults are refusals that are not the client's fault (docs/protocol.md).
var faults = []string{"overloaded", "unavailable", "timeout", "corrupt", "disk_full", "keys_full"}

// ends are reasons for which an edge ends connections that clients would have
// kept, the drain of a rolling update excepted.
var ends = []string{"slow_consumer", "overloaded", "internal", "heartbeat_timeout", "edge_full"}

// minPublishes is how many publishes a share is taken of.
const minPublishes = 50

// Judge compares what edges counted at two times, by their names. An edge that
// was not there before began at zero; one that is gone is left away. Known is
// false while too little happened to say anything, unless nothing is bounded.
func Judge(b Bounds, before, after map[string]Sample, elapsed time.Duration) Gate {
	if b == (Bounds{}) {
		return Gate{Known: true}
	}
	var published, refused, ended, connected float64
	var latency []Bucket
	for name, now := range after {
		was := before[name]
		if was.Published > now.Published {
			was = Sample{} // another process under the same name
		}
		published += now.Published - was.Published
		connected += now.Connected
		for _, r := range faults {
			refused += max(now.Refused[r]-was.Refused[r], 0)
		}
		for _, r := range ends {
			ended += max(now.Closed[r]-was.Closed[r], 0)
		}
		latency = add(latency, now.Latency, was.Latency)
	}
	g := Gate{Known: len(after) > 0 && elapsed > 0}
	total := published + refused
	if b.Errors > 0 || b.Latency > 0 {
		g.Known = g.Known && total >= minPublishes
	}
	if !g.Known {
		return g
	}
	if share := 100 * refused / total; b.Errors > 0 && share > b.Errors {
		g.Broken = append(g.Broken, fmt.Sprintf("%.2f %% of %.0f publishes are refused, %g %% at most", share, total, b.Errors))
	}
	if b.Latency > 0 && published > 0 {
		if p := quantile(latency, 0.99); p > b.Latency.Seconds() {
			g.Broken = append(g.Broken, fmt.Sprintf("99th percentile of acknowledgements %s, %s at most", seconds(p), b.Latency))
		}
	}
	if b.Reconnects > 0 {
		base := max(connected, ended)
		if share := 100 * ended / max(base, 1) / elapsed.Minutes(); share > b.Reconnects && ended > 1 {
			g.Broken = append(g.Broken, fmt.Sprintf("%.2f %% of %.0f connections end a minute, %g %% at most", share, base, b.Reconnects))
		}
	}
	return g
}

// add adds what was counted between two times.
func add(sum, now, was []Bucket) []Bucket {
	if len(sum) == 0 {
		sum = slices.Clone(now)
		for i := range sum {
			sum[i].Count = 0
		}
	}
	if len(now) != len(sum) {
		return sum // of another version, with other bounds
	}
	for i := range now {
		sum[i].Count += now[i].Count
		if len(was) == len(now) {
			sum[i].Count -= was[i].Count
		}
	}
	return sum
}

// quantile is where a share of what was counted lies, in seconds: linear inside a
// bucket, as Prometheus' histogram_quantile.
func quantile(b []Bucket, q float64) float64 {
	if len(b) == 0 || b[len(b)-1].Count <= 0 {
		return 0
	}
	rank := q * b[len(b)-1].Count
	low, below := 0.0, 0.0
	for _, k := range b {
		if k.Count >= rank {
			if math.IsInf(k.UpTo, 1) || k.Count == below {
				return math.Inf(1)
			}
			return low + (k.UpTo-low)*(rank-below)/(k.Count-below)
		}
		low, below = k.UpTo, k.Count
	}
	return low
}

func seconds(s float64) string {
	if math.IsInf(s, 1) {
		return "beyond the last bucket"
	}
	return time.Duration(s * float64(time.Second)).Round(100 * time.Microsecond).String()
}

package sim

import "math"

// An OracleResult is the cheapest plan in hindsight without a violation.
type OracleResult struct {
	BilledPodHours float64 `json:"billed_pod_h"`
	PodsStarted    int     `json:"pods_started"`
}

// Oracle plans with the whole load in sight: pod i is on exactly while the load
// needs i pods, and stays on through gaps that are not longer than starting and
// draining. Headroom is the share of a pod's capacity that may be used.
func Oracle(t *Trace, capacity float64, s Settings, headroom float64) OracleResult {
	startup, drain := s.StartupSeconds/TickSeconds, s.DrainSeconds/TickSeconds
	load := t.Load[t.First:]
	need := make([]int, len(load))
	most := 0
	for j, x := range load {
		need[j] = int(math.Ceil(x / capacity / headroom))
		most = max(most, need[j])
	}
	total, starts := 0, 0
	for pod := 1; pod <= most; pod++ {
		if pod <= s.Min {
			total += len(need)
			continue
		}
		from, last := -1, -1
		flush := func() {
			if from >= 0 {
				total += min(last+1+drain, len(need)) - max(from-startup, 0)
				starts++
			}
		}
		for j, n := range need {
			if n < pod {
				continue
			}
			if from < 0 || j-last-1 > startup+drain {
				flush()
				from = j
			}
			last = j
		}
		flush()
	}
	return OracleResult{BilledPodHours: round(podHours(float64(total)), 2), PodsStarted: starts}
}

func podHours(ticks float64) float64 { return ticks * TickSeconds / 3600 }

package sim

import "math"

// An HPA is autoscaling/v2 with one External or Object metric, an AverageValue
// target and the default behaviour: tolerance 10 %, scale-up by at most 100 % or
// 4 pods each 15 s, scale-down to the highest recommendation of 300 s.
type HPA struct {
	target   float64 // load a pod
	min, max int
	recent   []int // recommendations, the newest last
}

const (
	hpaTolerance     = 0.1
	hpaStabilization = 300 / TickSeconds
	hpaMax           = 100_000
)

// NewHPA is an HPA that aims at that much load a pod.
func NewHPA(target float64, least int) *HPA {
	return &HPA{target: target, min: least, max: hpaMax}
}

// Step is one look: usage is the metric's total, replicas the current scale.
func (h *HPA) Step(usage float64, replicas int) int {
	n := replicas
	want := n
	if math.Abs(usage/(h.target*float64(n))-1) > hpaTolerance {
		want = int(math.Ceil(usage / h.target))
	}
	if len(h.recent) > hpaStabilization {
		copy(h.recent, h.recent[1:])
		h.recent = h.recent[:hpaStabilization]
	}
	h.recent = append(h.recent, want)
	if want < n {
		// Down to the highest of the window, never above what there is.
		for _, r := range h.recent {
			want = max(want, r)
		}
		want = min(want, n)
	}
	if want > n {
		want = min(want, max(2*n, n+4))
	}
	return min(max(want, h.min), h.max)
}

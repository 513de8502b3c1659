package sim

// A Fleet is the pods of one workload. A pod is billed from the decision, serves
// after its start-up, and when removed is billed while it drains, serving nothing
// new. Starting pods are removed first.
type Fleet struct {
	startup, drain int // ticks
	ready          int
	starting       []batch // by time
	draining       []batch

	events  int
	started int
}

// batch is pods that change together.
type batch struct{ at, pods int }

// NewFleet is a fleet of ready pods; startup and drain are in ticks.
func NewFleet(ready, startup, drain int) *Fleet {
	return &Fleet{ready: ready, startup: startup, drain: drain}
}

// Ready is how many pods serve.
func (f *Fleet) Ready() int { return f.ready }

// Replicas is how many pods are wanted: ready and starting.
func (f *Fleet) Replicas() int { return f.ready + count(f.starting) }

// Billed is how many pods are paid for.
func (f *Fleet) Billed() int { return f.Replicas() + count(f.draining) }

func count(batches []batch) int {
	n := 0
	for _, b := range batches {
		n += b.pods
	}
	return n
}

// Tick makes time pass until tick t.
func (f *Fleet) Tick(t int) {
	for len(f.starting) > 0 && f.starting[0].at <= t {
		f.ready += f.starting[0].pods
		f.starting = f.starting[1:]
	}
	for len(f.draining) > 0 && f.draining[0].at <= t {
		f.draining = f.draining[1:]
	}
}

// Scale wants that many replicas from tick t on.
func (f *Fleet) Scale(t, replicas int) {
	now := f.Replicas()
	if replicas == now {
		return
	}
	f.events++
	if replicas > now {
		f.starting = append(f.starting, batch{t + f.startup, replicas - now})
		f.started += replicas - now
		return
	}
	excess := now - replicas
	for excess > 0 && len(f.starting) > 0 {
		last := &f.starting[len(f.starting)-1]
		taken := min(excess, last.pods)
		excess -= taken
		last.pods -= taken
		if last.pods == 0 {
			f.starting = f.starting[:len(f.starting)-1]
		}
	}
	if excess > 0 {
		f.ready -= excess
		f.draining = append(f.draining, batch{t + f.drain, excess})
	}
}

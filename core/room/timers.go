package room

import "container/heap"

// timers orders the rooms by when something is due in them.
type timers []*room

// never is a due time that no log reaches.
const never = int64(1) << 62

func (t timers) Len() int { return len(t) }
func (t timers) Less(i, j int) bool {
	if t[i].due != t[j].due {
		return t[i].due < t[j].due
	}
	return t[i].name < t[j].name
}

func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].timer, t[j].timer = i, j
}

func (t *timers) Push(x any) {
	r := x.(*room)
	r.timer = len(*t)
	*t = append(*t, r)
}

func (t *timers) Pop() any {
	last := len(*t) - 1
	r := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	r.timer = -1
	return r
}

// set puts the room where its due time belongs.
func (t *timers) set(r *room, due int64) {
	if r.timer >= 0 && r.due == due {
		return
	}
	r.due = due
	if r.timer < 0 {
		heap.Push(t, r)
	} else {
		heap.Fix(t, r.timer)
	}
}

func (t *timers) remove(r *room) {
	if r.timer >= 0 {
		heap.Remove(t, r.timer)
	}
}

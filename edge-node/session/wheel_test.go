package session

import (
	"testing"
	"time"
)

func TestWheelVisitsAtTheEarliestTimeOnce(t *testing.T) {
	now := time.Unix(5000, 0)
	var w wheel
	w.init(now)
	s, far := &Session{}, &Session{}
	w.add(s, now.Add(30*time.Second))
	w.add(s, now.Add(5*time.Second))
	w.add(s, now.Add(20*time.Second)) // later than what is due: no second entry
	w.add(far, now.Add(time.Hour))    // farther than the wheel reaches: visited at its end
	if n := len(w.all()); n != 2 {
		t.Errorf("%d sessions on the wheel, want 2", n)
	}
	visits := map[*Session][]int{}
	for second := range 80 {
		for _, due := range w.due(now.Add(time.Duration(second) * time.Second)) {
			visits[due] = append(visits[due], second)
		}
	}
	if v := visits[s]; len(v) != 1 || v[0] != 6 {
		t.Errorf("visited at %v, want once at 6", v)
	}
	if v := visits[far]; len(v) != 1 || v[0] != wheelSlots-1 {
		t.Errorf("the far one was visited at %v", v)
	}
}

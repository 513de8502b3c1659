package screen

import (
	"testing"
	"time"
)

func TestBreakerTranscript(t *testing.T) {
	var b breaker
	now := time.Unix(0, 0)
	call := func(answered bool) bool {
		if !b.allow(now) {
			return false
		}
		b.done(answered, now)
		return true
	}
	for range 100 { // some fail, none in a row of breakAfter
		for range breakAfter - 1 {
			if !call(false) {
				t.Fatal("open too early")
			}
		}
		call(true)
	}
	for range breakAfter {
		call(false)
	}
	if call(true) || b.wait(now) != minBreak {
		t.Fatalf("not open after %d failures", breakAfter)
	}
	for pause := minBreak; pause < 4*maxBreak; pause *= 2 {
		now = now.Add(min(pause, maxBreak) - time.Millisecond)
		if b.allow(now) {
			t.Fatalf("asked before %s were over", pause)
		}
		now = now.Add(time.Millisecond)
		if !b.allow(now) || b.allow(now) {
			t.Fatal("after the pause one call is allowed, and no second beside it")
		}
		b.done(false, now)
	}
	now = now.Add(maxBreak)
	if !b.allow(now) {
		t.Fatal("not tried again")
	}
	b.gaveUp()
	if !b.allow(now) || !b.done(true, now) {
		t.Fatal("a call that nobody waited for counts")
	}
	for range 10 {
		if !call(true) {
			t.Fatal("not closed again")
		}
	}
}

//go:build plantedbugs

package hub

import "testing"

func TestPlantedBugsAreThere(t *testing.T) {
	defer func(before string) { planted = before }(planted)
	planted = "reorder-fanout"
	swapped := 0
	for range 16 {
		if got := seqs(t, plantReorder(run(1, 3))); got[0] == 2 && got[1] == 1 && got[2] == 3 {
			swapped++
		}
	}
	if swapped != 2 {
		t.Errorf("%d of 16 flushes reordered, want 2", swapped)
	}
	planted = "lost-tail-on-resume"
	skipped := uint64(0)
	for range 16 {
		skipped += plantLostTail(7) - 7
	}
	if skipped != 4 {
		t.Errorf("%d of 16 resumes skip a message, want 4", skipped)
	}
}

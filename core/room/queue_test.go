package room

import "testing"

func TestQueueKeepsOrderAndGivesMemoryBack(t *testing.T) {
	var q queue[int]
	next, oldest, most := 0, 0, 0
	for round := range 400 {
		pushes, pops := 97, 89
		if round >= 200 {
			pushes, pops = 3, 11
		}
		for range pushes {
			q.push(next)
			next++
		}
		n := min(pops, q.len())
		q.pop(n)
		oldest += n
		most = max(most, cap(q.items))
		if q.len() != next-oldest {
			t.Fatalf("round %d: %d items, want %d", round, q.len(), next-oldest)
		}
		for i := range q.len() {
			if *q.at(i) != oldest+i {
				t.Fatalf("round %d: item %d is %d, want %d", round, i, *q.at(i), oldest+i)
			}
		}
		if cap(q.items) > 8*max(q.len(), 64) {
			t.Fatalf("round %d: memory for %d items, %d are there", round, cap(q.items), q.len())
		}
	}
	if q.len() != 0 || q.items != nil || most < 1600 {
		t.Errorf("%d items are left in memory for %d; at most it was %d", q.len(), cap(q.items), most)
	}
}

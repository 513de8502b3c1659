package room

import (
	"encoding/binary"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

func hashOf(n int) *keyHash {
	h, _ := hashKey(nil, []byte("user"), fmt.Append(nil, n))
	return &h
}

// The table says of any key what a list of all publishes says.
func TestKeysFindTheNewestOfWhatIsNotForgotten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := &keys{first: rapid.Uint64Range(1, 1<<53-1<<20).Draw(t, "first")}
		var model []int // key of each publish, the oldest first
		different := rapid.IntRange(1, 300).Draw(t, "different")
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				for range rapid.IntRange(1, 100).Draw(t, "n") {
					n := rapid.IntRange(0, different-1).Draw(t, "key")
					k.add(hashOf(n), k.first+uint64(len(model)))
					model = append(model, n)
				}
			},
			"forget": func(t *rapid.T) {
				n := rapid.IntRange(0, len(model)).Draw(t, "n")
				k.forget(n)
				model = model[n:]
			},
			"": func(t *rapid.T) { checkKeys(t, k, model, different) },
		})
	})
}

func checkKeys(t *rapid.T, k *keys, model []int, different int) {
	newest := map[int]uint64{}
	for i, n := range model {
		newest[n] = k.first + uint64(i)
	}
	for n := range different {
		want, known := newest[n]
		seq, body, ok := k.find(hashOf(n))
		if ok != known || ok && (seq != want || body != want) {
			t.Fatalf("key %d: seq %d, body %d, %v; want %d, %v", n, seq, body, ok, want, known)
		}
	}
	if k.len() != len(model) || k.used != len(newest) {
		t.Fatalf("%d kept in %d slots; want %d in %d", k.len(), k.used, len(model), len(newest))
	}
	if k.used*4 > len(k.slots)*3 || len(k.slots) > leastSlots && k.used*8 < len(k.slots)/2 {
		t.Fatalf("%d of %d slots are used", k.used, len(k.slots))
	}
}

// Keys whose searches begin at the same slot, the last of the table, are told
// apart and found after others of them have gone.
func TestKeysThatFallTogether(t *testing.T) {
	k := &keys{first: 1}
	var together []*keyHash
	for n := 0; len(together) < 5; n++ {
		h := hashOf(n)
		if placeOf(h)>>slotSeqBits&(leastSlots-1) == leastSlots-1 {
			together = append(together, h)
		}
	}
	for i, h := range together {
		k.add(h, uint64(i))
	}
	if len(k.slots) != leastSlots {
		t.Fatalf("%d slots", len(k.slots))
	}
	for gone := range together {
		for i, h := range together {
			if _, body, ok := k.find(h); ok != (i >= gone) || ok && body != uint64(i) {
				t.Errorf("after %d have gone, number %d: %d, %v", gone, i, body, ok)
			}
		}
		k.forget(1)
	}
}

func BenchmarkKeys(b *testing.B) {
	for _, held := range []int{1000, 1 << 19} {
		b.Run(fmt.Sprintf("held=%d", held), func(b *testing.B) {
			k := &keys{first: 1}
			h := *hashOf(0)
			next := func() *keyHash {
				v := binary.LittleEndian.Uint64(h[:])
				binary.LittleEndian.PutUint64(h[:], v*6364136223846793005+1442695040888963407)
				return &h
			}
			for range held {
				k.add(next(), 0)
			}
			b.ResetTimer()
			for range b.N {
				if _, _, ok := k.find(next()); !ok {
					k.add(&h, 0)
				}
				k.forget(1)
			}
		})
	}
}

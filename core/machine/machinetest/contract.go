// Package machinetest checks that a key space keeps the contract of
// machine.Batch and machine.Reader. Every implementation runs Store.
package machinetest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/barrage-im/barrage/core/machine"
)

// A KeySpace is one empty key space under test.
type KeySpace interface {
	machine.Reader
	// Update applies what f writes; reads see it afterwards.
	Update(f func(machine.Batch)) error
}

// Store runs the contract against key spaces that open makes.
func Store(t *testing.T, open func(t testing.TB) KeySpace) {
	t.Run("arguments and results are copies", func(t *testing.T) {
		s := open(t)
		key, value := []byte("key"), []byte("value")
		update(t, s, func(b machine.Batch) {
			b.Set(key, value)
			key[0], value[0] = 'x', 'x'
		})
		for range 2 {
			got, ok, err := s.Get([]byte("key"))
			if err != nil || !ok || string(got) != "value" {
				t.Fatalf("Get = %q, %t, %v; want the value as it was set", got, ok, err)
			}
			got[0] = 'x'
		}
	})
	t.Run("an empty value is not a missing one", func(t *testing.T) {
		s := open(t)
		update(t, s, func(b machine.Batch) { b.Set([]byte("a"), nil) })
		if _, ok, _ := s.Get([]byte("a")); !ok {
			t.Error("an empty value was not found")
		}
		if _, ok, _ := s.Get([]byte("b")); ok {
			t.Error("a key that was never set was found")
		}
	})
	t.Run("writes of a batch take effect in their order", func(t *testing.T) {
		s := open(t)
		update(t, s, func(b machine.Batch) {
			b.Set([]byte("a"), []byte("1"))
			b.DeleteRange([]byte("a"), []byte("b"))
			b.Set([]byte("a"), []byte("2"))
			b.Set([]byte("b"), []byte("3"))
			b.Delete([]byte("b"))
		})
		if got := list(t, s, nil, []byte{0xff}, false); got != "a=2 " {
			t.Errorf("holds %q, want a=2", got)
		}
	})
	t.Run("it behaves as a sorted map", func(t *testing.T) {
		rapid.Check(t, func(r *rapid.T) { checkModel(r, open(t)) })
	})
}

// checkModel compares random writes and reads with a map.
func checkModel(t *rapid.T, s KeySpace) {
	model := make(map[string]string)
	key := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'a', 0xfe}), 1, 3)
	for range rapid.IntRange(1, 6).Draw(t, "batches") {
		err := s.Update(func(b machine.Batch) {
			for range rapid.IntRange(0, 8).Draw(t, "writes") {
				k, other := key.Draw(t, "key"), key.Draw(t, "other")
				switch rapid.IntRange(0, 3).Draw(t, "write") {
				case 0, 1:
					v := rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(t, "value")
					b.Set(k, v)
					model[string(k)] = string(v)
				case 2:
					b.Delete(k)
					delete(model, string(k))
				case 3:
					lo, hi := k, other
					if bytes.Compare(lo, hi) > 0 {
						lo, hi = hi, lo
					}
					b.DeleteRange(lo, hi)
					maps.DeleteFunc(model, func(k, _ string) bool { return k >= string(lo) && k < string(hi) })
				}
			}
		})
		if err != nil {
			t.Fatalf("update: %v", err)
		}
		lo, hi := key.Draw(t, "lo"), key.Draw(t, "hi")
		reverse := rapid.Bool().Draw(t, "reverse")
		want := ""
		keys := slices.Sorted(maps.Keys(model))
		if reverse {
			slices.Reverse(keys)
		}
		for _, k := range keys {
			if k >= string(lo) && k < string(hi) {
				want += fmt.Sprintf("%s=%s ", k, model[k])
			}
		}
		if got := list(t, s, lo, hi, reverse); got != want {
			t.Fatalf("Scan(%q, %q, %t) = %q, want %q", lo, hi, reverse, got, want)
		}
	}
}

func update(t *testing.T, s KeySpace, f func(machine.Batch)) {
	t.Helper()
	if err := s.Update(f); err != nil {
		t.Fatalf("update: %v", err)
	}
}

func list(t interface{ Fatalf(string, ...any) }, s KeySpace, lo, hi []byte, reverse bool) string {
	out := ""
	err := s.Scan(lo, hi, reverse, func(k, v []byte) bool {
		out += fmt.Sprintf("%s=%s ", k, v)
		return true
	})
	if err != nil {
		t.Fatalf("scan: %v", err)
	}
	return out
}

package machine_test

import (
	"testing"

	"github.com/barrage-im/barrage/core/machine"
	"github.com/barrage-im/barrage/core/machine/machinetest"
)

type memory struct{ machine.Memory }

func (m *memory) Update(f func(machine.Batch)) error {
	f(&m.Memory)
	return nil
}

func TestMemoryKeepsTheContract(t *testing.T) {
	machinetest.Store(t, func(testing.TB) machinetest.KeySpace { return &memory{} })
}

func TestDiffNamesTheFirstKeyThatDiffers(t *testing.T) {
	var a machine.Memory
	a.Set([]byte("k1"), []byte("v"))
	a.Set([]byte("k3"), []byte("v"))
	b := a.Clone()
	if !a.Same(b) {
		t.Fatal("a clone differs")
	}
	b.Set([]byte("k2"), nil)
	if got := string(a.Diff(b)); got != "k2" {
		t.Errorf("Diff = %q, want the key that only one has", got)
	}
	b.Delete([]byte("k2"))
	b.Set([]byte("k3"), []byte("w"))
	if got := string(a.Diff(b)); got != "k3" {
		t.Errorf("Diff = %q, want the key whose value differs", got)
	}
}

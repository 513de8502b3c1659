package machine_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/barrage-im/barrage/core/machine"
)

func TestFrame(t *testing.T) {
	entry := machine.CloseFrame(append(machine.AppendFrame([]byte("before")), "content"...), len("before"))[len("before"):]
	if got, err := machine.OpenFrame(entry); err != nil || string(got) != "content" {
		t.Fatalf("OpenFrame = %q, %v", got, err)
	}
	for i := range entry {
		damaged := bytes.Clone(entry)
		damaged[i] ^= 0x40
		want := machine.ErrCorrupt
		if i == 0 {
			want = machine.ErrNewer
		}
		if _, err := machine.OpenFrame(damaged); !errors.Is(err, want) {
			t.Errorf("byte %d is damaged: %v, want %v", i, err, want)
		}
	}
	for n := range len(entry) {
		if _, err := machine.OpenFrame(entry[:n]); !errors.Is(err, machine.ErrCorrupt) {
			t.Errorf("cut off after %d bytes: %v", n, err)
		}
	}
}

func TestSealBindsAValueToItsKey(t *testing.T) {
	value := machine.CloseSeal([]byte("key"), append(machine.AppendSeal(nil), "content"...))
	if got, err := machine.OpenSeal([]byte("key"), value); err != nil || string(got) != "content" {
		t.Fatalf("OpenSeal = %q, %v", got, err)
	}
	if _, err := machine.OpenSeal([]byte("kez"), value); !errors.Is(err, machine.ErrCorrupt) {
		t.Errorf("a value under another key: %v", err)
	}
	for i := range value {
		damaged := bytes.Clone(value)
		damaged[i] ^= 1
		if _, err := machine.OpenSeal([]byte("key"), damaged); !errors.Is(err, machine.ErrCorrupt) {
			t.Errorf("byte %d is damaged: %v", i, err)
		}
	}
	if _, err := machine.OpenSeal([]byte("key"), value[:3]); !errors.Is(err, machine.ErrCorrupt) {
		t.Errorf("a value that is cut off: %v", err)
	}
}

func TestPrefixEnd(t *testing.T) {
	for prefix, want := range map[string]string{"a": "b", "a\xff": "b", "a\x00": "a\x01", "\x01\xff\xff": "\x02"} {
		if got := string(machine.PrefixEnd([]byte(prefix))); got != want {
			t.Errorf("PrefixEnd(%q) = %q, want %q", prefix, got, want)
		}
	}
}

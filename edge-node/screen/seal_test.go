package screen

import (
	"crypto/ed25519"
	"testing"

	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/filter/bundle"
)

// seal makes the bundle of a set.
func seal(t testing.TB, name string, version uint64, entries []filter.Entry, key ed25519.PrivateKey) []byte {
	t.Helper()
	b, err := bundle.Make(bundle.Manifest{Name: name, Version: version}, []*filter.List{{Name: "list", Entries: entries}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

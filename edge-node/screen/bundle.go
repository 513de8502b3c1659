package screen

import (
	"crypto/ed25519"

	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/filter/bundle"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// open opens a set's bundle. It must be what the stage says: a signature holds
// for a set and a version, so that nobody who only stores bundles can put one
// in another's place.
func open(data []byte, name string, stage *rpc.FilterStage, keys []ed25519.PublicKey) ([]filter.Entry, error) {
	b, err := bundle.Open(data, keys)
	switch {
	case err != nil:
		return nil, refuse(reasonSignature, "open the bundle: %w", err)
	case b.Name != name:
		return nil, refuse(reasonName, "the bundle is of set %s", b.Name)
	case b.Version != stage.GetVersion():
		return nil, refuse(reasonVersion, "the bundle is version %d, not %d", b.Version, stage.GetVersion())
	}
	return b.Entries(), nil
}

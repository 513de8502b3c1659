package predictor

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// seal gives bytes the right magic and checksum, so that fuzzing comes past them.
func seal(b []byte) []byte {
	b = bytes.TrimPrefix(b, []byte(snapshotMagic))
	if len(b) > sha256.Size {
		b = b[sha256.Size:]
	}
	sum := sha256.Sum256(b)
	return append(append([]byte(snapshotMagic), sum[:]...), b...)
}

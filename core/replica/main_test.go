package replica

import (
	"testing"

	"go.uber.org/goleak"
)

// Everything that a node starts ends with it, but what Pebble keeps for the
// whole process.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

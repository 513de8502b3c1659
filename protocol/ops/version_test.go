package ops_test

import (
	"testing"

	"github.com/barrage-im/barrage/protocol/ops"
)

func TestVersionIsSomethingToSay(t *testing.T) {
	b := ops.Version()
	if b.Version == "" || b.Version == "devel" || b.Version == "(devel)" {
		t.Errorf("version %q", b.Version)
	}
}

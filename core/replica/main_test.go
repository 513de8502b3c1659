package replica

import (
	"testing"

	"go.uber.org/goleak"
)

// Everything that a node starts ends with it, but the two goroutines that
// hashicorp/raft issue 696 leaves behind: TestTransfersToAHangingVoter provokes
// it.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/hashicorp/raft.(*Raft).leadershipTransfer"),
		goleak.IgnoreTopFunction("github.com/hashicorp/raft.(*Raft).leaderLoop.func2"))
}

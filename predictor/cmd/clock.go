package cmd

import (
	"time"

	"github.com/barrage-im/barrage/protocol/cmd/bench/proc"
)

// processorTime is what this process has used since its start: the forecasts are
// made one after the other.
func processorTime() time.Duration {
	u, err := proc.Self()
	if err != nil {
		return 0
	}
	return u.CPU
}

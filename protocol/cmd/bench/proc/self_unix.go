//go:build unix

package proc

import (
	"syscall"
	"time"
)

// Self is the CPU time of this process; its memory is not read.
func Self() (Usage, error) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return Usage{}, err
	}
	return Usage{CPU: time.Duration(r.Utime.Nano() + r.Stime.Nano())}, nil
}

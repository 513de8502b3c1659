package cmd

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/barrage-im/barrage/protocol/cmd/bench/proc"
)

// watch measures processor time of this process, which neighbours on a busy
// machine do not take part in as they do in the time on the wall. Where the
// system does not tell, it is that.
type watch struct {
	cpu  time.Duration
	wall time.Time
}

func startWatch() watch { return watch{processorTime(), time.Now()} }

func (w watch) elapsed() time.Duration {
	if w.cpu == 0 {
		return time.Since(w.wall)
	}
	return max(processorTime()-w.cpu, time.Nanosecond)
}

func processorTime() time.Duration {
	used, err := proc.Self()
	if err != nil {
		return 0
	}
	return used.CPU
}

// machine says what is measured on.
func machine() string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, ok := strings.CutPrefix(line, "model name"); ok {
				model = strings.TrimSpace(strings.TrimLeft(name, "\t :"))
				break
			}
		}
	}
	return fmt.Sprintf("%d × %s, %s, %s/%s", runtime.NumCPU(), model, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// ticks are the processor times of the machine since it started.
type ticks struct{ all, idle, stolen uint64 }

// processorTimes reads them where there is a /proc/stat; elsewhere they are 0.
func processorTimes() (t ticks) {
	const idle, stolen = 3, 7 // user, nice, system, idle, iowait, irq, softirq, steal: see proc(5)
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return t
	}
	line, _, _ := strings.Cut(string(text), "\n")
	for i, field := range strings.Fields(strings.TrimPrefix(line, "cpu ")) {
		n, _ := strconv.ParseUint(field, 10, 64)
		if i <= stolen { // guest times, which follow, are counted already
			t.all += n
		}
		switch i {
		case idle:
			t.idle = n
		case stolen:
			t.stolen = n
		}
	}
	return t
}

// since says in percent how the time after before was spent; false where that
// cannot be read.
func (t ticks) since(before ticks) (busy, stolen float64, ok bool) {
	if t.all <= before.all {
		return 0, 0, false
	}
	all := float64(t.all - before.all)
	return 100 - 100*float64(t.idle-before.idle)/all, 100 * float64(t.stolen-before.stolen) / all, true
}

// Package proc reads what processes of this machine have used: the CPU time and
// resident memory that a benchmark divides by its messages. Linux only; on
// other systems only asking for no process succeeds.
package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// clockTick is USER_HZ, the unit of /proc/PID/stat: 100 a second on every
// Linux that Go runs on (man 5 proc).
const clockTick = time.Second / 100

// Usage is of one or several processes.
type Usage struct {
	CPU time.Duration // user and system, since their start
	RSS uint64        // resident bytes, shared pages counted with each process
}

// Read adds up the usage of processes.
func Read(pids []int) (Usage, error) {
	var all Usage
	for _, pid := range pids {
		u, err := read(strconv.Itoa(pid))
		if err != nil {
			return all, fmt.Errorf("read usage of process %d: %w", pid, err)
		}
		all.CPU += u.CPU
		all.RSS += u.RSS
	}
	return all, nil
}

func read(pid string) (Usage, error) {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return Usage{}, err
	}
	cpu, err := parseStat(stat)
	if err != nil {
		return Usage{}, err
	}
	rollup, err := os.ReadFile("/proc/" + pid + "/smaps_rollup")
	if err != nil {
		return Usage{}, err
	}
	rss, err := parseRollup(rollup)
	return Usage{CPU: cpu, RSS: rss}, err
}

// parseStat reads utime and stime, fields 14 and 15. The second field is the
// command's name in parentheses and may hold anything.
func parseStat(stat []byte) (time.Duration, error) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("stat of %d fields", len(fields))
	}
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

func parseRollup(rollup []byte) (uint64, error) {
	for line := range bytes.Lines(rollup) {
		if rest, ok := bytes.CutPrefix(line, []byte("Rss:")); ok {
			kb, err := strconv.ParseUint(string(bytes.Fields(rest)[0]), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("smaps_rollup has no Rss")
}

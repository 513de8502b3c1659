// Package daemon runs processes that outlive the command that started them,
// and finds them again: each has NAME.pid and NAME.log in a folder. The pid
// file holds the process's start time too, so that a number used again is
// never mistaken for it.
package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/barrage-im/barrage/fleet/lab/netns"
)

// A Spec is a process to be run.
type Spec struct {
	Dir   string // of pid file and log
	Name  string
	Netns string // a namespace to run in; empty: this one
	Args  []string
	Env   []string // added to a small fixed environment
	Flags uintptr  // more namespaces: syscall.CLONE_NEW…
}

// Ensure starts the process unless it runs. It says whether it did.
func Ensure(spec Spec) (started bool, err error) {
	if Alive(spec.Dir, spec.Name) {
		return false, nil
	}
	if err := os.MkdirAll(spec.Dir, 0o755); err != nil {
		return false, err
	}
	log, err := os.OpenFile(filepath.Join(spec.Dir, spec.Name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return false, err
	}
	defer log.Close()                                   //nolint:errcheck // the child has its own descriptor
	cmd := exec.Command(spec.Args[0], spec.Args[1:]...) //nolint:noctx // it is to outlive us
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = spec.Dir
	cmd.Env = append([]string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + spec.Dir, "LANG=C.UTF-8",
	}, spec.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: spec.Flags}
	if spec.Netns != "" {
		err = netns.Do(spec.Netns, cmd.Start)
	} else {
		err = cmd.Start()
	}
	if err != nil {
		return false, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	pid := cmd.Process.Pid
	go cmd.Wait() //nolint:errcheck // only so that it is no zombie while we live
	_, start := stat(pid)
	return true, os.WriteFile(pidFile(spec.Dir, spec.Name), fmt.Appendf(nil, "%d %s\n", pid, start), 0o644)
}

// Alive says whether the process runs.
func Alive(dir, name string) bool { return PID(dir, name) != 0 }

// PID is the running process's, or 0.
func PID(dir, name string) int {
	b, err := os.ReadFile(pidFile(dir, name))
	if err != nil {
		return 0
	}
	number, started, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	pid, err := strconv.Atoi(number)
	if err != nil {
		return 0
	}
	state, start := stat(pid)
	if start == "" || start != started || state == "Z" || state == "X" {
		return 0
	}
	return pid
}

// Stop ends the process: it may clean up for grace, and is then killed. It
// returns when the process is gone; one that does not run is stopped already.
func Stop(dir, name string, grace time.Duration) error {
	pid := PID(dir, name)
	if pid != 0 && grace > 0 {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop %s: %w", name, err)
		}
		for end := time.Now().Add(grace); Alive(dir, name) && time.Now().Before(end); {
			time.Sleep(20 * time.Millisecond)
		}
	}
	if pid = PID(dir, name); pid != 0 {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("kill %s: %w", name, err)
		}
		for end := time.Now().Add(10 * time.Second); Alive(dir, name); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				return fmt.Errorf("kill %s: process %d is still there after 10s", name, pid)
			}
		}
	}
	if err := os.Remove(pidFile(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Tail is the end of the process's log, for error messages.
func Tail(dir, name string) string {
	b, err := os.ReadFile(filepath.Join(dir, name+".log"))
	if err != nil {
		return ""
	}
	const keep = 1500
	if len(b) > keep {
		b = b[len(b)-keep:]
	}
	return strings.TrimSpace(string(b))
}

func pidFile(dir, name string) string { return filepath.Join(dir, name+".pid") }

// stat gives a process's state and its start time in ticks since boot:
// fields 3 and 22 of proc(5)'s stat, empty if there is no such process.
func stat(pid int) (state, start string) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", ""
	}
	_, rest, _ := strings.Cut(string(b[strings.LastIndexByte(string(b), ')'):]), " ")
	fields := strings.Fields(rest) // from field 3 on
	if len(fields) < 20 {
		return "", ""
	}
	return fields[0], fields[19]
}

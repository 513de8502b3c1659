package daemon_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/barrage-im/barrage/fleet/lab/daemon"
)

func TestAProcessIsStartedOnceAndStopped(t *testing.T) {
	dir := t.TempDir()
	spec := daemon.Spec{Dir: dir, Name: "sleeper", Args: []string{"/bin/sleep", "60"}}
	if started, err := daemon.Ensure(spec); err != nil || !started {
		t.Fatalf("first start: %v, %v", started, err)
	}
	pid := daemon.PID(dir, "sleeper")
	if started, err := daemon.Ensure(spec); err != nil || started || daemon.PID(dir, "sleeper") != pid {
		t.Fatalf("second start: %v, %v, pid %d then %d", started, err, pid, daemon.PID(dir, "sleeper"))
	}
	for range 2 { // a stopped process is stopped already
		if err := daemon.Stop(dir, "sleeper", 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if daemon.Alive(dir, "sleeper") {
			t.Fatal("runs after Stop")
		}
	}
}

func TestAProcessThatWillNotEndIsKilled(t *testing.T) {
	dir := t.TempDir()
	ready := filepath.Join(dir, "ready")
	spec := daemon.Spec{Dir: dir, Name: "deaf", Args: []string{"/bin/sh", "-c", "trap '' TERM; touch " + ready + "; while :; do sleep 1; done"}}
	if _, err := daemon.Ensure(spec); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(ready); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := daemon.Stop(dir, "deaf", 100*time.Millisecond); err != nil || daemon.Alive(dir, "deaf") {
		t.Fatalf("Stop: %v, alive %v", err, daemon.Alive(dir, "deaf"))
	}
}

// The number in a pid file may belong to a stranger by now.
func TestAStrangerWithTheSameNumberIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "old.pid"), fmt.Appendf(nil, "%d 1\n", os.Getpid()), 0o644); err != nil {
		t.Fatal(err)
	}
	if pid := daemon.PID(dir, "old"); pid != 0 {
		t.Fatalf("took process %d, this test, for the daemon", pid)
	}
	if err := daemon.Stop(dir, "old", 0); err != nil {
		t.Fatal(err)
	}
}

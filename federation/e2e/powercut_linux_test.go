package e2e

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ext4Shutdown is EXT4_IOC_SHUTDOWN; noLogFlush makes the file system forget
// everything that was not synced, its own journal included, as a power cut
// does (linux/fs/ext4/ext4.h).
const (
	ext4Shutdown = 0x8004587D
	noLogFlush   = uint32(2)
)

// volume is a small ext4 file system in an image file, which can lose power.
type volume struct {
	image string
	dir   string
}

// newVolume makes and mounts one. It skips the test, loudly, where that is not
// possible: not root, or no loop devices.
func newVolume(t *testing.T, name string, megabytes int) *volume {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: a power cut needs root, to mount file systems that lose what was not synced")
	}
	base := t.TempDir()
	v := &volume{image: filepath.Join(base, name+".img"), dir: filepath.Join(base, name)}
	if err := os.Mkdir(v.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(v.image)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(int64(megabytes)<<20), f.Close()); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", v.image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	if err := v.mount(); err != nil {
		t.Skipf("SKIPPED: this machine mounts no loop devices: %v", err)
	}
	t.Cleanup(func() {
		if err := v.unmount(); err != nil {
			t.Errorf("leave nothing mounted: %v", err)
		}
	})
	return v
}

func (v *volume) mount() error {
	out, err := exec.Command("mount", "-o", "loop", v.image, v.dir).CombinedOutput() //nolint:noctx // also used in clean-up, after the test's context
	if err != nil {
		return fmt.Errorf("mount %s: %w: %s", v.dir, err, out)
	}
	return nil
}

func (v *volume) unmount() error {
	out, err := exec.Command("umount", v.dir).CombinedOutput() //nolint:noctx // also used in clean-up, after the test's context
	if err != nil {
		return fmt.Errorf("umount %s: %w: %s", v.dir, err, out)
	}
	return nil
}

// cutPower ends the processes and cuts all volumes at once: what was not synced
// is gone after the next mount.
//
// The processes end first, because ext4 does not tell them the truth: a sync
// that is under way when the file system is shut down may return success
// although what was written to preallocated blocks, as a log's are, will read
// as zeros (Linux 6.18: in 13 of 100 cuts). A process that was killed runs no
// more code, so what it was told then does not leave it, as no word of a disk
// leaves a machine without power.
func cutPower(volumes []*volume, processes ...*process) error {
	fds := make([]int, 0, len(volumes))
	defer func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	for _, v := range volumes {
		fd, err := unix.Open(v.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open %s: %w", v.dir, err)
		}
		fds = append(fds, fd)
	}
	for _, p := range processes {
		p.signal(unix.SIGKILL)
	}
	for i, fd := range fds {
		flags := noLogFlush
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), ext4Shutdown, uintptr(unsafe.Pointer(&flags))); errno != 0 {
			return fmt.Errorf("cut %s: %w", volumes[i].dir, errno)
		}
	}
	for _, p := range processes {
		if !p.wait(settle) {
			return fmt.Errorf("%s does not end", p.name)
		}
	}
	return nil
}

// A synced file survives the cut and an unsynced one does not: without this
// the power-cut test would prove nothing.
func TestVolumeLosesWhatWasNotSynced(t *testing.T) {
	v := newVolume(t, "probe", 32)
	synced, unsynced := filepath.Join(v.dir, "synced"), filepath.Join(v.dir, "unsynced")
	f, err := os.Create(synced)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("kept"); err != nil {
		t.Fatal(err)
	}
	d, err := os.Open(v.dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close(), d.Sync(), d.Close()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(unsynced, []byte("lost"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := cutPower([]*volume{v}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(v.unmount(), v.mount()); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(synced); err != nil || string(b) != "kept" {
		t.Errorf("the synced file reads %q, %v; want \"kept\"", b, err)
	}
	if b, err := os.ReadFile(unsynced); err == nil && len(b) > 0 {
		t.Errorf("the unsynced file survived the cut (%q): the volume loses nothing", b)
	}
}

// syncerFile names the file in which this binary, started as a child, counts
// up, syncs each number and tells it afterwards.
const syncerFile = "BARRAGE_TEST_SYNCER"

const (
	syncerRecord = 704
	syncerFirst  = 20 * time.Millisecond // from here on the power may go
)

// Whatever a process was told to be synced, and could still pass on, survives
// the cut: without this the power-cut test would blame the log for what the
// file system did.
func TestVolumeKeepsEverySyncThatWasReported(t *testing.T) {
	if name := os.Getenv(syncerFile); name != "" {
		countAndSync(t, name)
		return
	}
	v := newVolume(t, "probe", 64)
	name := filepath.Join(v.dir, "log")
	s := seed(t)
	source := rand.New(rand.NewPCG(s, 3))
	reported := 0
	for range 40 {
		if err := preallocate(name); err != nil {
			t.Fatal(err)
		}
		p := &process{
			name: "syncer", bin: os.Args[0], args: []string{"-test.run=^TestVolumeKeepsEverySyncThatWasReported$"},
			env: []string{syncerFile + "=" + name}, logs: filepath.Join(t.TempDir(), "syncer"),
		}
		if err := p.start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(between(source, syncerFirst, 2*syncerFirst)) // when the power goes
		if err := cutPower([]*volume{v}, p); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(v.unmount(), v.mount()); err != nil {
			t.Fatal(err)
		}
		told, err := os.ReadFile(p.logs)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		n := bytes.Count(told, []byte("\n"))
		reported += n
		for i := range n {
			if at := i * syncerRecord; binary.LittleEndian.Uint64(kept[at:]) != uint64(i+1) {
				t.Fatalf("%d syncs were reported and record %d is lost", n, i+1)
			}
		}
	}
	if reported < 100 {
		t.Errorf("only %d syncs were reported in 40 cuts: they prove nothing", reported)
	}
	t.Logf("%d syncs reported in 40 cuts, each of them kept", reported)
}

// preallocate makes a file of blocks that were never written.
func preallocate(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(unix.Fallocate(int(f.Fd()), 0, 0, 8<<20), f.Sync(), f.Close(), d.Sync(), d.Close())
}

func countAndSync(t *testing.T, name string) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	record := make([]byte, syncerRecord)
	for i := range (8 << 20) / syncerRecord {
		binary.LittleEndian.PutUint64(record, uint64(i+1))
		if _, err := f.WriteAt(record, int64(i)*syncerRecord); err != nil {
			return
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return
		}
		os.Stdout.WriteString("synced\n")
	}
}

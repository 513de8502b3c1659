package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
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

// cutPower cuts all volumes at once: from here on every write fails, and what
// was not synced is gone after the next mount.
func cutPower(volumes []*volume) error {
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
	for i, fd := range fds {
		flags := noLogFlush
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), ext4Shutdown, uintptr(unsafe.Pointer(&flags))); errno != 0 {
			return fmt.Errorf("cut %s: %w", volumes[i].dir, errno)
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

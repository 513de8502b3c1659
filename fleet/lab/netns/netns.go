// Package netns makes network namespaces, and does things inside of them.
package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

const dir = "/run/netns"

// Add makes a namespace unless it is there.
func Add(name string) error {
	if Exists(name) {
		return nil
	}
	return run("", "ip", "netns", "add", name)
}

// Delete removes a namespace, if it is there. It disappears with its last
// process.
func Delete(name string) error {
	if _, err := os.Lstat(filepath.Join(dir, name)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return run("", "ip", "netns", "delete", name)
}

// List gives the namespaces whose names begin with prefix.
func List(prefix string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// Exists says whether a namespace can be entered: a name without one behind
// it, left by a crash, does not count.
func Exists(name string) bool {
	var st unix.Statfs_t
	return unix.Statfs(filepath.Join(dir, name), &st) == nil && st.Type == unix.NSFS_MAGIC
}

// IP runs `ip` on lines of commands, in a namespace, and stops at the first
// that fails.
func IP(name string, lines ...string) error {
	return run(strings.Join(lines, "\n"), "ip", "-n", name, "-batch", "-")
}

// Do runs f inside a namespace. Processes that f starts stay in it; sockets
// that it opens do too.
func Do(name string, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- do(name, f) }()
	return <-done
}

// do has a goroutine of its own: should the thread not find its way back, it
// ends with it.
func do(name string, f func() error) error {
	runtime.LockOSThread()
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open own network namespace: %w", err)
	}
	defer unix.Close(home) //nolint:errcheck // read only
	there, err := unix.Open(filepath.Join(dir, name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", name, err)
	}
	defer unix.Close(there) //nolint:errcheck // read only
	if err := unix.Setns(there, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", name, err)
	}
	err = f()
	if unix.Setns(home, unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread()
	}
	return err
}

// Sysctl sets network parameters of a namespace: keys like
// net.ipv4.ip_forward.
func Sysctl(name string, values map[string]string) error {
	return Do(name, func() error {
		for key, value := range values {
			path := "/proc/sys/" + strings.ReplaceAll(key, ".", "/")
			if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
				return fmt.Errorf("set %s in %s: %w", key, name, err)
			}
		}
		return nil
	})
}

func run(stdin, command string, args ...string) error {
	cmd := exec.Command(command, args...) //nolint:noctx // ends by itself, at once
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

package main

import (
	"context"
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

	"github.com/barrage-im/barrage/fleet/lab/network"
)

// programs are what the lab runs, and the Debian packages that bring them.
var programs = []struct{ path, pkg string }{
	{"/usr/bin/containerd", "containerd"},
	{"/usr/bin/ctr", "containerd"},
	{"runc", "runc"},
	{"/usr/lib/cni/bridge", "containernetworking-plugins"},
	{"nft", "nftables"},
	{"iptables", "iptables"},
	{"ip", "iproute2"},
	{"/usr/bin/docker-registry", "docker-registry"},
	{"git", "git"},
	{"mount", "mount"},
}

var errNotRoot = errors.New("the lab makes network namespaces, mounts and cgroups: run it as root")

func isRoot() error {
	if os.Geteuid() != 0 {
		return errNotRoot
	}
	return nil
}

// preflight says all at once what the machine lacks.
func preflight() error {
	if err := isRoot(); err != nil {
		return err
	}
	var missing []string
	seen := map[string]bool{}
	for _, p := range programs {
		if _, err := exec.LookPath(p.path); err != nil && !seen[p.pkg] {
			seen[p.pkg] = true
			missing = append(missing, p.pkg)
		}
	}
	var err error
	if len(missing) > 0 {
		err = fmt.Errorf("missing programs; on Debian: apt-get install --no-install-recommends %s", strings.Join(missing, " "))
	}
	if _, e := os.Stat("/dev/net/tun"); e != nil {
		err = errors.Join(err, fmt.Errorf("the kernel has no TUN devices: %w", e))
	}
	if b, e := os.ReadFile("/proc/filesystems"); e == nil && !strings.Contains(string(b), "\toverlay\n") {
		err = errors.Join(err, errors.New("the kernel has no overlay file system (modprobe overlay)"))
	}
	return err
}

// A machine has one lab: names of namespaces and cgroups are the same for all.
const (
	lockFile  = "/run/barrage-lab.lock"
	ownerFile = "/run/barrage-lab.owner"
)

// own takes the machine for this lab until release; other commands that change
// the lab fail meanwhile.
func (l *Lab) own() (release func(), err error) {
	f, err := os.OpenFile(lockFile, os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close() //nolint:errcheck // nothing was written
		return nil, errors.New("another lab command is under way")
	}
	release = func() { f.Close() } //nolint:errcheck // nothing was written
	b, err := os.ReadFile(ownerFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		release()
		return nil, err
	}
	owner := strings.TrimSpace(string(b))
	if left, _ := network.Left(); owner != "" && owner != l.state && len(left) > 0 { //nolint:errcheck // none can be seen
		release()
		return nil, fmt.Errorf("another lab is up on this machine: take it down with: lab --state %s down", owner)
	}
	if err := os.WriteFile(ownerFile, []byte(l.state+"\n"), 0o600); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

func (l *Lab) disown() error {
	return errors.Join(os.Remove(ownerFile), os.Remove(lockFile))
}

// parameters of the whole machine that many kubelets need, or that a kubelet
// sets without being asked (empty).
var parameters = map[string]string{
	"fs.inotify.max_user_instances": "4096",
	"fs.inotify.max_user_watches":   "524288",
	"vm.overcommit_memory":          "",
	"vm.panic_on_oom":               "",
	"kernel.panic":                  "",
	"kernel.panic_on_oops":          "",
	"kernel.keys.root_maxkeys":      "",
	"kernel.keys.root_maxbytes":     "",
}

// folders that programs of the lab make on the machine, though what is in them
// is each node's own.
var folders = []string{"/run/cni-ipam", "/run/containerd", "/run/runc", "/var/lib/cni", "/var/lib/kubelet"}

// A host is the machine as it was before.
type host struct {
	Parameters map[string]string `json:"parameters"`
	Absent     []string          `json:"absent"` // folders
}

// prepareHost notes the machine's parameters in file, the first time, and sets
// those that need it.
func prepareHost(file string) error {
	var before host
	err := readJSON(file, &before)
	if errors.Is(err, fs.ErrNotExist) {
		before.Parameters = map[string]string{}
		for key := range parameters {
			if b, err := os.ReadFile(parameter(key)); err == nil {
				before.Parameters[key] = strings.TrimSpace(string(b))
			}
		}
		for _, d := range folders {
			if _, err := os.Stat(d); errors.Is(err, fs.ErrNotExist) {
				before.Absent = append(before.Absent, d)
			}
		}
		err = writeJSON(file, before)
	}
	if err != nil {
		return err
	}
	for key, value := range parameters {
		if value != "" && atLeast(before.Parameters[key], value) {
			value = before.Parameters[key]
		}
		if value != "" {
			if err := os.WriteFile(parameter(key), []byte(value), 0o644); err != nil {
				return fmt.Errorf("set %s: %w", key, err)
			}
		}
	}
	return nil
}

// restoreHost puts back what file holds; without one there is nothing to do.
func restoreHost(file string) error {
	var before host
	err := readJSON(file, &before)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for key, value := range before.Parameters {
		if e := os.WriteFile(parameter(key), []byte(value), 0o644); e != nil {
			err = errors.Join(err, fmt.Errorf("restore %s: %w", key, e))
		}
	}
	for _, d := range before.Absent {
		os.Remove(d) //nolint:errcheck // not empty: then it has become someone else's
	}
	return err
}

func parameter(key string) string {
	return filepath.Join("/proc/sys", strings.ReplaceAll(key, ".", "/"))
}

func atLeast(have, want string) bool {
	h, err1 := strconv.Atoi(have)
	w, err2 := strconv.Atoi(want)
	return err1 == nil && err2 == nil && h >= w
}

// sweep kills what still runs in the lab's namespaces: pid files may be lost.
func sweep(ctx context.Context) error {
	names, err := network.Left()
	if err != nil {
		return err
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		left := 0
		for _, name := range names {
			out, err := exec.CommandContext(ctx, "ip", "netns", "pids", name).Output()
			if err != nil {
				continue // a name without a namespace
			}
			for _, field := range strings.Fields(string(out)) {
				pid, err := strconv.Atoi(field)
				if err != nil {
					return err
				}
				left++
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
					return err
				}
			}
		}
		if left == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d processes in the lab's namespaces cannot be killed", left)
		}
	}
}

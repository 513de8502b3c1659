package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const cgroups = "/sys/fs/cgroup"

// hierarchies lists the mounted cgroup hierarchies: one with cgroup v2, one
// for each controller with v1, and then perhaps a v2 tree without controllers,
// which runc fills too.
func hierarchies() ([]string, error) {
	if _, err := os.Stat(filepath.Join(cgroups, "cgroup.controllers")); err == nil {
		return []string{cgroups}, nil
	}
	entries, err := os.ReadDir(cgroups)
	if err != nil {
		return nil, err
	}
	var roots []string
	for _, e := range entries {
		path := filepath.Join(cgroups, e.Name())
		var st unix.Statfs_t
		if e.IsDir() && unix.Statfs(path, &st) == nil &&
			(st.Type == unix.CGROUP_SUPER_MAGIC || st.Type == unix.CGROUP2_SUPER_MAGIC) {
			roots = append(roots, path)
		}
	}
	if len(roots) == 0 {
		return nil, fmt.Errorf("no cgroup hierarchy is mounted below %s", cgroups)
	}
	return roots, nil
}

// makeCgroup makes a group in every hierarchy.
func makeCgroup(name string) error {
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	for _, root := range roots {
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		// A v1 cpuset begins empty, and nothing may run in an empty one.
		for _, f := range []string{"cpuset.cpus", "cpuset.mems"} {
			all, err := os.ReadFile(filepath.Join(root, f))
			if err != nil || root == cgroups {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, f), all, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeCgroup removes a group and those below it from every hierarchy, once
// their last processes are gone. A group that is not there is removed already.
func removeCgroup(name string, patience time.Duration) error {
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		err = nil
		for _, root := range roots {
			err = errors.Join(err, removeTree(filepath.Join(root, name)))
		}
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// LeftCgroups lists groups of machines that are there.
func LeftCgroups() ([]string, error) {
	roots, err := hierarchies()
	if err != nil {
		return nil, err
	}
	var left []string
	for _, root := range roots {
		entries, err := os.ReadDir(root)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), "barrage-lab-") {
				left = append(left, filepath.Join(root, e.Name()))
			}
		}
	}
	return left, nil
}

// RemoveLeft removes the groups of all machines, known or not.
func RemoveLeft() error {
	left, err := LeftCgroups()
	for _, dir := range left {
		err = errors.Join(err, removeTree(dir))
	}
	return err
}

package replica

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// diskGuard keeps a full disk from becoming a cluster's problem: proposals are
// refused first; later this node leaves the vote, since a leader that cannot
// write would be elected again and again.
type diskGuard struct {
	node        *Node
	free, total atomic.Uint64
	refuse      atomic.Bool
	stopped     bool // owned by check
}

const ballastFile = "BALLAST"

func newDiskGuard(n *Node) *diskGuard {
	d := &diskGuard{node: n}
	d.look()
	if n.cfg.Disk.Ballast > 0 && !d.refuse.Load() {
		if err := d.layBallast(); err != nil {
			n.log.Warn("no ballast file", "error", err)
		}
	}
	return d
}

func (d *diskGuard) refusing() bool { return d.refuse.Load() }

func (d *diskGuard) layBallast() error {
	f, err := os.OpenFile(filepath.Join(d.node.cfg.Dir, ballastFile), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(unix.Fallocate(int(f.Fd()), 0, 0, d.node.cfg.Disk.Ballast), f.Close())
}

func (d *diskGuard) statfs() (free, total uint64, err error) {
	if ask := d.node.cfg.hooks.statfs; ask != nil {
		free, total = ask()
		return free, total, nil
	}
	var st unix.Statfs_t
	if err := unix.Statfs(d.node.cfg.Dir, &st); err != nil {
		return 0, 0, err
	}
	return st.Bavail * uint64(st.Bsize), st.Blocks * uint64(st.Bsize), nil
}

// look takes the numbers and says whether this node should leave the vote.
func (d *diskGuard) look() (stop bool) {
	free, total, err := d.statfs()
	if err != nil {
		d.node.log.Warn("cannot tell the free space", "error", err)
		return false
	}
	d.free.Store(free)
	d.total.Store(total)
	d.node.metrics.diskFree.Set(float64(free))
	d.node.metrics.diskTotal.Set(float64(total))
	l := d.node.cfg.Disk
	below := func(fraction float64, bytes uint64) bool {
		return float64(free) < fraction*float64(total) && free < bytes
	}
	refuse := below(l.RefuseFraction, l.RefuseBytes)
	if refuse != d.refuse.Load() {
		if refuse {
			_ = os.Remove(filepath.Join(d.node.cfg.Dir, ballastFile)) // there may be none; whoever is refused finds it gone
			d.node.log.Error("disk nearly full: proposals are refused", "free", free, "total", total)
		} else {
			d.node.log.Info("disk has space again", "free", free, "total", total)
		}
		d.refuse.Store(refuse)
	}
	return below(l.StopFraction, l.StopBytes)
}

// check is called by the node's watch.
func (d *diskGuard) check() {
	if !d.look() || d.stopped {
		return
	}
	d.stopped = true
	d.node.log.Error("disk full: this node leaves the vote until it is restarted with more space", "free", d.free.Load())
	for _, s := range d.node.shards {
		s.proposer.follow(fmt.Errorf("%w: this node has left the vote", ErrDiskFull))
		s.raft.Shutdown() // Close waits for it
	}
}

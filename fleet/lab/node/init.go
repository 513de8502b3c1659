package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const socket = "/run/containerd/containerd.sock"

// Init is process 1 of a machine. It mounts, starts containerd, loads the
// images, starts kubelet and kube-proxy, starts again what ends, and reaps. It
// returns only if the machine cannot start.
func Init(dir string, log io.Writer) error {
	b, err := os.ReadFile(filepath.Join(dir, "machine.json"))
	if err != nil {
		return err
	}
	var m Machine
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	if err := m.mount(); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(m.Node.Name())); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	s := &supervisor{dir: dir, log: log, services: map[int]service{}}
	s.start(service{"containerd", []string{"/usr/bin/containerd", "--config", filepath.Join(dir, "containerd.toml")}})
	if err := s.load(m.Images); err != nil {
		return err
	}
	s.start(service{"kubelet", []string{
		m.Kube, "kubelet",
		"--config=" + filepath.Join(dir, "kubelet.yaml"),
		"--kubeconfig=" + filepath.Join(m.PKI, "node-"+m.Node.Name()+".kubeconfig"),
		"--hostname-override=" + m.Node.Name(), "--node-ip=" + m.Node.IP(),
		"--node-labels=topology.kubernetes.io/region=" + m.Node.Region.Name + ",topology.kubernetes.io/zone=" + m.Node.Name(),
	}})
	s.start(service{"kube-proxy", []string{m.Kube, "kube-proxy", "--config=" + filepath.Join(dir, "proxy.yaml")}})
	s.reap()
	return nil
}

// mount gives the machine a /proc, an empty /run of what it writes to, and its
// disk at the places where programs look for it.
func (m Machine) mount() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("part from the host's mounts: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NOEXEC|unix.MS_NODEV, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	for _, d := range []string{"/run/containerd", "/run/netns", "/run/runc", "/run/cni-ipam", "/var/lib/cni"} {
		if err := mountOn(d, "tmpfs", "tmpfs", 0); err != nil {
			return err
		}
	}
	for from, to := range map[string]string{"kubelet": "/var/lib/kubelet", "log": "/var/log"} {
		if err := mountOn(to, filepath.Join(m.Dir, from), "", unix.MS_BIND); err != nil {
			return err
		}
	}
	// Volumes mounted by the kubelet must be seen in containers.
	return unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "")
}

func mountOn(dir, source, kind string, flags uintptr) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(source, dir, kind, flags, ""); err != nil {
		return fmt.Errorf("mount %s: %w", dir, err)
	}
	return nil
}

// A service is a program that is to run as long as the machine.
type service struct {
	name string
	args []string
}

type supervisor struct {
	dir      string
	log      io.Writer
	services map[int]service
}

func (s *supervisor) start(svc service) {
	log, err := os.OpenFile(filepath.Join(s.dir, svc.name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		fmt.Fprintln(s.log, svc.name, err)
		return
	}
	defer log.Close() //nolint:errcheck // the child has its own descriptor
	p, err := os.StartProcess(svc.args[0], svc.args, &os.ProcAttr{Env: os.Environ(), Files: []*os.File{nil, log, log}})
	if err != nil {
		fmt.Fprintln(s.log, svc.name, err)
		return
	}
	s.services[p.Pid] = svc
}

// load imports the image archives into containerd, once it answers.
func (s *supervisor) load(dir string) error {
	archives, err := filepath.Glob(filepath.Join(dir, "*.tar"))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		out, err := ctr(ctx, "version")
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return fmt.Errorf("containerd does not answer: %w: %s", err, out)
		}
		time.Sleep(100 * time.Millisecond)
	}
	for _, a := range archives {
		if out, err := ctr(ctx, "--namespace", "k8s.io", "images", "import", a); err != nil {
			return fmt.Errorf("load %s: %w: %s", a, err, bytes.TrimSpace(out))
		}
	}
	return nil
}

func ctr(ctx context.Context, args ...string) ([]byte, error) {
	return exec.CommandContext(ctx, "/usr/bin/ctr", append([]string{"--address", socket}, args...)...).CombinedOutput()
}

// reap waits for everything that ends, which as process 1 is every orphan of
// the machine, and starts services again after a second.
func (s *supervisor) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil { // nothing left to wait for: services could not be started
			time.Sleep(time.Second)
			continue
		}
		svc, ok := s.services[pid]
		if !ok {
			continue
		}
		delete(s.services, pid)
		fmt.Fprintf(s.log, "%s ended: %v\n", svc.name, status)
		time.Sleep(time.Second)
		s.start(svc)
	}
}

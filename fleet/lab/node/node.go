// Package node runs machines of a cluster: containerd, kubelet and kube-proxy
// in network, mount, process, host name and IPC namespaces of their own. All
// of a node descends from one process, which is number 1 inside: killing it is
// a power cut. Every process of the node dies with it and every mount goes
// away; its disk, a folder, stays.
package node

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"text/template"
	"time"

	"github.com/barrage-im/barrage/fleet/lab/daemon"
	"github.com/barrage-im/barrage/fleet/lab/network"
	"github.com/barrage-im/barrage/fleet/lab/plan"
)

// A Machine is a node and where its things are.
type Machine struct {
	Node   plan.Node
	Dir    string // its disk, configuration and logs
	PKI    string // its region's certificates
	Kube   string // the combined binary
	Self   string // the lab's own binary, which is process 1 of a node
	Images string // folder of image archives, loaded when it starts
	Pause  string // name of the image that holds a pod's namespaces
}

// InitCommand is the lab's subcommand that is process 1; its one argument is
// the folder of the machine.
const InitCommand = "node-init"

// process is the name of its pid file and log.
const process = "machine"

//go:embed files
var files embed.FS

// On starts the machine unless it runs.
func (m Machine) On() error {
	if m.Running() {
		return nil
	}
	// What a power cut left behind: a cable that is down, folders of dead
	// containers, for each of which the kubelet would wait for seconds.
	if err := m.clear(); err != nil {
		return err
	}
	if err := network.Plug(m.Node); err != nil {
		return fmt.Errorf("network of node %s: %w", m.Node.Name(), err)
	}
	if err := makeCgroup(m.Node.Cgroup()); err != nil {
		return fmt.Errorf("cgroups of node %s: %w", m.Node.Name(), err)
	}
	if err := m.configure(); err != nil {
		return fmt.Errorf("configure node %s: %w", m.Node.Name(), err)
	}
	_, err := daemon.Ensure(daemon.Spec{
		Dir: m.Dir, Name: process, Netns: m.Node.Namespace(),
		Args:  []string{m.Self, InitCommand, m.Dir},
		Flags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
	})
	return err
}

// Off cuts the machine's power. Its cable goes first, so that no peer hears of
// it: the kernel would otherwise close the dead processes' connections.
func (m Machine) Off() error {
	err := network.Silence(m.Node)
	return errors.Join(err, daemon.Stop(m.Dir, process, 0), m.clear())
}

// Running says whether the machine has power.
func (m Machine) Running() bool { return daemon.Alive(m.Dir, process) }

// Log is the end of what process 1 said.
func (m Machine) Log() string { return daemon.Tail(m.Dir, process) }

func (m Machine) clear() error {
	return errors.Join(removeCgroup(m.Node.Cgroup(), 10*time.Second), network.Unplug(m.Node))
}

// configure writes the machine's folder.
func (m Machine) configure() error {
	for _, d := range []string{"containerd", "kubelet", "log", "cni", filepath.Join("certs.d", plan.Registry)} {
		if err := os.MkdirAll(filepath.Join(m.Dir, d), 0o755); err != nil {
			return err
		}
	}
	view := struct {
		Machine
		Registry string
	}{m, plan.Registry}
	for source, target := range map[string]string{
		"containerd.toml": "containerd.toml",
		"hosts.toml":      filepath.Join("certs.d", plan.Registry, "hosts.toml"),
		"cni.conflist":    filepath.Join("cni", "10-lab.conflist"),
		"kubelet.yaml":    "kubelet.yaml",
		"proxy.yaml":      "proxy.yaml",
	} {
		t, err := template.New(source).Option("missingkey=error").ParseFS(files, "files/"+source)
		if err != nil {
			return err
		}
		var out bytes.Buffer
		if err := t.Execute(&out, view); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(m.Dir, target), out.Bytes(), 0o644); err != nil {
			return err
		}
	}
	// Pods resolve through the cluster's DNS alone.
	if err := os.WriteFile(filepath.Join(m.Dir, "resolv.conf"), nil, 0o644); err != nil {
		return err
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(m.Dir, "machine.json"), b, 0o644)
}

// Package control runs a region's control plane: etcd, API server, controller
// manager and scheduler, as processes in the namespace of the region's router.
package control

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/barrage-im/barrage/fleet/lab/daemon"
	"github.com/barrage-im/barrage/fleet/lab/pki"
	"github.com/barrage-im/barrage/fleet/lab/plan"
)

// A Plane is the control plane of one region. Dir holds its certificates
// (pki), its database (etcd) and its logs.
type Plane struct {
	Region plan.Region
	Dir    string
	Kube   string // the combined binary
}

// etcd serves this region alone, in its namespace, on loopback.
const (
	etcdClient = "http://127.0.0.1:2379"
	etcdPeer   = "http://127.0.0.1:2380"
)

// names are the processes, in the order in which they need each other.
var names = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}

// Up starts what does not run and waits until the API server is ready.
func (p Plane) Up(ctx context.Context) error {
	if err := pki.Ensure(p.PKI(), p.Region); err != nil {
		return err
	}
	args := map[string][]string{
		"etcd":                    p.etcd(),
		"kube-apiserver":          p.apiserver(),
		"kube-controller-manager": p.controllers(),
		"kube-scheduler": {
			"--kubeconfig=" + p.pki("scheduler.kubeconfig"),
			"--leader-elect=false", "--secure-port=0", "--profiling=false",
		},
	}
	for _, name := range names {
		_, err := daemon.Ensure(daemon.Spec{
			Dir: p.Dir, Name: name, Netns: p.Region.Namespace(),
			Args: append([]string{p.Kube, name}, args[name]...),
		})
		if err != nil {
			return err
		}
	}
	for {
		_, err := p.Kubectl(ctx, nil, "get", "--raw", "/readyz")
		if err == nil {
			return nil
		}
		for _, name := range names {
			if !daemon.Alive(p.Dir, name) {
				return fmt.Errorf("%s of region %s ended: %s", name, p.Region.Name, daemon.Tail(p.Dir, name))
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("API server of region %s is not ready: %w", p.Region.Name, errors.Join(ctx.Err(), err))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Down stops it. A grace of zero is a power cut.
func (p Plane) Down(grace time.Duration) error {
	var err error
	for i := len(names) - 1; i >= 0; i-- {
		err = errors.Join(err, daemon.Stop(p.Dir, names[i], grace))
	}
	return err
}

// Running lists the processes that run.
func (p Plane) Running() []string {
	var running []string
	for _, name := range names {
		if daemon.Alive(p.Dir, name) {
			running = append(running, name)
		}
	}
	return running
}

// PKI is the folder of certificates and kubeconfigs.
func (p Plane) PKI() string { return filepath.Join(p.Dir, "pki") }

// Kubeconfig is the administrator's.
func (p Plane) Kubeconfig() string { return p.pki("admin.kubeconfig") }

func (p Plane) pki(name string) string { return filepath.Join(p.PKI(), name) }

func (p Plane) etcd() []string {
	return []string{
		"--name=default", "--data-dir=" + filepath.Join(p.Dir, "etcd"), "--log-level=warn",
		"--unsafe-no-fsync", // the machine itself does not lose power; only processes are killed
		"--listen-client-urls=" + etcdClient, "--advertise-client-urls=" + etcdClient,
		"--listen-peer-urls=" + etcdPeer, "--initial-advertise-peer-urls=" + etcdPeer,
		"--initial-cluster=default=" + etcdPeer,
	}
}

func (p Plane) apiserver() []string {
	return []string{
		"--etcd-servers=" + etcdClient,
		"--bind-address=" + p.Region.IP(), fmt.Sprintf("--secure-port=%d", plan.APIPort),
		"--advertise-address=" + p.Region.IP(), "--endpoint-reconciler-type=lease",
		"--service-cluster-ip-range=" + p.Region.Services(),
		"--tls-cert-file=" + p.pki("apiserver.crt"), "--tls-private-key-file=" + p.pki("apiserver.key"),
		"--client-ca-file=" + p.pki("ca.crt"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + p.pki("service-account.pub"),
		"--service-account-signing-key-file=" + p.pki("service-account.key"),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true", "--profiling=false",
		"--kubelet-client-certificate=" + p.pki("apiserver-kubelet.crt"),
		"--kubelet-client-key=" + p.pki("apiserver-kubelet.key"),
		"--kubelet-certificate-authority=" + p.pki("ca.crt"),
		"--kubelet-preferred-address-types=InternalIP",
		// Aggregated APIs and webhooks are reached by pod address: no cluster
		// address leads anywhere from the router.
		"--enable-aggregator-routing=true",
		"--requestheader-client-ca-file=" + p.pki("front-proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + p.pki("front-proxy.crt"),
		"--proxy-client-key-file=" + p.pki("front-proxy.key"),
		// A dead node's pods move after seconds, not the usual five minutes.
		"--default-not-ready-toleration-seconds=5", "--default-unreachable-toleration-seconds=5",
	}
}

func (p Plane) controllers() []string {
	return []string{
		"--kubeconfig=" + p.pki("controller-manager.kubeconfig"),
		"--leader-elect=false", "--secure-port=0", "--profiling=false",
		"--use-service-account-credentials=true",
		"--service-account-private-key-file=" + p.pki("service-account.key"),
		"--root-ca-file=" + p.pki("ca.crt"),
		"--cluster-signing-cert-file=" + p.pki("ca.crt"), "--cluster-signing-key-file=" + p.pki("ca.key"),
		"--allocate-node-cidrs=false", // each node has its own from the plan
		// Shorter than the defaults, so that tests need not wait minutes; each
		// still a multiple of the kubelet's 4 s.
		"--node-monitor-period=2s", "--node-monitor-grace-period=16s", "--node-startup-grace-period=20s",
		"--horizontal-pod-autoscaler-sync-period=5s", "--horizontal-pod-autoscaler-downscale-stabilization=10s",
	}
}

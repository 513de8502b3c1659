// Package lease says which of several predictors of a region leads, by a Lease of
// Kubernetes.
//
// All of them read the same demand and forecast the same, and all of them answer
// autoscalers: an autoscaler that reached a follower would otherwise be told 0,
// or an error, whenever a Service sent it there, and its fleet would swing. To
// lead is to be the one whose series a query takes, and to be shown.
package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Config of the election.
type Config struct {
	Name       string        `yaml:"name" help:"of the Lease by which one of several predictors leads; empty: this one always does"`
	Namespace  string        `yaml:"namespace" help:"of the Lease; empty: of the pod"`
	Identity   string        `yaml:"identity" help:"of this predictor; empty: the host's name"`
	Kubeconfig string        `yaml:"kubeconfig" help:"file for the Kubernetes API; empty: of the pod"`
	Duration   time.Duration `yaml:"duration" help:"a leader that was not heard of for so long is none any more"`
}

// Default is without an election.
func Default() Config { return Config{Duration: 15 * time.Second} }

// Limits of the configuration.
const (
	minDuration = time.Second
	maxDuration = 10 * time.Minute
	pod         = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
)

// Validate refuses what cannot work.
func (c Config) Validate() error {
	if c.Duration < minDuration || c.Duration > maxDuration {
		return fmt.Errorf("duration %s: use %s to %s", c.Duration, minDuration, maxDuration)
	}
	return nil
}

// An Elector knows whether this predictor leads. Run keeps it so.
type Elector struct {
	leads atomic.Bool
	log   *slog.Logger
	lock  resourcelock.Interface // nil: always leads
	cfg   Config
}

// Open prepares an election; nothing is asked yet.
func Open(cfg Config, log *slog.Logger) (*Elector, error) {
	e := &Elector{log: log, cfg: cfg}
	if cfg.Name == "" {
		e.leads.Store(true)
		return e, nil
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	rest, err := clientcmd.BuildConfigFromFlags("", cfg.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("lease: does this run in a cluster, or is lease.kubeconfig right? %w", err)
	}
	rest.Timeout = cfg.Duration / 3
	client, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	return e, e.over(client)
}

// over makes the election be held over a Kubernetes API.
func (e *Elector) over(client kubernetes.Interface) error {
	namespace, identity := e.cfg.Namespace, e.cfg.Identity
	if namespace == "" {
		text, err := os.ReadFile(pod)
		if err != nil {
			return errors.New("lease.namespace: give it, outside of a pod nothing says which it is")
		}
		namespace = strings.TrimSpace(string(text))
	}
	if identity == "" {
		var err error
		if identity, err = os.Hostname(); err != nil {
			return fmt.Errorf("lease.identity: give it: %w", err)
		}
	}
	e.lock = &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Name: e.cfg.Name, Namespace: namespace},
		Client:     client.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
	}
	return nil
}

// Leads says whether this predictor leads.
func (e *Elector) Leads() bool { return e.leads.Load() }

// Run takes part in the election until ctx ends, then gives the Lease back. A
// Kubernetes API that cannot be reached is asked again and again.
func (e *Elector) Run(ctx context.Context) error {
	if e.lock == nil {
		<-ctx.Done()
		return nil
	}
	for ctx.Err() == nil {
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: e.lock, ReleaseOnCancel: true, Name: e.cfg.Name,
			LeaseDuration: e.cfg.Duration, RenewDeadline: e.cfg.Duration * 2 / 3, RetryPeriod: e.cfg.Duration / 8,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(context.Context) { e.set(true) },
				OnStoppedLeading: func() { e.set(false) },
			},
		})
		if err != nil {
			return fmt.Errorf("lease: %w", err)
		}
		elector.Run(ctx) // until the Lease is lost
	}
	return nil
}

func (e *Elector) set(leads bool) {
	if e.leads.Swap(leads) != leads {
		e.log.Info("leadership", "leads", leads, "lease", e.cfg.Name)
	}
}

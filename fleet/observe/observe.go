// Package observe reads what a cluster says of itself: what Flux has applied
// there, and how many pods run. It changes nothing.
package observe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/barrage-im/barrage/fleet/rollout"
)

// Timeout of one look at a cluster.
const Timeout = 10 * time.Second

// fluxNamespace is where Flux runs.
const fluxNamespace = "flux-system"

var (
	kustomizations = schema.GroupVersionResource{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Resource: "kustomizations"}
	repositories   = schema.GroupVersionResource{Group: "source.toolkit.fluxcd.io", Version: "v1", Resource: "gitrepositories"}
	deployments    = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	statefulSets   = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"}
	events         = schema.GroupVersionResource{Version: "v1", Resource: "events"}
)

// A Status is what is seen of a cluster at one time.
type Status struct {
	Known    bool            `json:"known"`
	Why      string          `json:"why,omitempty"`      // it is not known
	Fetched  string          `json:"fetched,omitempty"`  // revision that Flux has of the repository
	Source   string          `json:"source,omitempty"`   // what is wrong with the repository there; empty: nothing
	Parts    []rollout.Part  `json:"parts,omitempty"`    // of barrage, by name
	Replicas map[string]Pods `json:"replicas,omitempty"` // by name of the Deployment or StatefulSet
	Event    string          `json:"event,omitempty"`    // the last of Flux
}

// Pods of a Deployment or StatefulSet.
type Pods struct {
	Wanted int64  `json:"wanted"`
	Ready  int64  `json:"ready"`
	Image  string `json:"image"`
}

// A Cluster is looked at.
type Cluster struct {
	client    dynamic.Interface
	namespace string
}

// Open uses a context of a kubeconfig; an empty path stands for the usual places.
// namespace is where the fleet runs.
func Open(kubeconfig, kubeContext, namespace string) (*Cluster, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: kubeContext}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("context %s of the kubeconfig: %w", kubeContext, err)
	}
	return New(cfg, namespace)
}

// New uses a configuration.
func New(cfg *rest.Config, namespace string) (*Cluster, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.Timeout = Timeout
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	return &Cluster{client, namespace}, nil
}

// Look reads the cluster. A cluster that cannot be read in whole is not known.
func (c *Cluster) Look(ctx context.Context) Status {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	s := Status{Replicas: map[string]Pods{}}
	if err := c.look(ctx, &s); err != nil {
		return Status{Why: explain(err)}
	}
	s.Known = true
	return s
}

func (c *Cluster) look(ctx context.Context, s *Status) error {
	source, err := c.client.Resource(repositories).Namespace(fluxNamespace).Get(ctx, "flux-system", metav1.GetOptions{})
	if err != nil {
		return err
	}
	s.Fetched, _, _ = unstructured.NestedString(source.Object, "status", "artifact", "revision")
	if ready, _, message := condition(source); !ready {
		s.Source = message
	}
	list, err := c.client.Resource(kustomizations).Namespace(fluxNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range list.Items {
		if k := &list.Items[i]; strings.HasPrefix(k.GetName(), "barrage-") {
			s.Parts = append(s.Parts, part(k))
		}
	}
	slices.SortFunc(s.Parts, func(a, b rollout.Part) int { return strings.Compare(a.Name, b.Name) })
	for _, resource := range []schema.GroupVersionResource{deployments, statefulSets} {
		list, err := c.client.Resource(resource).Namespace(c.namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for i := range list.Items {
			s.Replicas[list.Items[i].GetName()] = pods(&list.Items[i])
		}
	}
	s.Event, err = c.lastEvent(ctx)
	return err
}

// transient are reasons for which a part is not ready on the way.
var transient = []string{"Progressing", "ProgressingWithRetry", "DependencyNotReady", "HealthCheckCanceled", "Suspended", ""}

func part(k *unstructured.Unstructured) rollout.Part {
	p := rollout.Part{Name: k.GetName(), Generation: k.GetGeneration()}
	p.Applied, _, _ = unstructured.NestedString(k.Object, "status", "lastAppliedRevision")
	p.Attempted, _, _ = unstructured.NestedString(k.Object, "status", "lastAttemptedRevision")
	p.Observed, _, _ = unstructured.NestedInt64(k.Object, "status", "observedGeneration")
	p.Suspended, _, _ = unstructured.NestedBool(k.Object, "spec", "suspend")
	var reason string
	p.Ready, reason, p.Message = condition(k)
	p.Failed = !p.Ready && !slices.Contains(transient, reason)
	return p
}

// condition is the Ready one; a condition of an older generation is not ready.
func condition(o *unstructured.Unstructured) (ready bool, reason, message string) {
	list, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range list {
		m, is := c.(map[string]any)
		if !is || m["type"] != "Ready" {
			continue
		}
		reason, _ = m["reason"].(string)
		message, _ = m["message"].(string)
		observed, has := m["observedGeneration"].(int64)
		ready = m["status"] == "True" && (!has || observed == o.GetGeneration())
		if m["status"] != "False" && !ready {
			reason = "" // unknown, or of an older generation
		}
		return ready, reason, oneLine(message)
	}
	return false, "", "it has no status yet"
}

func pods(o *unstructured.Unstructured) (p Pods) {
	p.Wanted, _, _ = unstructured.NestedInt64(o.Object, "spec", "replicas")
	p.Ready, _, _ = unstructured.NestedInt64(o.Object, "status", "readyReplicas")
	containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	if len(containers) > 0 {
		if m, is := containers[0].(map[string]any); is {
			p.Image, _ = m["image"].(string)
		}
	}
	return p
}

// lastEvent is the newest of Flux's namespace, as a line.
func (c *Cluster) lastEvent(ctx context.Context) (string, error) {
	list, err := c.client.Resource(events).Namespace(fluxNamespace).List(ctx, metav1.ListOptions{Limit: 500})
	if err != nil {
		return "", err
	}
	var newest, text string
	for i := range list.Items {
		e := &list.Items[i]
		at, _, _ := unstructured.NestedString(e.Object, "lastTimestamp") // RFC 3339 sorts as text
		kind, _, _ := unstructured.NestedString(e.Object, "type")
		message, _, _ := unstructured.NestedString(e.Object, "message")
		name, _, _ := unstructured.NestedString(e.Object, "involvedObject", "name")
		if at > newest {
			newest, text = at, at+" "+name+": "+oneLine(message)
			if kind == corev1.EventTypeWarning {
				text = at + " warning: " + name + ": " + oneLine(message)
			}
		}
	}
	return text, nil
}

// maxLine bounds what a cluster says.
const maxLine = 300

func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > maxLine {
		s = string(r[:maxLine]) + "…"
	}
	return s
}

// explain says what to do about a cluster that cannot be read.
func explain(err error) string {
	var dial *net.OpError
	switch {
	case apierrors.IsUnauthorized(err):
		return "the API server does not know us: have the credentials of the kubeconfig expired? " + oneLine(err.Error())
	case apierrors.IsForbidden(err):
		return "we may not look: give this user the role view in flux-system and in the fleet's namespace. " + oneLine(err.Error())
	case meta.IsNoMatchError(err) || apierrors.IsNotFound(err):
		return "Flux is not set up there: kubectl apply -k clusters/REGION/CLUSTER/flux-system. " + oneLine(err.Error())
	case errors.As(err, &dial), errors.Is(err, context.DeadlineExceeded):
		return "the API server does not answer: " + oneLine(err.Error())
	}
	return oneLine(err.Error())
}

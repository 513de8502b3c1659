package observe

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/barrage-im/barrage/fleet/rollout"
)

// maxPage bounds a page of metrics, in bytes.
const maxPage = 8 << 20

// Samples reads what every edge of the cluster counts, by the pods' names and
// starts, through the API server: nothing of ours has to be reachable from
// outside. The user needs get on pods/proxy in the namespace.
func Samples(ctx context.Context, cfg *rest.Config, namespace string, port int) (map[string]rollout.Sample, error) {
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	pods, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=edge"})
	if err != nil {
		return nil, err
	}
	out := map[string]rollout.Sample{}
	for _, p := range pods.Items {
		if p.Status.PodIP == "" || p.DeletionTimestamp != nil {
			continue
		}
		page, err := client.CoreV1().RESTClient().Get().Namespace(namespace).Resource("pods").
			Name(fmt.Sprintf("%s:%d", p.Name, port)).SubResource("proxy").Suffix("metrics").DoRaw(ctx)
		if err != nil {
			return nil, fmt.Errorf("edge %s: %w", p.Name, err)
		}
		if len(page) > maxPage {
			return nil, fmt.Errorf("edge %s: a page of %d bytes; at most %d are read", p.Name, len(page), maxPage)
		}
		s, err := ReadSample(page)
		if err != nil {
			return nil, fmt.Errorf("edge %s: %w", p.Name, err)
		}
		out[string(p.UID)] = s
	}
	return out, nil
}

// ReadSample reads an edge's page of metrics.
func ReadSample(page []byte) (s rollout.Sample, err error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(page))
	if err != nil {
		return s, fmt.Errorf("no page of metrics: %w", err)
	}
	if families["barrage_edge_published_total"] == nil {
		return s, errors.New("no page of an edge: it has no barrage_edge_published_total")
	}
	sum := func(name string) (total float64) {
		for _, m := range families[name].GetMetric() {
			total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
		return total
	}
	by := func(name string) map[string]float64 {
		out := map[string]float64{}
		for _, m := range families[name].GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "reason" {
					out[l.GetValue()] += m.GetCounter().GetValue()
				}
			}
		}
		return out
	}
	s = rollout.Sample{
		Published: sum("barrage_edge_published_total"), Connected: sum("barrage_edge_connections"),
		Refused: by("barrage_edge_refused_total"), Closed: by("barrage_edge_closed_total"),
	}
	if h := histogram(families["barrage_edge_publish_seconds"]); h != nil {
		for _, b := range h.GetBucket() {
			s.Latency = append(s.Latency, rollout.Bucket{UpTo: b.GetUpperBound(), Count: float64(b.GetCumulativeCount())})
		}
	}
	return s, nil
}

func histogram(f *dto.MetricFamily) *dto.Histogram {
	if len(f.GetMetric()) == 0 {
		return nil
	}
	return f.GetMetric()[0].GetHistogram()
}

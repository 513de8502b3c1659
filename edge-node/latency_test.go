package edgenode

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// What users wait for is measured: each acknowledged publish once, from its
// arrival on.
func TestAcknowledgementsAreTimed(t *testing.T) {
	reg := prometheus.NewRegistry()
	e := startEdgeWith(t, startCore(t), reg)
	c := enter(t, e, "tcp", "ann")
	for _, key := range []string{"a", "b", "b"} {
		c.call(publish("lobby", key, "hello "+key))
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "barrage_edge_publish_seconds" {
			continue
		}
		if h := f.GetMetric()[0].GetHistogram(); h.GetSampleCount() != 3 || h.GetSampleSum() <= 0 || h.GetSampleSum() > 60 {
			t.Errorf("%d publishes in %v s", h.GetSampleCount(), h.GetSampleSum())
		}
		return
	}
	t.Error("there is no such metric")
}

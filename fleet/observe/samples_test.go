package observe

import (
	"math"
	"strings"
	"testing"
)

func TestAnEdgesPageIsRead(t *testing.T) {
	page := `# TYPE barrage_edge_published_total counter
barrage_edge_published_total 10
# TYPE barrage_edge_connections gauge
barrage_edge_connections 3
# TYPE barrage_edge_refused_total counter
barrage_edge_refused_total{reason="timeout"} 2
barrage_edge_refused_total{reason="forbidden"} 5
# TYPE barrage_edge_closed_total counter
barrage_edge_closed_total{reason="slow_consumer"} 1
# TYPE barrage_edge_publish_seconds histogram
barrage_edge_publish_seconds_bucket{le="0.01"} 8
barrage_edge_publish_seconds_bucket{le="+Inf"} 10
barrage_edge_publish_seconds_sum 1
barrage_edge_publish_seconds_count 10
`
	s, err := ReadSample([]byte(page))
	if err != nil || s.Published != 10 || s.Connected != 3 || s.Refused["timeout"] != 2 || s.Closed["slow_consumer"] != 1 {
		t.Fatalf("%+v %v", s, err)
	}
	if len(s.Latency) != 2 || s.Latency[0].Count != 8 || !math.IsInf(s.Latency[1].UpTo, 1) {
		t.Errorf("%+v", s.Latency)
	}
	for _, bad := range []string{"", "{", "barrage_edge_connections 3\n"} {
		if _, err := ReadSample([]byte(bad)); err == nil || !strings.Contains(err.Error(), "no page of") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

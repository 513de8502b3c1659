package client_test

import (
	"sync/atomic"
	"testing"

	"github.com/barrage-im/barrage/protocol/client"
	"github.com/barrage-im/barrage/protocol/client/clienttest"
)

// The service in memory takes its part of the time: it decodes, deduplicates
// and answers each publish.
func BenchmarkPublish(b *testing.B) {
	s := clienttest.New()
	c, err := client.Dial(b.Context(), client.Config{Endpoints: []string{edgeA}, Dialer: s})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	window := make(chan struct{}, 256)
	var failed atomic.Int64
	done := func(_ client.Ack, err error) {
		if err != nil {
			failed.Add(1)
		}
		<-window
	}
	b.ReportAllocs()
	for b.Loop() {
		window <- struct{}{}
		if err := c.PublishAsync("lobby", client.Message{Text: "what a match"}, done); err != nil {
			b.Fatal(err)
		}
	}
	for range cap(window) {
		window <- struct{}{}
	}
	if failed.Load() != 0 {
		b.Fatalf("%d publishes failed", failed.Load())
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "publishes/s")
}

package core

import (
	"context"
	"log/slog"
	"testing"
	"time"
)

// With bootstrap_node one configuration does for all: the named node makes the
// cluster, every other one waits for it.
func TestOneOfManyMakesTheCluster(t *testing.T) {
	for name, first := range map[string]bool{"c1": true, "c2": false} {
		cfg := Default()
		cfg.Node, cfg.BootstrapNode, cfg.Data = name, "c1", t.TempDir()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		m, err := identify(ctx, cfg, Options{Log: slog.New(slog.DiscardHandler)})
		if first != (err == nil && m.Bootstrap) {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

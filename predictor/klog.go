package predictor

import (
	"log/slog"

	"k8s.io/klog/v2"
)

// useLog makes the Kubernetes libraries log where everything else does.
func useLog(log *slog.Logger) { klog.SetSlogLogger(log.With("part", "kubernetes")) }

// Package manifests is the Kustomize bases of everything that runs in a cluster.
// Without a fleet description they are built by hand:
//
//	kustomize build fleet/manifests/core
package manifests

import "embed"

// Bases are base, core, edge and predictor, each a directory with a
// kustomization.yaml.
//
//go:embed base core edge predictor
var Bases embed.FS

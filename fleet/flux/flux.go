// Package flux gives Flux's own components as manifests, without asking anybody:
// those of the release that is in go.mod. It is the one door to flux2.
package flux

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"slices"

	"github.com/fluxcd/flux2/v2/pkg/manifestgen/install"
	"github.com/fluxcd/pkg/tar"
)

//go:generate go run ./gen

// Version of Flux.
const Version = "v2.9.5"

// Namespace of Flux.
const Namespace = "flux-system"

//go:embed manifests.tar.gz
var bundle []byte

// Options of the components.
type Options struct {
	Registry string // where the images come from
	Pull     string // Secret with which they are pulled; empty: none
	Images   bool   // with the two controllers that look for new images
}

// Components returns gotk-components.yaml. It needs a temporary directory, as
// install.Generate does.
func Components(o Options) ([]byte, error) {
	dir, err := os.MkdirTemp("", "flux-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := tar.Untar(bytes.NewReader(bundle), dir, tar.WithMaxUntarSize(-1)); err != nil {
		return nil, fmt.Errorf("unpack Flux's manifests: %w", err)
	}
	g := install.MakeDefaultOptions()
	g.Version, g.Namespace, g.Registry, g.ImagePullSecret = Version, Namespace, o.Registry, o.Pull
	g.Components = []string{"source-controller", "kustomize-controller", "notification-controller"}
	g.ComponentsExtra = nil
	if o.Images {
		g.Components = slices.Concat(g.Components, []string{"image-reflector-controller", "image-automation-controller"})
	}
	m, err := install.Generate(g, dir)
	if err != nil {
		return nil, fmt.Errorf("generate Flux's components: %w", err)
	}
	return []byte(m.Content), nil
}

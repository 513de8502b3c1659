// Command gen makes the bundle of manifests that package flux generates Flux's
// own components from, out of the modules of Flux's release: no release page is
// asked.
//
//	go run ./fleet/flux/gen    # writes fleet/flux/manifests.tar.gz
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fluxcd/flux2/v2/pkg/manifestgen/kustomization"
)

// modules are those of the release of flux2 in go.mod.
var modules = map[string]string{
	"source-controller":           "github.com/fluxcd/source-controller@v1.9.6",
	"kustomize-controller":        "github.com/fluxcd/kustomize-controller@v1.9.5",
	"notification-controller":     "github.com/fluxcd/notification-controller@v1.9.3",
	"image-reflector-controller":  "github.com/fluxcd/image-reflector-controller@v1.2.4",
	"image-automation-controller": "github.com/fluxcd/image-automation-controller@v1.2.4",
}

func main() {
	if err := run("fleet/flux/manifests.tar.gz"); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	tmp, err := os.MkdirTemp("", "flux-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	flux, err := output("go", "list", "-m", "-f", "{{.Dir}}", "github.com/fluxcd/flux2/v2")
	if err != nil {
		return err
	}
	files := map[string][]byte{}
	for name, module := range modules {
		if files[name+".yaml"], err = component(filepath.Join(tmp, name), flux, name, module); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, name := range []string{"rbac", "policies"} {
		dir := filepath.Join(tmp, name)
		if err := copyAll(dir, filepath.Join(flux, "manifests", name)); err != nil {
			return err
		}
		if files[name+".yaml"], err = kustomization.Build(dir); err != nil {
			return err
		}
	}
	return write(out, files)
}

// component builds the manifests of a controller: the release's kustomization, on
// the definitions and the Deployment that are in the controller's module.
func component(dir, flux, name, module string) ([]byte, error) {
	text, err := output("go", "mod", "download", "-json", module)
	if err != nil {
		return nil, err
	}
	var at struct{ Dir string }
	if err := json.Unmarshal([]byte(text), &at); err != nil {
		return nil, err
	}
	for to, from := range map[string]string{
		dir: filepath.Join(flux, "manifests/bases", name), filepath.Join(dir, "crd"): filepath.Join(at.Dir, "config/crd/bases"),
		filepath.Join(dir, "manager"): filepath.Join(at.Dir, "config/manager"),
	} {
		if err := copyAll(to, from); err != nil {
			return nil, err
		}
	}
	crds, err := filepath.Glob(filepath.Join(dir, "crd", "*.yaml"))
	if err != nil {
		return nil, err
	}
	local := []string{"- manager"}
	for _, c := range crds {
		local = append(local, "- crd/"+filepath.Base(c))
	}
	path := filepath.Join(dir, "kustomization.yaml")
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	lines := slices.DeleteFunc(strings.Split(string(b), "\n"), func(l string) bool { return strings.HasPrefix(l, "- https://") })
	i := slices.Index(lines, "resources:")
	if i < 0 {
		return nil, errors.New("its kustomization has no resources")
	}
	lines = slices.Insert(lines, i+1, local...)
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		return nil, err
	}
	return kustomization.Build(dir)
}

func output(name string, args ...string) (string, error) {
	cmd := exec.CommandContext(context.Background(), name, args...)
	cmd.Stderr = os.Stderr
	b, err := cmd.Output()
	return strings.TrimSpace(string(b)), err
}

// copyAll copies the YAML files of a directory.
func copyAll(to, from string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	paths, err := filepath.Glob(filepath.Join(from, "*.yaml"))
	if err != nil {
		return err
	}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(p)), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// write makes the same bytes of the same files.
func write(path string, files map[string][]byte) error {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	w := tar.NewWriter(z)
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name])), Format: tar.FormatUSTAR}); err != nil {
			return err
		}
		if _, err := w.Write(files[name]); err != nil {
			return err
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/barrage-im/barrage/fleet/render"
	"github.com/barrage-im/barrage/fleet/spec"
)

// The processes themselves take the configurations that a fleet renders.
func TestRenderedConfigurationsAreTaken(t *testing.T) {
	text, err := os.ReadFile("fleet/spec/testdata/fleet.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// What a pod adds by its arguments.
	processes := map[string][]string{
		"core.yaml":      {"core", "--node=core-eu-1-0", "--advertise=core-eu-1-0.core.barrage.svc.x:7000"},
		"edge.yaml":      {"edge-node", "--name=edge-x"},
		"predictor.yaml": {"predictor"},
	}
	for what, change := range map[string][2]string{
		"as it is":    {"", ""},
		"without TLS": {"  per_pod: 20000\n", "  per_pod: 20000\n  tls: false\n"},
		"with KEDA":   {"regions:", "predictor: {mode: publish, autoscaler: keda, prometheus: \"http://prometheus:9090\"}\nregions:"},
	} {
		f, err := spec.Parse("fleet.yaml", []byte(strings.Replace(string(text), change[0], change[1], 1)))
		if err != nil {
			t.Fatal(what, err)
		}
		files, err := render.Render(f, nil)
		if err != nil {
			t.Fatal(what, err)
		}
		taken := 0
		for name, b := range files {
			if !strings.HasSuffix(name, "objects.yaml") {
				continue
			}
			for _, part := range strings.Split(string(b), "\n---\n") {
				var o struct {
					Kind string            `json:"kind"`
					Data map[string]string `json:"data"`
				}
				if err := yaml.Unmarshal([]byte(part), &o); err != nil {
					t.Fatal(name, err)
				}
				for file, content := range o.Data {
					args := processes[file]
					if o.Kind != "ConfigMap" || args == nil {
						continue
					}
					at := filepath.Join(t.TempDir(), file)
					if err := os.WriteFile(at, []byte(content), 0o600); err != nil {
						t.Fatal(err)
					}
					var stderr bytes.Buffer
					check := append([]string{"config", "check", "--for", args[0], "-f", at, "--", "--ops-listen=10.0.0.1:8090"}, args[1:]...)
					if code := run(t.Context(), check, io.Discard, &stderr); code != 0 {
						t.Errorf("%s: %s: exit code %d: %s\n%s", what, file, code, &stderr, content)
					}
					taken++
				}
			}
		}
		if taken != 9 {
			t.Errorf("%s: %d configurations, want 3 in 3 clusters", what, taken)
		}
	}
}

package flux

import (
	"os/exec"
	"strings"
	"testing"
)

func TestComponentsAreWhole(t *testing.T) {
	for images, controllers := range map[bool]int{false: 3, true: 5} {
		b, err := Components(Options{Registry: "registry.example.com/flux", Pull: "pull", Images: images})
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		if n := strings.Count(text, "image: registry.example.com/flux/"); n != controllers {
			t.Errorf("%d images of our registry, want %d", n, controllers)
		}
		for _, want := range []string{"kind: CustomResourceDefinition", "name: gitrepositories.source.toolkit.fluxcd.io", "name: kustomizations.kustomize.toolkit.fluxcd.io", "name: pull", "kind: NetworkPolicy", "kind: ClusterRoleBinding"} {
			if !strings.Contains(text, want) {
				t.Errorf("without %s", want)
			}
		}
		if strings.Contains(text, "ghcr.io") {
			t.Error("an image of another registry")
		}
	}
}

func TestTheVersionIsThatOfTheModule(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Version}}", "github.com/fluxcd/flux2/v2").Output()
	if err != nil || strings.TrimSpace(string(out)) != Version {
		t.Errorf("go.mod has %s, the bundle is of %s: %v", out, Version, err)
	}
}

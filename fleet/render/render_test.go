package render

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	kyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/barrage-im/barrage/fleet/spec"
)

var update = flag.Bool("update", false, "write the golden files anew")

// fleet is a description with changes.
func fleet(t *testing.T, change ...string) *spec.Fleet {
	t.Helper()
	b, err := os.ReadFile("../spec/testdata/fleet.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for i := 0; i+1 < len(change); i += 2 {
		if !strings.Contains(text, change[i]) {
			t.Fatalf("%q is not there", change[i])
		}
		text = strings.Replace(text, change[i], change[i+1], 1)
	}
	f, err := spec.Parse("fleet.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func render(t *testing.T, f *spec.Fleet) Files {
	t.Helper()
	files, err := Render(f, []byte("# components\n"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// The whole repository of a fleet of three regions, as it was looked at.
func TestGolden(t *testing.T) {
	files := render(t, fleet(t))
	const dir = "testdata/golden"
	if *update {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		for name, b := range files {
			if !strings.HasPrefix(name, "clusters/eu") {
				continue
			}
			if err := errors.Join(os.MkdirAll(path.Join(dir, path.Dir(name)), 0o755), os.WriteFile(path.Join(dir, name), b, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
	}
	seen := 0
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		seen++
		want, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		if !bytes.Equal(want, files[rel]) {
			t.Errorf("%s is another; look at it with: go test ./fleet/render -update && git diff", rel)
		}
		return nil
	})
	if err != nil || seen == 0 {
		t.Fatal(seen, err)
	}
	for name := range files {
		if _, err := os.Stat(path.Join(dir, name)); err != nil && strings.HasPrefix(name, "clusters/eu") {
			t.Errorf("%s is new", name)
		}
	}
}

func TestTheSameTwice(t *testing.T) {
	a, b := render(t, fleet(t)), render(t, fleet(t))
	for name := range a {
		if !bytes.Equal(a[name], b[name]) {
			t.Errorf("%s differs", name)
		}
	}
}

// A change of one region's figures changes that region's folder alone, and a new
// version changes every region's.
func TestWhatAChangeTouches(t *testing.T) {
	before := render(t, fleet(t))
	changed := func(after Files) (regions []string) {
		for name := range after {
			region := strings.Split(name, "/")[1]
			if !bytes.Equal(before[name], after[name]) && !slices.Contains(regions, region) {
				regions = append(regions, region)
			}
		}
		slices.Sort(regions)
		return regions
	}
	if got := changed(render(t, fleet(t, "max: 60", "max: 61"))); !slices.Equal(got, []string{"eu"}) {
		t.Errorf("edges of eu: %v change", got)
	}
	if got := changed(render(t, fleet(t, "sha256:0f5a", "sha256:1f5a"))); len(got) != 3 {
		t.Errorf("a new version: %v change", got)
	}
}

// objects are all of a fleet, by file.
func objects(t *testing.T, files Files, each func(name string, kind string, raw []byte)) {
	t.Helper()
	for name, b := range files {
		if strings.HasSuffix(name, "gotk-components.yaml") {
			continue
		}
		r := kyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(b)))
		for {
			raw, err := r.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			var o struct{ Kind string }
			if err := yaml.Unmarshal(raw, &o); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			each(name, o.Kind, raw)
		}
	}
}

// Kubernetes' own types take every object without a field that they do not know.
func TestObjectsAreOfKubernetes(t *testing.T) {
	types := map[string]func() any{
		"Namespace": func() any { return new(corev1.Namespace) }, "Service": func() any { return new(corev1.Service) },
		"ServiceAccount": func() any { return new(corev1.ServiceAccount) }, "ConfigMap": func() any { return new(corev1.ConfigMap) },
		"StatefulSet": func() any { return new(appsv1.StatefulSet) }, "Deployment": func() any { return new(appsv1.Deployment) },
		"NetworkPolicy": func() any { return new(networkingv1.NetworkPolicy) }, "PodDisruptionBudget": func() any { return new(policyv1.PodDisruptionBudget) },
		"HorizontalPodAutoscaler": func() any { return new(autoscalingv2.HorizontalPodAutoscaler) },
		"Role":                    func() any { return new(rbacv1.Role) }, "RoleBinding": func() any { return new(rbacv1.RoleBinding) },
		"ClusterRole": func() any { return new(rbacv1.ClusterRole) }, "ClusterRoleBinding": func() any { return new(rbacv1.ClusterRoleBinding) },
	}
	seen := map[string]int{}
	objects(t, render(t, fleet(t)), func(name, kind string, raw []byte) {
		if make := types[kind]; make != nil {
			seen[kind]++
			if err := yaml.UnmarshalStrict(raw, make()); err != nil {
				t.Errorf("%s: %s: %v\n%s", name, kind, err, raw)
			}
		}
	})
	for kind := range types {
		if seen[kind] == 0 {
			t.Errorf("no %s is rendered", kind)
		}
	}
}

// Every pod is one that a namespace of the restricted kind takes, ends no sooner
// than it has drained, and is of the version's digest.
func TestPods(t *testing.T) {
	f := fleet(t)
	pods := 0
	objects(t, render(t, f), func(name, kind string, raw []byte) {
		var spec corev1.PodSpec
		switch kind {
		case "Deployment":
			var d appsv1.Deployment
			if err := yaml.Unmarshal(raw, &d); err != nil {
				t.Fatal(err)
			}
			spec = d.Spec.Template.Spec
			if u := d.Spec.Strategy.RollingUpdate; u == nil || u.MaxUnavailable.IntValue() != 0 {
				t.Errorf("%s: %s is not rolled without a loss", name, d.Name)
			}
		case "StatefulSet":
			var s appsv1.StatefulSet
			if err := yaml.Unmarshal(raw, &s); err != nil {
				t.Fatal(err)
			}
			spec = s.Spec.Template.Spec
		default:
			return
		}
		pods++
		for _, c := range spec.Containers {
			s := c.SecurityContext
			if !*spec.SecurityContext.RunAsNonRoot || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || spec.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
				t.Errorf("%s: %s is not restricted", name, c.Name)
			}
			if c.Image != f.Version.Image+"@"+f.Version.Digest {
				t.Errorf("%s: image %s", name, c.Image)
			}
			if c.Name == "edge" && *spec.TerminationGracePeriodSeconds < c.Lifecycle.PreStop.Sleep.Seconds+int64(f.Edge.Drain.Seconds())+15 {
				t.Errorf("%s: killed after %d s, drains for %s", name, *spec.TerminationGracePeriodSeconds, f.Edge.Drain)
			}
			if c.Name != "predictor" && *spec.AutomountServiceAccountToken {
				t.Errorf("%s: %s has a token that it does not need", name, c.Name)
			}
		}
	})
	if pods != 9 {
		t.Errorf("%d kinds of pods, want 3 in 3 clusters", pods)
	}
}

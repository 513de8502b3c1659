package observe

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

// api answers as an API server does, by path; what is not there is 404. A real
// one is looked at in the lab's tests.
func api(t *testing.T, answers map[string]string, code int) *Cluster {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		body, is := answers[r.URL.Path]
		switch {
		case code != 0:
			w.WriteHeader(code)
			body = `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no","code":` + map[int]string{401: `401,"reason":"Unauthorized"`, 403: `403,"reason":"Forbidden"`}[code] + `}`
		case !is:
			w.WriteHeader(http.StatusNotFound)
			body = `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"not found","reason":"NotFound","code":404}`
		}
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	c, err := New(&rest.Config{Host: s.URL}, "barrage")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const (
	flux = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations"
	repo = "/apis/source.toolkit.fluxcd.io/v1/namespaces/flux-system/gitrepositories/flux-system"
)

func answers() map[string]string {
	kustomization := func(name, ready, reason, message string, observed int) string {
		return `{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":"` + name + `","generation":2},"spec":{"suspend":` + map[bool]string{true: "true", false: "false"}[name == "barrage-base"] + `},
			"status":{"lastAppliedRevision":"main@sha1:a","lastAttemptedRevision":"main@sha1:b","observedGeneration":` + string(rune('0'+observed)) + `,"conditions":[{"type":"Healthy","status":"True"},{"type":"Ready","status":"` + ready + `","reason":"` + reason + `","message":"` + message + `"}]}}`
	}
	return map[string]string{
		repo: `{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"GitRepository","metadata":{"name":"flux-system"},"status":{"artifact":{"revision":"main@sha1:b"},"conditions":[{"type":"Ready","status":"True"}]}}`,
		flux: `{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"KustomizationList","items":[` +
			kustomization("flux-system", "True", "ReconciliationSucceeded", "", 2) + "," +
			kustomization("barrage-predictor", "False", "DependencyNotReady", "waits", 2) + "," +
			kustomization("barrage-edge", "False", "HealthCheckFailed", "timeout\\n  waiting", 2) + "," +
			kustomization("barrage-core", "True", "ReconciliationSucceeded", "", 1) + "," +
			kustomization("barrage-base", "Unknown", "Progressing", "", 2) + `]}`,
		"/apis/apps/v1/namespaces/barrage/deployments":  `{"apiVersion":"apps/v1","kind":"DeploymentList","items":[{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"edge"},"spec":{"replicas":3,"template":{"spec":{"containers":[{"image":"r/b@sha256:1"}]}}},"status":{"readyReplicas":2}}]}`,
		"/apis/apps/v1/namespaces/barrage/statefulsets": `{"apiVersion":"apps/v1","kind":"StatefulSetList","items":[]}`,
		"/api/v1/namespaces/flux-system/events": `{"apiVersion":"v1","kind":"EventList","items":[
			{"apiVersion":"v1","kind":"Event","metadata":{"name":"1"},"type":"Warning","lastTimestamp":"2026-01-02T03:04:06Z","message":"failed","involvedObject":{"name":"barrage-edge"}},
			{"apiVersion":"v1","kind":"Event","metadata":{"name":"2"},"type":"Normal","lastTimestamp":"2026-01-02T03:04:05Z","message":"fine","involvedObject":{"name":"barrage-core"}}]}`,
	}
}

func TestAClusterIsRead(t *testing.T) {
	s := api(t, answers(), 0).Look(t.Context())
	if !s.Known || s.Fetched != "main@sha1:b" || s.Source != "" || len(s.Parts) != 4 {
		t.Fatalf("%+v", s)
	}
	base, core, edge, predictor := s.Parts[0], s.Parts[1], s.Parts[2], s.Parts[3]
	if !base.Suspended || base.Ready || base.Failed {
		t.Errorf("progressing and suspended: %+v", base)
	}
	if !core.Ready || core.Observed != 1 || core.Generation != 2 || core.Applied != "main@sha1:a" || core.Attempted != "main@sha1:b" {
		t.Errorf("ready, of an older generation: %+v", core)
	}
	if !edge.Failed || edge.Message != "timeout waiting" {
		t.Errorf("failed: %+v", edge)
	}
	if predictor.Failed || predictor.Ready {
		t.Errorf("waits for another part: %+v", predictor)
	}
	if p := s.Replicas["edge"]; p != (Pods{3, 2, "r/b@sha256:1"}) {
		t.Errorf("%+v", p)
	}
	if s.Event != "2026-01-02T03:04:06Z warning: barrage-edge: failed" {
		t.Error(s.Event)
	}
}

// What cannot be read in whole is not known, and says why.
func TestAClusterThatCannotBeRead(t *testing.T) {
	part := answers()
	delete(part, "/apis/apps/v1/namespaces/barrage/statefulsets")
	down, err := New(&rest.Config{Host: "http://127.0.0.1:1"}, "barrage")
	if err != nil {
		t.Fatal(err)
	}
	for says, c := range map[string]*Cluster{
		"expired":            api(t, answers(), 401),
		"we may not look":    api(t, answers(), 403),
		"Flux is not set up": api(t, nil, 0),
		"not found":          api(t, part, 0),
		"does not answer":    down,
	} {
		if s := c.Look(t.Context()); s.Known || !strings.Contains(s.Why, says) || len(s.Parts) > 0 {
			t.Errorf("%s: %+v", says, s)
		}
	}
	if _, err := Open("/none/kubeconfig", "eu-1", "barrage"); err == nil || !strings.Contains(err.Error(), "eu-1") {
		t.Error(err)
	}
}

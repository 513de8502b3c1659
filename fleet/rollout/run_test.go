package rollout

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A world is clusters that do what the repository says, as Flux would make them;
// broken says which of them do not take a version.
type world struct {
	t      *testing.T
	repo   *Repo // a clone of its own
	broken map[string]bool
	cut    map[string]bool
}

func (w *world) look(ctx context.Context, _ []Moved) map[string]Observation {
	ctx = context.WithoutCancel(ctx)
	if err := w.repo.Fetch(ctx); err != nil {
		w.t.Error(err)
	}
	head, err := w.repo.Head(ctx)
	if err != nil {
		w.t.Error(err)
	}
	seen := map[string]Observation{}
	for _, c := range []string{"eu-1", "us-1", "ap-1"} {
		p := Part{Name: "barrage-edge", Applied: "main@sha1:" + head, Attempted: "main@sha1:" + head, Ready: true}
		b, _ := os.ReadFile(filepath.Join(w.repo.Dir(), folder(c), "a.yaml"))
		if w.broken[c] && strings.Contains(string(b), "v2") {
			p.Ready, p.Failed, p.Applied, p.Message = false, true, "main@sha1:before", "0 of 3 pods are ready"
		}
		seen[c] = Observation{Known: true, Parts: []Part{p}, Gate: Gate{Known: true}}
		if w.cut[c] {
			seen[c] = Observation{Why: "no route to host"}
		}
	}
	return seen
}

func folder(cluster string) string { return "clusters/" + cluster[:2] + "/" + cluster }

func job(t *testing.T, url, version string, w *world) *Job {
	t.Helper()
	w.t, w.repo = t, clone(t, url, "")
	j := &Job{
		Repo: clone(t, url, ""), Timeout: time.Minute, Folders: folder, Version: "files-" + version, Title: version, Look: w.look,
		Waves: []Wave{{Clusters: []string{"eu-1"}, Soak: 20 * time.Millisecond}, {Clusters: []string{"us-1"}}, {Clusters: []string{"ap-1"}}},
		Files: map[string][]byte{}, Every: time.Millisecond, Now: time.Now,
		Say: t.Logf,
	}
	for _, c := range []string{"eu-1", "us-1", "ap-1"} {
		j.Files[folder(c)+"/a.yaml"] = []byte(version + "\n")
	}
	return j
}

// until is a context that ends when the job has said something.
func until(t *testing.T, j *Job, what string) context.Context {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	j.Say = func(format string, args ...any) {
		t.Logf(format, args...)
		if strings.Contains(fmt.Sprintf(format, args...), what) {
			stop()
		}
	}
	return ctx
}

// subjects of the commits, oldest first.
func subjects(t *testing.T, url string) []string {
	t.Helper()
	return strings.Split(sh(t, url, "log", "--reverse", "--format=%s", "main"), "\n")
}

func content(t *testing.T, url, cluster string) string {
	t.Helper()
	out, err := git(t.Context(), url, "show", "main:"+folder(cluster)+"/a.yaml")
	if err != nil {
		return ""
	}
	return out
}

func TestAVersionGoesThroughTheWaves(t *testing.T) {
	url := remote(t)
	if err := job(t, url, "v2", &world{}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := subjects(t, url)[1:]
	for i, want := range []string{"v2 for wave 1 of 3 (eu-1)", "v2 for wave 2 of 3 (us-1)", "v2 for wave 3 of 3 (ap-1)"} {
		if i >= len(got) || !strings.Contains(got[i], want) {
			t.Fatalf("%q, want %s", got, want)
		}
	}
	if len(got) != 3 || content(t, url, "ap-1") != "v2" {
		t.Errorf("%q, ap-1 has %s", got, content(t, url, "ap-1"))
	}
	// The same again has nothing to do.
	if err := job(t, url, "v2", &world{}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(subjects(t, url)); n != 4 {
		t.Errorf("%d commits", n)
	}
}

// The canary region does not take it: it is brought back, with the evidence, and
// the other regions never saw it.
func TestABadVersionIsBroughtBack(t *testing.T) {
	url := remote(t)
	err := job(t, url, "v2", &world{broken: map[string]bool{"eu-1": true}}).Run(t.Context())
	if !errors.Is(err, ErrReverted) || !strings.Contains(err.Error(), "eu-1: barrage-edge failed at main@sha1:") {
		t.Fatal(err)
	}
	if got := subjects(t, url); len(got) != 3 || !strings.Contains(got[2], "v2 is brought back from eu-1") {
		t.Errorf("%q", got)
	}
	if text := sh(t, url, "log", "-1", "--format=%B", "main"); !strings.Contains(text, "0 of 3 pods are ready") {
		t.Error(text)
	}
	for _, c := range []string{"eu-1", "us-1"} {
		if content(t, url, c) != "v1" {
			t.Errorf("%s has %s", c, content(t, url, c))
		}
	}
	if got := sh(t, url, "log", "--format=%s", "main", "--", "clusters/us"); got != "first" {
		t.Errorf("us saw %q", got)
	}
	// The same description is not tried again; another one is.
	if err := job(t, url, "v2", &world{}).Run(t.Context()); !errors.Is(err, ErrReverted) {
		t.Errorf("the same again: %v", err)
	}
	if err := job(t, url, "v3", &world{}).Run(t.Context()); err != nil || content(t, url, "ap-1") != "v3" {
		t.Errorf("%v, ap-1 has %s", err, content(t, url, "ap-1"))
	}
}

// Stopped between any two steps and begun by somebody else, it ends the same; a
// second rollout meanwhile is refused; an unreachable region is waited for.
func TestItGoesOnWhereItWasLeft(t *testing.T) {
	url := remote(t)
	w := &world{cut: map[string]bool{"us-1": true}}
	j := job(t, url, "v2", w)
	if err := j.Run(until(t, j, "us-1 is unknown")); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "the same command goes on") {
		t.Fatal(err)
	}
	if got := subjects(t, url); len(got) != 2 {
		t.Fatalf("an unreachable region was moved: %q", got)
	}
	if err := job(t, url, "v3", &world{}).Run(t.Context()); !errors.Is(err, ErrUnderWay) {
		t.Errorf("a second rollout: %v", err)
	}
	if err := job(t, url, "v2", &world{}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := subjects(t, url); len(got) != 4 || content(t, url, "ap-1") != "v2" {
		t.Errorf("%q, ap-1 has %s", got, content(t, url, "ap-1"))
	}
}

func TestPaused(t *testing.T) {
	url := remote(t)
	other := clone(t, url, "")
	put(t, other.Dir(), PausedFile, "a match is on\n")
	sh(t, other.Dir(), "add", ".")
	sh(t, other.Dir(), "commit", "--quiet", "-m", "pause")
	sh(t, other.Dir(), "push", "--quiet", "origin", "HEAD:main")
	j := job(t, url, "v2", &world{})
	if err := j.Run(until(t, j, "paused: a match is on")); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if n := len(subjects(t, url)); n != 2 {
		t.Errorf("%d commits", n)
	}
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/barrage-im/barrage/fleet/lab/build"
	"github.com/barrage-im/barrage/fleet/lab/image"
	"github.com/barrage-im/barrage/fleet/lab/netns"
	"github.com/barrage-im/barrage/fleet/lab/network"
	"github.com/barrage-im/barrage/fleet/lab/node"
	"github.com/barrage-im/barrage/fleet/lab/plan"
	"github.com/barrage-im/barrage/fleet/lab/registry"
	"github.com/barrage-im/barrage/fleet/lab/wan"
)

// The lab starts processes from its own binary, which here is the test's.
func TestMain(m *testing.M) {
	if handled, err := internal(context.Background(), os.Args[1:], os.Stderr); handled {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestLinkRulesAreReadAsPeopleWriteThem(t *testing.T) {
	got, err := parseRule(80*time.Millisecond, 5*time.Millisecond, "1%", "10mbit")
	want := wan.Rule{Delay: 80 * time.Millisecond, Jitter: 5 * time.Millisecond, Loss: 0.01, Rate: 1.25e6}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, c := range []struct{ loss, rate string }{{"x", ""}, {"101%", ""}, {"-0.1", ""}, {"", ""}, {"0", "10"}, {"0", "0mbit"}, {"0", "-1kbit"}} {
		if r, err := parseRule(0, 0, c.loss, c.rate); err == nil {
			t.Errorf("loss %q, rate %q: %+v", c.loss, c.rate, r)
		}
	}
}

func TestCommandLinesThatCannotBeUsed(t *testing.T) {
	for _, args := range [][]string{{}, {"fly"}, {"cut"}, {"link", "eu"}, {"kubectl", "eu"}, {"status", "--xml"}} {
		err := run(t.Context(), args, nil, &bytes.Buffer{}, &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), errUsage.Error()) {
			t.Errorf("lab %q: %v", args, err)
		}
	}
	empty := []string{"--state", t.TempDir(), "--source", "."}
	for _, args := range [][]string{{"status"}, {"cut", "eu"}, {"power-off", "eu"}, {"link", "eu", "us"}, {"kubectl", "eu", "version"}} {
		err := run(t.Context(), append(empty, args...), nil, &bytes.Buffer{}, &bytes.Buffer{})
		if err == nil || err.Error() != ErrDown.Error() {
			t.Errorf("lab %q without a lab: %v", args, err)
		}
	}
}

// The whole lab, as the commands run it. It needs root, and the machine to
// itself: BARRAGE_LAB=1.
func TestLab(t *testing.T) {
	if os.Getenv("BARRAGE_LAB") == "" || os.Geteuid() != 0 {
		t.Skip("needs root and BARRAGE_LAB=1")
	}
	h := newHarness(t)
	before := snapshot(t)
	h.step("up", func() { h.lab("up", "--regions", "eu,us,ap", "--nodes", "2") })
	t.Cleanup(func() { // what a failed test leaves; a good one has nothing left
		if err := h.run(context.Background(), &bytes.Buffer{}, "down"); err != nil {
			t.Errorf("down: %v", err)
		}
	})
	h.step("up again", func() { h.lab("up") })
	if err := h.run(t.Context(), &bytes.Buffer{}, "up", "--regions", "eu"); err == nil || !strings.Contains(err.Error(), "take it down first") {
		t.Errorf("up with other regions: %v", err)
	}

	pods := map[string]string{} // of each region: address of one
	h.step("three pods of a Deployment in each region", func() {
		for _, r := range h.regions() {
			h.kubectl(r, probes, "apply", "-f", "-")
		}
		for _, r := range h.regions() {
			h.kubectl(r, "", "rollout", "status", "deployment/probe", "--timeout=90s")
			pods[r] = h.kubectl(r, "", "get", "pods", "-l", "app=probe", "-o", "jsonpath={.items[0].status.podIP}")
		}
	})
	h.step("names and pods across regions", func() {
		for _, from := range h.regions() {
			for _, to := range h.regions() {
				h.ask(from, pods[from], "/fetch?url=http://"+pods[to]+":8080/", "probe-")
				if from != to {
					// A Service without a cluster address: its names are pods', which every region reaches.
					h.ask(from, pods[from], "/resolve?name=headless.default.svc."+to+".lab.", network10(pods[to]))
				}
			}
			h.ask(from, pods[from], "/resolve?name=probe.default.svc.cluster.local.", "10.")
			h.ask(from, pods[from], "/fetch?url=http://probe:8080/", "probe-") // a service, by its short name
		}
	})

	h.step("an image from the registry", func() {
		layout := t.TempDir()
		archive := filepath.Join(h.images(), "probe.tar")
		if out, err := exec.CommandContext(t.Context(), "tar", "-xf", archive, "-C", layout).CombinedOutput(); err != nil {
			t.Fatalf("unpack %s: %v: %s", archive, err, out)
		}
		digest := strings.TrimSpace(h.lab("push", layout, "lab/probe:v2"))
		again, err := image.Push(t.Context(), registry.Client(), layout, plan.Registry+"/lab/probe:v2")
		if err != nil || again != digest {
			t.Errorf("pushed again: %s, %v; want %s", again, err, digest)
		}
		h.kubectl("us", "", "set", "image", "deployment/probe", "probe="+plan.Registry+"/lab/probe@"+digest)
		h.kubectl("us", "", "patch", "deployment", "probe", "-p", `{"spec":{"template":{"spec":{"containers":[{"name":"probe","imagePullPolicy":"Always"}]}}}}`)
		h.kubectl("us", "", "rollout", "status", "deployment/probe", "--timeout=90s")
		pods["us"] = h.newest("us")
	})

	h.step("a commit pushed and cloned", func() {
		url := strings.TrimSpace(h.lab("repository", "fleet"))
		work := filepath.Join(t.TempDir(), "work")
		git := func(args ...string) string {
			return h.lab(append([]string{"exec", "wan", "git", "-c", "user.name=lab", "-c", "user.email=lab@example.com"}, args...)...)
		}
		git("clone", "--quiet", url, work)
		git("-C", work, "commit", "--quiet", "--allow-empty", "-m", "first")
		git("-C", work, "push", "--quiet", "origin", "HEAD:main")
		if got := git("ls-remote", url, "refs/heads/main"); !strings.HasPrefix(got, strings.TrimSpace(git("-C", work, "rev-parse", "HEAD"))) {
			t.Errorf("the server has %q", got)
		}
		h.ask("eu", pods["eu"], "/fetch?url="+url+"/info/refs?service=git-upload-pack", "refs/heads/main")
	})

	h.step("80 ms between eu and us", func() {
		address := pods["us"] + ":8080"
		direct := h.handshake("eu", address)
		h.lab("link", "eu", "us", "--delay", "80ms")
		slow := h.handshake("eu", address)
		t.Logf("handshake eu to us: %.1f ms, then %.1f ms; eu to ap: %.1f ms", ms(direct), ms(slow), ms(h.handshake("eu", pods["ap"]+":8080")))
		if slow < 160*time.Millisecond || slow > 260*time.Millisecond || direct > 60*time.Millisecond {
			t.Errorf("handshake took %s, with 80 ms each way %s", direct, slow)
		}
	})
	h.step("loss, and all healed", func() {
		h.lab("link", "eu", "us", "--loss", "100%", "--one-way")
		if err := h.dial("eu", pods["us"]+":8080", time.Second); err == nil {
			t.Error("a connection through total loss")
		}
		h.lab("heal")
		if took := h.handshake("eu", pods["us"]+":8080"); took > 60*time.Millisecond {
			t.Errorf("handshake took %s on a healed link", took)
		}
	})

	h.step("region us cut and restored", func() {
		h.lab("cut", "us")
		for _, from := range []string{"eu", "wan"} {
			if err := h.dial(from, pods["us"]+":8080", time.Second); err == nil {
				t.Errorf("%s reaches a region that is cut", from)
			}
		}
		h.ask("us", pods["us"], "/", "probe-")         // inside, life goes on
		h.handshake("eu", pods["ap"]+":8080")          // and between the others
		h.kubectl("us", "", "get", "--raw", "/readyz") // from its own console
		h.lab("restore", "us")
		for _, from := range []string{"eu", "wan"} {
			h.handshake(from, pods["us"]+":8080")
		}
	})

	h.step("node ap-2 without power, until its pods are elsewhere", func() {
		h.lab("power-off", "ap", "2")
		if err := h.dial("ap", "10.200.3.2:10250", time.Second); err == nil {
			t.Error("a node without power answers")
		}
		h.wait("ap-2 is found to be gone", func() bool {
			return strings.Contains(h.kubectl("ap", "", "get", "node", "ap-2"), "NotReady")
		})
		h.wait("three pods on ap-1", func() bool {
			out := h.kubectl("ap", "", "get", "pods", "-l", "app=probe", "-o", `jsonpath={range .items[*]}{.spec.nodeName}:{.metadata.deletionTimestamp}:{.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}`)
			return strings.Count(out, "ap-1::True") == 3
		})
	})
	h.step("power for ap-2", func() { h.lab("power-on", "ap", "ap-2") })

	h.step("region eu without power", func() {
		h.lab("power-off", "eu")
		if err := h.dial("us", "10.200.1.254:6443", time.Second); err == nil {
			t.Error("the API server of a region without power answers")
		}
	})
	h.step("power for eu, until its pods serve", func() {
		h.lab("power-on", "eu")
		h.wait("three pods", func() bool {
			return h.kubectl("eu", "", "get", "deployment", "probe", "-o", "jsonpath={.status.readyReplicas}") == "3"
		})
		h.ask("us", pods["us"], "/fetch?url=http://"+h.newest("eu")+":8080/", "probe-")
	})

	h.step("down", func() { h.lab("down") })
	h.step("down again", func() { h.lab("down") })
	if after := snapshot(t); !slices.Equal(before, after) {
		t.Errorf("left behind: %q\nmissing: %q", minus(after, before), minus(before, after))
	}
}

// probes are a Deployment and the Services before it.
var probes = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: probe}
spec:
  replicas: 3
  selector: {matchLabels: {app: probe}}
  template:
    metadata: {labels: {app: probe}}
    spec:
      terminationGracePeriodSeconds: 1
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: probe}}}
      containers:
      - name: probe
        image: ` + build.ProbeImage + `
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: probe}
spec: {selector: {app: probe}, ports: [{port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: headless}
spec: {clusterIP: None, selector: {app: probe}, ports: [{port: 8080}]}
`

type harness struct {
	t     *testing.T
	state string
}

func newHarness(t *testing.T) *harness { return &harness{t: t, state: t.TempDir()} }

func (h *harness) regions() []string { return []string{"eu", "us", "ap"} }

func (h *harness) step(name string, f func()) {
	h.t.Helper()
	began := time.Now()
	f()
	if h.t.Failed() {
		h.t.Fatalf("%s: failed after %.1f s", name, time.Since(began).Seconds())
	}
	h.t.Logf("%-55s %6.1f s", name, time.Since(began).Seconds())
}

func (h *harness) run(ctx context.Context, out *bytes.Buffer, args ...string) error {
	log := &bytes.Buffer{}
	err := run(ctx, append([]string{"--state", h.state, "--source", "."}, args...), nil, out, log)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, log)
	}
	return nil
}

func (h *harness) lab(args ...string) string {
	h.t.Helper()
	var out bytes.Buffer
	if err := h.run(h.t.Context(), &out, args...); err != nil {
		h.t.Fatalf("lab %q: %v", args, err)
	}
	return out.String()
}

func (h *harness) located() *Lab {
	h.t.Helper()
	lab, err := locate(h.state, ".")
	if err != nil {
		h.t.Fatal(err)
	}
	return lab
}

func (h *harness) images() string {
	h.t.Helper()
	out, err := h.located().built()
	if err != nil {
		h.t.Fatal(err)
	}
	return out.Images
}

func (h *harness) kubectl(region, stdin string, args ...string) string {
	h.t.Helper()
	plane, err := h.located().plane(region)
	if err != nil {
		h.t.Fatal(err)
	}
	out, err := plane.Kubectl(h.t.Context(), []byte(stdin), args...)
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// newest is the address of a ready pod, not one on its way out.
func (h *harness) newest(region string) (ip string) {
	h.t.Helper()
	h.wait("a ready pod", func() bool {
		out := h.kubectl(region, "", "get", "pods", "-l", "app=probe", "-o", `jsonpath={range .items[*]}{.metadata.deletionTimestamp}:{.status.conditions[?(@.type=="Ready")].status}:{.status.podIP}{"\n"}{end}`)
		for line := range strings.Lines(out) {
			if rest, ok := strings.CutPrefix(strings.TrimSpace(line), ":True:"); ok {
				ip = rest
			}
		}
		return ip != ""
	})
	return ip
}

// ask fetches a path from a pod, from its region's router, until the answer
// contains want.
func (h *harness) ask(region, pod, path, want string) {
	h.t.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
			err = netns.Do(namespace(region), func() error {
				conn, err = (&net.Dialer{FallbackDelay: -1}).DialContext(ctx, network, addr)
				return err
			})
			return conn, err
		},
	}}
	h.wait(fmt.Sprintf("%q from %s%s in %s", want, pod, path, region), func() bool {
		req, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, "http://"+pod+":8080"+path, nil)
		if err != nil {
			h.t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		return err == nil && resp.StatusCode == http.StatusOK && strings.Contains(string(answer), want)
	})
}

func (h *harness) wait(what string, done func() bool) {
	h.t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatalf("after a minute still not: %s", what)
		}
	}
}

func namespace(place string) string {
	if place == "wan" {
		return plan.World
	}
	return plan.Region{Name: place}.Namespace()
}

func (h *harness) dial(place, address string, patience time.Duration) error {
	return netns.Do(namespace(place), func() error {
		ctx, cancel := context.WithTimeout(h.t.Context(), patience)
		defer cancel()
		conn, err := (&net.Dialer{FallbackDelay: -1}).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// handshake is the shortest of ten round trips: the machine is a busy one.
func (h *harness) handshake(place, address string) time.Duration {
	h.t.Helper()
	best := time.Hour
	for range 10 {
		began := time.Now()
		if err := h.dial(place, address, 10*time.Second); err != nil {
			h.t.Errorf("from %s to %s: %v", place, address, err)
			return 0
		}
		best = min(best, time.Since(began))
	}
	return best
}

// network10 is the first half of an address in 10.0.0.0/8: one region's pods.
func network10(ip string) string { return ip[:len("10.101.")] }

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

// snapshot lists what a lab could leave on the machine.
func snapshot(t *testing.T) []string {
	t.Helper()
	all, err := network.Left()
	if err != nil {
		t.Fatal(err)
	}
	groups, err := node.LeftCgroups()
	if err != nil {
		t.Fatal(err)
	}
	all = append(all, groups...)
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		all = append(all, "mount "+strings.Fields(line)[1])
	}
	for key := range parameters {
		if b, err := os.ReadFile(parameter(key)); err == nil {
			all = append(all, key+" = "+strings.TrimSpace(string(b)))
		}
	}
	for _, d := range append(folders, lockFile, ownerFile) {
		if _, err := os.Stat(d); err == nil {
			all = append(all, d)
		}
	}
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range commands {
		b, err := os.ReadFile(c)
		name := strings.ReplaceAll(string(b), "\x00", " ")
		for _, ours := range []string{"/barrage-lab/", "containerd", "docker-registry", node.InitCommand, wanCommand, "git-serve"} {
			if err == nil && strings.Contains(name, ours) {
				all = append(all, "process "+name)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func minus(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

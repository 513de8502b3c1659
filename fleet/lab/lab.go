package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/barrage-im/barrage/fleet/lab/addons"
	"github.com/barrage-im/barrage/fleet/lab/build"
	"github.com/barrage-im/barrage/fleet/lab/control"
	"github.com/barrage-im/barrage/fleet/lab/daemon"
	"github.com/barrage-im/barrage/fleet/lab/gitserver"
	"github.com/barrage-im/barrage/fleet/lab/image"
	"github.com/barrage-im/barrage/fleet/lab/netns"
	"github.com/barrage-im/barrage/fleet/lab/network"
	"github.com/barrage-im/barrage/fleet/lab/node"
	"github.com/barrage-im/barrage/fleet/lab/plan"
	"github.com/barrage-im/barrage/fleet/lab/registry"
	"github.com/barrage-im/barrage/fleet/lab/wan"
)

// A Lab is what lies in a state directory, up or not:
//
//	lab.json      the plan: regions and nodes
//	host.json     the machine's parameters as they were before
//	built.json    which binaries the lab runs
//	links.json    what the links do
//	wan.*         the router between regions
//	registry, git
//	REGION/       control plane: certificates, database, logs
//	REGION/NODE/  a machine's disk and logs
type Lab struct {
	state  string
	source string // the lab's own sources
	self   string // the lab's own binary
	log    io.Writer
}

// ErrDown says that there is no lab in the state directory.
var ErrDown = errors.New("the lab is down; bring it up with: lab up")

// grace is what processes get to end by themselves on the way down.
const grace = 5 * time.Second

// Build makes the binaries and images.
func (l *Lab) Build(ctx context.Context) error {
	_, err := l.build(ctx)
	return err
}

func (l *Lab) build(ctx context.Context) (build.Output, error) {
	cache, err := build.Cache()
	if err != nil {
		return build.Output{}, err
	}
	return build.All(ctx, l.source, cache, l.log)
}

// Up starts what does not run. With no names it is the lab that is there, or
// three regions. A lab is not changed while it is up.
func (l *Lab) Up(ctx context.Context, names []string, nodes int) error {
	if err := preflight(); err != nil {
		return err
	}
	release, err := l.own()
	if err != nil {
		return err
	}
	defer release()
	lab, err := l.plan(names, nodes)
	if err != nil {
		return err
	}
	began := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(l.log, "%6.1f s  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	output, err := l.build(ctx)
	if err != nil {
		return err
	}
	if err := writeJSON(l.path("built.json"), output); err != nil {
		return err
	}
	if err := prepareHost(l.path("host.json")); err != nil {
		return err
	}
	if err := network.Up(lab); err != nil {
		return err
	}
	if err := l.services(ctx, lab); err != nil {
		return err
	}
	say("network, registry, Git server")
	err = each(lab.Regions, func(r plan.Region) error {
		if err := l.startRegion(ctx, lab, r, output); err != nil {
			return fmt.Errorf("region %s: %w", r.Name, err)
		}
		say("region %s: %d nodes and DNS are ready", r.Name, r.Nodes)
		return nil
	})
	if err != nil {
		return err
	}
	say("up")
	return nil
}

// services starts what is not a cluster's.
func (l *Lab) services(ctx context.Context, lab plan.Lab) error {
	if _, err := daemon.Ensure(daemon.Spec{
		Dir: l.state, Name: "wan", Netns: plan.World, Args: []string{l.self, wanCommand, l.state},
	}); err != nil {
		return err
	}
	for { // the links are what it was told before
		status, err := wan.Get(ctx, l.state)
		if err == nil {
			for _, r := range lab.Regions {
				if err := network.Uplink(r, !status.Table.Cut[r.Name]); err != nil {
					return err
				}
			}
			break
		}
		if ctx.Err() != nil || !daemon.Alive(l.state, "wan") {
			return fmt.Errorf("%w: %s", err, daemon.Tail(l.state, "wan"))
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := registry.Up(l.registry()); err != nil {
		return err
	}
	if err := gitserver.Up(l.self, l.git()); err != nil {
		return err
	}
	return registry.Wait(ctx, l.registry())
}

// startRegion starts control plane and nodes at once, and returns when both
// and DNS are ready.
func (l *Lab) startRegion(ctx context.Context, lab plan.Lab, r plan.Region, out build.Output) error {
	plane := l.planeOf(r, out)
	if err := plane.Up(ctx); err != nil {
		return err
	}
	if err := each(r.All(), func(n plan.Node) error { return l.machine(n, out).On() }); err != nil {
		return err
	}
	objects, err := addons.DNS(lab, r, build.DNSImage)
	if err != nil {
		return err
	}
	// The first seconds of an API server have no kube-system to put it in.
	if err := retry(ctx, func() error {
		_, err := plane.Kubectl(ctx, objects, "apply", "--server-side", "--force-conflicts", "-f", "-")
		return err
	}); err != nil {
		return err
	}
	return l.ready(ctx, plane, out)
}

// ready waits until every node of a region is, and its DNS.
func (l *Lab) ready(ctx context.Context, plane control.Plane, out build.Output) error {
	nodes := plane.Region.All()
	err := retry(ctx, func() error {
		have, err := readyNodes(ctx, plane)
		if err != nil {
			return err
		}
		var missing []string
		for _, n := range nodes {
			m := l.machine(n, out)
			if !m.Running() {
				return stop{fmt.Errorf("node %s did not start: %s", n.Name(), m.Log())}
			}
			if !have[n.Name()] {
				missing = append(missing, n.Name())
			}
		}
		if len(missing) > 0 {
			return fmt.Errorf("not ready: %s", strings.Join(missing, ", "))
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = plane.Kubectl(ctx, nil, "--namespace=kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s")
	return err
}

// readyNodes gives the names of the nodes whose condition Ready is true.
func readyNodes(ctx context.Context, plane control.Plane) (map[string]bool, error) {
	out, err := plane.Kubectl(ctx, nil, "get", "nodes", "--output",
		`jsonpath={range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}`)
	if err != nil {
		return nil, err
	}
	ready := map[string]bool{}
	for line := range strings.Lines(out) {
		name, state, _ := strings.Cut(strings.TrimSpace(line), " ")
		ready[name] = state == "True"
	}
	return ready, nil
}

// Down stops everything and removes it: also what an earlier crash left.
func (l *Lab) Down(ctx context.Context) error {
	if err := isRoot(); err != nil {
		return err
	}
	release, err := l.own()
	if err != nil {
		return err
	}
	defer release()
	lab, err := l.load()
	if err != nil && !errors.Is(err, ErrDown) {
		return err
	}
	out := build.Output{}
	err = each(lab.Regions, func(r plan.Region) error {
		var err error
		for _, n := range r.All() {
			err = errors.Join(err, l.machine(n, out).Off())
		}
		return errors.Join(err, l.planeOf(r, out).Down(grace))
	})
	err = errors.Join(err,
		gitserver.Down(l.git()), registry.Down(l.registry()), daemon.Stop(l.state, "wan", grace),
		sweep(ctx), network.Down(), node.RemoveLeft(), restoreHost(l.path("host.json")))
	if err != nil {
		return err // the state is kept, so that down can be tried again
	}
	if err := l.disown(); err != nil {
		return err
	}
	return os.RemoveAll(l.state)
}

// Cut parts a region from all others and the world, or joins it again. What
// runs in it runs on.
func (l *Lab) Cut(ctx context.Context, region string, cut bool) error {
	lab, err := l.load()
	if err != nil {
		return err
	}
	r, err := lab.Region(region)
	if err != nil {
		return err
	}
	err = l.change(ctx, func(t *wan.Table) {
		delete(t.Cut, region)
		if cut {
			t.Cut[region] = true
		}
	})
	return errors.Join(err, network.Uplink(r, !cut))
}

// Power cuts the power of a node, or of a region's nodes and control plane if
// node is empty; or gives it back and waits until all is ready. Disks survive.
func (l *Lab) Power(ctx context.Context, region, name string, on bool) error {
	lab, err := l.load()
	if err != nil {
		return err
	}
	r, err := lab.Region(region)
	if err != nil {
		return err
	}
	out, err := l.built()
	if err != nil {
		return err
	}
	plane, nodes := l.planeOf(r, out), r.All()
	if name != "" {
		n, err := r.Node(name)
		if err != nil {
			return err
		}
		nodes = []plan.Node{n}
	}
	if !on {
		// A region's processes are silenced together before any dies.
		if name == "" {
			err = each(nodes, network.Silence)
			err = errors.Join(err, plane.Down(0))
		}
		return errors.Join(err, each(nodes, func(n plan.Node) error { return l.machine(n, out).Off() }))
	}
	if name == "" {
		if err := plane.Up(ctx); err != nil {
			return err
		}
	}
	if err := each(nodes, func(n plan.Node) error { return l.machine(n, out).On() }); err != nil {
		return err
	}
	for _, n := range nodes {
		if err := l.fresh(ctx, plane, n); err != nil {
			return err
		}
	}
	return nil
}

// fresh waits until a node is ready by a report made from now on: what the
// API server says at first may be of before the power cut.
func (l *Lab) fresh(ctx context.Context, plane control.Plane, n plan.Node) error {
	since := time.Now().Truncate(time.Second)
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return retry(ctx, func() error {
		out, err := plane.Kubectl(ctx, nil, "get", "node", n.Name(), "--output",
			`jsonpath={.status.conditions[?(@.type=="Ready")].status} {.status.conditions[?(@.type=="Ready")].lastHeartbeatTime}`)
		if err != nil {
			return err
		}
		state, at, _ := strings.Cut(strings.TrimSpace(out), " ")
		heard, err := time.Parse(time.RFC3339, at)
		if err != nil {
			return err
		}
		if state != "True" || heard.Before(since) {
			return fmt.Errorf("node %s is not ready: Ready=%s, last heard of at %s", n.Name(), state, at)
		}
		return nil
	})
}

// Link says what a link does from now on, in both directions or in one.
func (l *Lab) Link(ctx context.Context, a, b string, rule wan.Rule, oneWay bool) error {
	return l.change(ctx, func(t *wan.Table) {
		t.Links[wan.Link(a, b)] = rule
		if !oneWay {
			t.Links[wan.Link(b, a)] = rule
		}
	})
}

// Heal makes every link as good as new and joins every region.
func (l *Lab) Heal(ctx context.Context) error {
	lab, err := l.load()
	if err != nil {
		return err
	}
	err = l.change(ctx, func(t *wan.Table) { clear(t.Links); clear(t.Cut) })
	return errors.Join(err, each(lab.Regions, func(r plan.Region) error { return network.Uplink(r, true) }))
}

func (l *Lab) change(ctx context.Context, edit func(*wan.Table)) error {
	if _, err := l.load(); err != nil {
		return err
	}
	status, err := wan.Get(ctx, l.state)
	if err != nil {
		return err
	}
	t := status.Table
	if t.Links == nil {
		t.Links = map[string]wan.Rule{}
	}
	if t.Cut == nil {
		t.Cut = map[string]bool{}
	}
	edit(&t)
	_, err = wan.Set(ctx, l.state, t)
	return err
}

// Push copies an image to the registry and gives its digest.
func (l *Lab) Push(ctx context.Context, layout, name string) (string, error) {
	if _, err := l.load(); err != nil {
		return "", err
	}
	return image.Push(ctx, registry.Client(), layout, plan.Registry+"/"+name)
}

// Exec runs a command in the network of a region, a node, or the world (wan).
func (l *Lab) Exec(ctx context.Context, place string, s streams, args ...string) error {
	lab, err := l.load()
	if err != nil {
		return err
	}
	namespace := ""
	if place == "wan" {
		namespace = plan.World
	}
	for _, r := range lab.Regions {
		if place == r.Name {
			namespace = r.Namespace()
		} else if n, err := r.Node(place); err == nil && place == n.Name() {
			namespace = n.Namespace()
		}
	}
	if namespace == "" {
		return fmt.Errorf("place %q: %w", place, plan.ErrUnknown)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.in, s.out, s.err
	if err := netns.Do(namespace, cmd.Start); err != nil {
		return err
	}
	return cmd.Wait()
}

// plan gives the lab that is there, or writes down a new one.
func (l *Lab) plan(names []string, nodes int) (plan.Lab, error) {
	have, err := l.load()
	if err != nil && !errors.Is(err, ErrDown) {
		return plan.Lab{}, err
	}
	if err == nil && len(names) == 0 {
		return have, nil
	}
	if len(names) == 0 {
		names = []string{"eu", "us", "ap"}
	}
	want, planErr := plan.New(names, nodes)
	if planErr != nil {
		return plan.Lab{}, fmt.Errorf("%w: %w", errUsage, planErr)
	}
	if err == nil && !want.Equal(have) {
		return plan.Lab{}, fmt.Errorf("the lab is up with other regions or nodes (%s): take it down first", summary(have))
	}
	if err == nil {
		return have, nil
	}
	return want, writeJSON(l.path("lab.json"), want)
}

func summary(lab plan.Lab) string {
	parts := make([]string, len(lab.Regions))
	for i, r := range lab.Regions {
		parts[i] = r.Name + ": " + strconv.Itoa(r.Nodes)
	}
	return strings.Join(parts, ", ")
}

func (l *Lab) load() (plan.Lab, error) {
	var lab plan.Lab
	err := readJSON(l.path("lab.json"), &lab)
	if errors.Is(err, fs.ErrNotExist) {
		return plan.Lab{}, ErrDown
	}
	return lab, err
}

func (l *Lab) built() (out build.Output, err error) { return out, readJSON(l.path("built.json"), &out) }

func (l *Lab) plane(region string) (control.Plane, error) {
	lab, err := l.load()
	if err != nil {
		return control.Plane{}, err
	}
	r, err := lab.Region(region)
	if err != nil {
		return control.Plane{}, err
	}
	out, err := l.built()
	return l.planeOf(r, out), err
}

func (l *Lab) planeOf(r plan.Region, out build.Output) control.Plane {
	return control.Plane{Region: r, Dir: l.path(r.Name), Kube: out.Kube}
}

func (l *Lab) machine(n plan.Node, out build.Output) node.Machine {
	return node.Machine{
		Node: n, Dir: filepath.Join(l.path(n.Region.Name), n.Name()), PKI: l.planeOf(n.Region, out).PKI(),
		Kube: out.Kube, Self: l.self, Images: out.Images, Pause: build.PauseImage,
	}
}

func (l *Lab) registry() string        { return l.path("registry") }
func (l *Lab) git() string             { return l.path("git") }
func (l *Lab) path(name string) string { return filepath.Join(l.state, name) }

// each runs f for all at once and joins what went wrong.
func each[T any](all []T, f func(T) error) error {
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, x := range all {
		wg.Go(func() { errs[i] = f(x) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// stop is an error that trying again does not mend.
type stop struct{ error }

// retry calls f until it succeeds, stops, or ctx is done.
func retry(ctx context.Context, f func() error) error {
	for {
		err := f()
		if err == nil {
			return nil
		}
		var final stop
		if errors.As(err, &final) {
			return final.error
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

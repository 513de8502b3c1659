package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/barrage-im/barrage/fleet/lab/gitserver"
	"github.com/barrage-im/barrage/fleet/lab/registry"
	"github.com/barrage-im/barrage/fleet/lab/wan"
)

// A Status is what a lab looks like at a moment.
type Status struct {
	Regions  []RegionStatus `json:"regions"`
	Links    wan.Status     `json:"links"`
	Registry bool           `json:"registry"`
	Git      bool           `json:"git"`
}

// A RegionStatus is one region's.
type RegionStatus struct {
	Name    string       `json:"name"`
	Server  string       `json:"server"`
	Cut     bool         `json:"cut"`
	Running []string     `json:"running"` // processes of the control plane
	Error   string       `json:"error,omitempty"`
	Nodes   []NodeStatus `json:"nodes"`
}

// A NodeStatus is one node's: whether it has power, and whether the API
// server counts on it.
type NodeStatus struct {
	Name  string `json:"name"`
	IP    string `json:"ip"`
	Power bool   `json:"power"`
	Ready bool   `json:"ready"`
}

// Status looks at everything. What does not answer is not ready.
func (l *Lab) Status(ctx context.Context) (Status, error) {
	lab, err := l.load()
	if err != nil {
		return Status{}, err
	}
	out, err := l.built()
	if err != nil {
		return Status{}, err
	}
	s := Status{Registry: registry.Running(l.registry()), Git: gitserver.Running(l.git())}
	links, err := wan.Get(ctx, l.state)
	if err == nil {
		s.Links = links
	}
	for _, r := range lab.Regions {
		plane := l.planeOf(r, out)
		region := RegionStatus{Name: r.Name, Server: r.Server(), Cut: links.Table.Cut[r.Name], Running: plane.Running()}
		patient, cancel := context.WithTimeout(ctx, 5*time.Second)
		ready, err := readyNodes(patient, plane)
		cancel()
		if err != nil {
			region.Error = err.Error()
		}
		for _, n := range r.All() {
			region.Nodes = append(region.Nodes, NodeStatus{Name: n.Name(), IP: n.IP(), Power: l.machine(n, out).Running(), Ready: ready[n.Name()]})
		}
		s.Regions = append(s.Regions, region)
	}
	return s, nil
}

func status(ctx context.Context, lab *Lab, args []string, s streams) error {
	flags := newFlags("status", s.err)
	asJSON := flags.Bool("json", false, "for programs")
	if err := flags.Parse(args); err != nil {
		return usageError(err)
	}
	got, err := lab.Status(ctx)
	if err != nil {
		return err
	}
	if *asJSON {
		e := json.NewEncoder(s.out)
		e.SetIndent("", "  ")
		return e.Encode(got)
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "REGION\tNODE\tADDRESS\tPOWER\tREADY")
	for _, r := range got.Regions {
		name := r.Name
		if r.Cut {
			name += " (cut)"
		}
		fmt.Fprintf(w, "%s\tcontrol plane\t%s\t%s\t%s\n", name, r.Server, word(len(r.Running) == 4, "on", fmt.Sprint("only ", r.Running)), word(r.Error == "", "yes", "no"))
		for _, n := range r.Nodes {
			fmt.Fprintf(w, "\t%s\t%s\t%s\t%s\n", n.Name, n.IP, word(n.Power, "on", "off"), word(n.Ready, "yes", "no"))
		}
	}
	fmt.Fprintf(w, "registry\t\t\t%s\t\ngit\t\t\t%s\t\n", word(got.Registry, "on", "off"), word(got.Git, "on", "off"))
	for _, name := range slices.Sorted(maps.Keys(got.Links.Table.Links)) {
		r := got.Links.Table.Links[name]
		fmt.Fprintf(w, "link %s\tdelay %s\tjitter %s\tloss %g %%\trate %g kbit\n", strings.ReplaceAll(name, ">", " to "), r.Delay, r.Jitter, r.Loss*100, r.Rate*8/1000)
	}
	return w.Flush()
}

func word(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}

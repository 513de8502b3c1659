package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/barrage-im/barrage/fleet/observe"
	"github.com/barrage-im/barrage/fleet/spec"
	"github.com/barrage-im/barrage/protocol/ops"
)

// A row is one cluster of a status.
type row struct {
	Region  string `json:"region"`
	Cluster string `json:"cluster"`
	Wave    int    `json:"wave"` // counts from 1
	Desired string `json:"desired"`
	observe.Status
}

func status(ctx context.Context, args []string, stdout io.Writer) error {
	o := struct {
		Kubeconfig string `yaml:"kubeconfig" help:"file with the contexts of the clusters; empty: the usual one"`
		Output     string `yaml:"output" short:"o" help:"table or json"`
	}{Output: "table"}
	rest, err := ops.Flags("fleet status FILE [--kubeconfig FILE] [-o table|json]", &o, args)
	if err != nil {
		return err
	}
	if o.Output != "table" && o.Output != "json" {
		return ops.Usagef("--output %s: use table or json", o.Output)
	}
	f, err := read(rest, "status")
	if err != nil {
		return err
	}
	rows := look(ctx, f, o.Kubeconfig)
	if o.Output == "json" {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		if err := e.Encode(rows); err != nil {
			return err
		}
	} else if err := table(stdout, f, rows); err != nil {
		return err
	}
	unknown := 0
	for _, r := range rows {
		if !r.Known {
			unknown++
		}
	}
	if unknown > 0 {
		return fmt.Errorf("%d of %d clusters are unknown", unknown, len(rows))
	}
	return nil
}

// look reads all clusters at once.
func look(ctx context.Context, f *spec.Fleet, kubeconfig string) []row {
	var rows []row
	for i, w := range f.Waves {
		for _, name := range w.Regions {
			for _, c := range f.Region(name).Clusters {
				rows = append(rows, row{Region: name, Cluster: c.Name, Wave: i + 1, Desired: f.Version.Image + "@" + f.Version.Digest})
			}
		}
	}
	var group sync.WaitGroup
	for i := range rows {
		r := &rows[i]
		_, c := f.Cluster(r.Cluster)
		group.Go(func() {
			cluster, err := observe.Open(kubeconfig, c.Context, f.Namespace)
			if err != nil {
				r.Why = err.Error()
				return
			}
			r.Status = cluster.Look(ctx)
		})
	}
	group.Wait()
	return rows
}

func table(stdout io.Writer, f *spec.Fleet, rows []row) error {
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	var notes []string
	if _, err := fmt.Fprintf(w, "WAVE\tREGION\tCLUSTER\tVERSION\tREVISION\tREADY\tCORE\tEDGES\tPROBLEM\n"); err != nil {
		return err
	}
	for _, r := range rows {
		if !r.Known {
			if _, err := fmt.Fprintf(w, "%d\t%s\t%s\t?\t?\tunknown\t?\t?\t%s\n", r.Wave, r.Region, r.Cluster, r.Why); err != nil {
				return err
			}
			continue
		}
		ready, problem, revision := 0, r.Source, ""
		for _, p := range r.Parts {
			if p.Ready && p.Observed == p.Generation {
				ready++
			} else if problem == "" {
				problem = p.Name + ": " + p.Message
			}
			if p.Suspended {
				problem = p.Name + " is suspended by hand"
			}
			switch {
			case revision == "":
				revision = short(p.Applied)
			case revision != short(p.Applied):
				revision = "several"
			}
		}
		core := r.Replicas["core-"+r.Cluster]
		if core.Wanted == 0 {
			core = r.Replicas["learner-"+r.Cluster]
		}
		edge := r.Replicas["edge"]
		version := "as described"
		for _, p := range r.Replicas {
			if p.Image != r.Desired {
				version = "another"
			}
		}
		if _, err := fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%d/%d\t%d/%d\t%d/%d\t%s\n", r.Wave, r.Region, r.Cluster, version, dash(revision), ready, len(r.Parts),
			core.Ready, core.Wanted, edge.Ready, edge.Wanted, dash(problem)); err != nil {
			return err
		}
		if r.Event != "" {
			notes = append(notes, r.Cluster+": "+r.Event)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(stdout, "\ndescribed: %s %s %s\n%s", f.Version.Image, f.Version.Tag, f.Version.Digest, lines(notes))
	return err
}

func lines(notes []string) string {
	if len(notes) == 0 {
		return ""
	}
	return "last event of " + strings.Join(notes, "\nlast event of ") + "\n"
}

// short is a revision for people.
func short(revision string) string {
	branch, commit, is := strings.Cut(revision, "@sha1:")
	if !is || len(commit) < 8 {
		return revision
	}
	return branch + "@" + commit[:8]
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

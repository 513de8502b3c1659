package cmd

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/barrage-im/barrage/protocol/cmd/operator"
	"github.com/barrage-im/barrage/protocol/ops"
	"github.com/barrage-im/barrage/protocol/rpc"
)

type statusOptions struct {
	operator.Options `yaml:",inline"`

	JSON bool `yaml:"json" help:"for scripts"`
}

// Validate refuses what cannot work.
func (o statusOptions) Validate() error { return checkTimeout(o.Options) }

// setView is a set as control has it; its JSON is for scripts.
type setView struct {
	Name   string      `json:"name"`
	Rooms  string      `json:"rooms"`
	Stages []stageView `json:"stages"`
}

type stageView struct {
	Version    uint64   `json:"version"`
	Mode       string   `json:"mode"`
	Regions    []string `json:"regions"` // none: all
	Bytes      uint32   `json:"bytes"`
	SHA256     string   `json:"sha256"`
	AcceptHits bool     `json:"accept_hits,omitempty"`
}

func viewSets(state *rpc.ControlState) []setView {
	views := []setView{}
	for _, f := range state.GetFilters() {
		v := setView{Name: f.GetName(), Rooms: f.GetRooms(), Stages: []stageView{}}
		for _, s := range f.GetStages() {
			v.Stages = append(v.Stages, stageView{
				s.GetVersion(), s.GetMode(), append([]string{}, s.GetRegions()...), s.GetSize(), hex.EncodeToString(s.GetDigest()), s.GetAcceptHits(),
			})
		}
		views = append(views, v)
	}
	return views
}

// status is "barrage filter status": what is to be in force, and what is.
func status(ctx context.Context, s streams, args []string) error {
	const usage = "filter status [flags]"
	o := statusOptions{Options: operator.Defaults()}
	rest, err := ops.Flags(usage, &o, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return ops.Usagef("usage: barrage %s", usage)
	}
	return remote(ctx, s.err, o.Options, func(ctx context.Context, core rpc.OperatorClient) error {
		state, err := ask(ctx, o.Options, core)
		if err != nil {
			return err
		}
		sets, edges := viewSets(state), viewEdges(state, "")
		if o.JSON {
			e := json.NewEncoder(s.out)
			e.SetIndent("", "  ")
			return e.Encode(map[string]any{"sets": sets, "edges": edges})
		}
		if len(sets) == 0 {
			if _, err := fmt.Fprintln(s.out, "no rules are in force; barrage filter push makes a set"); err != nil {
				return err
			}
		} else if err := writeSets(s.out, sets); err != nil {
			return err
		}
		if len(edges) == 0 {
			return nil
		}
		if _, err := fmt.Fprintln(s.out); err != nil {
			return err
		}
		return writeEdges(s.out, edges)
	})
}

func writeSets(w io.Writer, sets []setView) error {
	t := newTable(w, "SET", "ROOMS", "VERSION", "MODE", "REGIONS", "BYTES", "SHA-256")
	for _, f := range sets {
		for _, s := range f.Stages {
			regions := strings.Join(s.Regions, ",")
			if regions == "" {
				regions = "all"
			}
			t.row(f.Name, f.Rooms, number(s.Version), s.Mode, regions, number(uint64(s.Bytes)), s.SHA256[:min(12, len(s.SHA256))])
		}
	}
	return t.Flush()
}

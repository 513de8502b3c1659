package cmd

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/barrage-im/barrage/protocol/cmd/operator"
	"github.com/barrage-im/barrage/protocol/ops"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// remote calls f with a connection to a core node, and explains what goes wrong.
// Warnings go to log.
func remote(ctx context.Context, log io.Writer, o operator.Options, f func(context.Context, rpc.OperatorClient) error) error {
	conn, err := o.Dial(log)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	err = f(ctx, rpc.NewOperatorClient(conn))
	var usage *ops.UsageError
	if err == nil || errors.As(err, &usage) {
		return err
	}
	return rpc.Explain(err, o.Server)
}

// ask returns the cluster's state.
func ask(ctx context.Context, o operator.Options, core rpc.OperatorClient) (*rpc.ControlState, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	st, err := core.ClusterStatus(ctx, &rpc.StatusRequest{})
	return st.GetState(), err
}

func checkTimeout(o operator.Options) error {
	if o.Timeout <= 0 {
		return errors.New("timeout must be more than 0")
	}
	return nil
}

func setOf(state *rpc.ControlState, name string) *rpc.FilterSet {
	for _, f := range state.GetFilters() {
		if f.GetName() == name {
			return f
		}
	}
	return nil
}

// stageFor is the stage of a set that holds in a region, nil for none.
func stageFor(set *rpc.FilterSet, region string) *rpc.FilterStage {
	for _, s := range slices.Backward(set.GetStages()) {
		if len(s.GetRegions()) == 0 || slices.Contains(s.GetRegions(), region) {
			return s
		}
	}
	return nil
}

// What became of a set on an edge.
const (
	inForce = "in force"
	waiting = "waiting"
	refused = "refused"
	removed = "removed" // from control; the edge has not told yet
	absent  = "not for this region"
)

// edgeView is a set on an edge; its JSON is for scripts.
type edgeView struct {
	Edge     string `json:"edge"`
	Region   string `json:"region"`
	Draining bool   `json:"draining,omitempty"`
	Set      string `json:"set"`
	State    string `json:"state"`
	Version  uint64 `json:"version"` // in force; 0: none
	Wanted   uint64 `json:"wanted"`  // by control; 0: none
	Refused  uint64 `json:"refused,omitempty"`
	Mode     string `json:"mode,omitempty"`
	Engine   string `json:"engine,omitempty"`
	Words    uint32 `json:"words"`
	Problem  string `json:"problem,omitempty"`
}

// viewEdge puts what control wants beside what an edge says.
func viewEdge(e *rpc.Edge, name string, set *rpc.FilterSet) edgeView {
	v := edgeView{Edge: e.GetName(), Region: e.GetRegion(), Draining: e.GetDraining(), Set: name, State: waiting}
	for _, r := range e.GetFilters() {
		if r.GetName() == name {
			v.Version, v.Refused, v.Mode, v.Engine = r.GetVersion(), r.GetRefused(), r.GetMode(), r.GetEngine()
			v.Words, v.Problem = r.GetWords(), r.GetProblem()
		}
	}
	stage := stageFor(set, e.GetRegion())
	v.Wanted = stage.GetVersion()
	switch {
	case stage == nil && v.Version != 0:
		v.State = removed
	case stage == nil:
		v.State = absent
	case v.Version == v.Wanted && v.Mode == stage.GetMode():
		v.State = inForce
	case v.Refused == v.Wanted:
		v.State = refused
	}
	return v
}

// viewEdges are all sets on all edges, by edge and set. only, if not empty, is
// the one set to look at.
func viewEdges(state *rpc.ControlState, only string) []edgeView {
	views := []edgeView{} // an empty list is [] in JSON
	for _, e := range state.GetEdges() {
		names := map[string]bool{}
		for _, f := range state.GetFilters() {
			names[f.GetName()] = true
		}
		for _, r := range e.GetFilters() {
			names[r.GetName()] = true
		}
		for name := range names {
			if only == "" || name == only {
				views = append(views, viewEdge(e, name, setOf(state, name)))
			}
		}
	}
	slices.SortFunc(views, func(a, b edgeView) int {
		return cmp.Or(strings.Compare(a.Edge, b.Edge), strings.Compare(a.Region, b.Region), strings.Compare(a.Set, b.Set))
	})
	return views
}

func writeEdges(w io.Writer, views []edgeView) error {
	t := newTable(w, "EDGE", "REGION", "SET", "STATE", "VERSION", "MODE", "ENGINE", "WORDS", "PROBLEM")
	for _, v := range views {
		state := v.State
		if v.Wanted != v.Version && v.Wanted != 0 {
			state += " " + number(v.Wanted)
		}
		if v.Draining {
			state += ", draining"
		}
		t.row(v.Edge, v.Region, v.Set, state, number(v.Version), v.Mode, v.Engine, number(uint64(v.Words)), v.Problem)
	}
	return t.Flush()
}

package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol/cmd/operator"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// follow waits until the edges concerned have said what they made of a stage,
// and shows it. An error says that one of them does not have it in force. before
// is how it was before the push: what an edge refused then, it may take now.
func (o pushOptions) follow(ctx context.Context, core rpc.OperatorClient, put *rpc.PutFilter, before []edgeView, stdout io.Writer) error {
	open := func(v edgeView) bool {
		return v.State == waiting || v.State == refused && slices.ContainsFunc(before, func(b edgeView) bool {
			return b.Edge == v.Edge && b.Region == v.Region && b.Refused == v.Refused && b.Problem == v.Problem
		})
	}
	deadline := time.Now().Add(o.Wait)
	tick := time.NewTicker(pollPause)
	defer tick.Stop()
	for {
		state, err := ask(ctx, o.Options, core)
		if err != nil {
			return err
		}
		views, known := concerned(state, put)
		if known && !slices.ContainsFunc(views, open) || !time.Now().Before(deadline) {
			return o.conclude(stdout, put, views, known)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.New("interrupted; the rules are stored: see barrage filter status")
		}
	}
}

// concerned are the edges that a stage is for. known says that the node asked
// has heard of the stage at all, or of what took its place.
func concerned(state *rpc.ControlState, put *rpc.PutFilter) (views []edgeView, known bool) {
	set := setOf(state, put.GetName())
	for _, s := range set.GetStages() {
		known = known || s.GetVersion() > put.GetStage().GetVersion() || proto.Equal(s, put.GetStage())
	}
	for _, e := range state.GetEdges() {
		regions := put.GetStage().GetRegions()
		if e.GetDraining() || len(regions) > 0 && !slices.Contains(regions, e.GetRegion()) {
			continue
		}
		views = append(views, viewEdge(e, put.GetName(), set))
	}
	return views, known
}

func (o pushOptions) conclude(stdout io.Writer, put *rpc.PutFilter, views []edgeView, known bool) error {
	switch {
	case !known:
		return fmt.Errorf("core node %s has not heard of the rules after %s, though they are stored: is it cut off? See barrage filter status", o.Server, o.Wait)
	case len(views) == 0:
		_, err := fmt.Fprintln(stdout, "no edge is attached there; those that come will fetch it")
		return err
	}
	if err := writeEdges(stdout, views); err != nil {
		return err
	}
	var refusing, silent int
	why := ""
	for _, v := range views {
		switch v.State {
		case inForce:
		case refused:
			refusing++
			why = v.Problem
		default:
			silent++
		}
	}
	version := put.GetStage().GetVersion()
	switch {
	case refusing > 0:
		return fmt.Errorf("%d of %d edges refuse %s version %d: %s. What they had stays in force there",
			refusing, len(views), put.GetName(), version, operator.Printable(why))
	case silent > 0:
		return fmt.Errorf("%d of %d edges have not put %s version %d in force after %s: see barrage filter status, or --wait longer",
			silent, len(views), put.GetName(), version, o.Wait)
	}
	return nil
}

package screen

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol/rpc"
)

// Modes of a stage.
const (
	modeEnforce = "enforce"
	modeReport  = "report"
)

// A watched is a set of the cluster's state, and what this edge made of it.
type watched struct {
	name  string
	want  *rpc.FilterSet   // nil: known by its copy only, as core was not reached yet
	stage *rpc.FilterStage // of this region; nil: none
	force *set             // nil: none

	// Of want's stage.
	refused *rpc.FilterStage // what was refused, nil if nothing was
	problem string           // why it is not in force
	tries   int              // in vain
	retryAt time.Time
}

// stageFor picks the last stage that names the region or none.
func stageFor(stages []*rpc.FilterStage, region string) *rpc.FilterStage {
	for _, stage := range slices.Backward(stages) {
		if len(stage.GetRegions()) == 0 || slices.Contains(stage.GetRegions(), region) {
			return stage
		}
	}
	return nil
}

// missing says whether what is wanted is to be loaded.
func (w *watched) missing() bool {
	if w.stage == nil || w.force.holds(w.stage) {
		return false
	}
	// An operator who accepts the hits asks for another attempt.
	return w.refused == nil || !sameBundle(w.refused, w.stage) || w.refused.GetAcceptHits() != w.stage.GetAcceptHits()
}

func sameBundle(a, b *rpc.FilterStage) bool {
	return a.GetVersion() == b.GetVersion() && bytes.Equal(a.GetDigest(), b.GetDigest())
}

// follow takes a state over as far as nothing has to be loaded for it: sets
// that are gone end at once, patterns and modes change.
func (s *Screen) follow(state *rpc.ControlState) {
	wanted := make(map[string]bool, len(state.GetFilters()))
	changed := false
	for _, want := range state.GetFilters() {
		name := want.GetName()
		wanted[name] = true
		w := s.sets[name]
		if w == nil {
			w = &watched{name: name}
			s.sets[name] = w
		}
		changed = s.followSet(w, want) || changed
	}
	for name, w := range s.sets {
		if wanted[name] {
			continue
		}
		s.abandon(w)
		changed = changed || w.force != nil
		delete(s.sets, name)
		s.drop(w)
	}
	if changed {
		s.enforce()
	}
}

// followSet says whether what is in force changed.
func (s *Screen) followSet(w *watched, want *rpc.FilterSet) (changed bool) {
	stage := stageFor(want.GetStages(), s.region)
	if w.stage == nil || stage == nil || !sameBundle(w.stage, stage) {
		s.abandon(w)
		w.refused, w.problem, w.tries, w.retryAt = nil, "", 0, time.Time{}
	}
	w.want, w.stage = want, stage
	if stage == nil {
		changed = w.force != nil
		s.drop(w)
		return changed
	}
	if !w.force.holds(stage) {
		return false
	}
	w.refused, w.problem = nil, ""
	now := w.force.with(want.GetRooms(), stage)
	if now == w.force {
		return false
	}
	s.log.Info("rules changed", "set", w.name, "version", now.version(), "mode", now.mode(), "rooms", now.rooms)
	w.force = now
	s.keep(w.force, nil)
	return true
}

// abandon ends the load of a set that nobody wants any more.
func (s *Screen) abandon(w *watched) {
	if s.loading != nil && s.loading.name == w.name {
		s.loading.cancel()
	}
}

// drop ends what is in force of a set.
func (s *Screen) drop(w *watched) {
	if w.force != nil {
		s.log.Info("rules ended", "set", w.name, "version", w.force.version())
		w.force = nil
	}
	s.met.forget(w.name)
	if s.copies != nil {
		if err := s.copies.remove(w.name); err != nil {
			s.log.Error("a copy of rules is not removed", "set", w.name, "err", err)
		}
	}
}

// enforce publishes what is in force now.
func (s *Screen) enforce() {
	var list []*set
	bytes := 0
	for _, w := range s.sorted() {
		if w.force != nil {
			list = append(list, w.force)
			bytes += w.force.filter.MemBytes()
		}
	}
	s.met.memory.Set(float64(bytes))
	s.inForce.Store(newRules(list))
	s.met.reloads.Inc()
	s.met.sets.Set(float64(len(list)))
}

func (s *Screen) sorted() []*watched {
	list := make([]*watched, 0, len(s.sets))
	for _, w := range s.sets {
		list = append(list, w)
	}
	slices.SortFunc(list, func(a, b *watched) int { return strings.Compare(a.name, b.name) })
	return list
}

// report tells core what became of the sets, when that is news. While many are
// loaded it does so now and then.
func (s *Screen) report(now time.Time) {
	if s.loading != nil && now.Sub(s.toldAt) < reportPause {
		return
	}
	var reports []*rpc.FilterReport
	refused := 0
	for _, w := range s.sorted() {
		r := &rpc.FilterReport{Name: w.name, Problem: w.problem}
		if f := w.force; f != nil {
			r.Version, r.Mode, r.Engine, r.Words = f.version(), f.mode(), f.filter.Engine(), uint32(f.filter.Len())
		}
		if w.refused != nil {
			r.Refused = w.refused.GetVersion()
			refused++
		}
		reports = append(reports, r)
	}
	s.met.refusing.Set(float64(refused))
	if slices.EqualFunc(reports, s.told, func(a, b *rpc.FilterReport) bool { return proto.Equal(a, b) }) {
		return
	}
	s.told, s.toldAt = reports, now
	s.source.Report(reports)
}

// brief is an error as a report holds it.
func brief(err error) string {
	text := strings.ToValidUTF8(fmt.Sprint(err), "?")
	if len(text) > maxProblem {
		text = CutText(text, maxProblem-len("…")) + "…"
	}
	return text
}

// Package rollout moves a version through the waves of a fleet, and back when a
// region does not take it well.
//
// What is decided is pure: a plan, what the repository says has been moved, and
// what is seen of the clusters give the next action. Nothing is kept between two
// looks but since when a wave has been well, so that whoever goes on after a
// restart decides the same, and at worst soaks once more.
package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Plan is what one rollout does.
type Plan struct {
	ID      string // of the rollout, in its commits
	Waves   []Wave
	Timeout time.Duration // until a wave that was moved must be applied and ready
}

// A Wave is clusters that are moved by one commit.
type Wave struct {
	Clusters []string
	Soak     time.Duration // how long it must be well
}

// Moved is a wave that the repository has moved.
type Moved struct {
	Wave   int
	Commit string
	At     time.Time
	// Revisions are those at which a cluster's folder is as this wave made it: the
	// commit itself, and later ones that did not touch the folder.
	Revisions []string
}

// Observation is what is seen of a cluster. The zero Observation is of one that
// cannot be reached.
type Observation struct {
	Known bool
	Why   string // it is not known
	Parts []Part
	Gate  Gate
}

// Part is one of Flux's Kustomizations.
type Part struct {
	Name       string `json:"name"`
	Applied    string `json:"applied"`    // last revision that was applied
	Attempted  string `json:"attempted"`  // last revision that was tried
	Generation int64  `json:"generation"` // of what is wanted
	Observed   int64  `json:"observed"`   // generation that its status is of
	Ready      bool   `json:"ready"`
	Failed     bool   `json:"failed"` // it is not ready, and that is no step on the way
	Suspended  bool   `json:"suspended"`
	Message    string `json:"message"`
}

// Gate is what the service says of itself.
type Gate struct {
	Known  bool     // there is a measurement of the time since the move
	Broken []string // what is not within its bounds, with the figures
}

// Kind of an action.
type Kind int

// Kinds of actions.
const (
	Wait   Kind = iota // look again later
	Move               // commit the next wave
	Revert             // bring back what was moved, by one commit
	Done               // every wave has it and has been well
)

func (k Kind) String() string { return [...]string{"wait", "move", "revert", "done"}[k] }

// An Action is what to do next.
type Action struct {
	Kind     Kind
	Wave     int      // that is moved or waited for
	Reason   string   // for people
	Evidence []string // of a revert, line by line
	// WellSince is what the next look should be given: since when the wave that is
	// waited for has been well; zero if it is not.
	WellSince time.Time
}

// Decide says what comes next. moved are the waves that the repository has moved,
// in order; wellSince is of the action before, zero after a start.
func Decide(p Plan, moved []Moved, seen map[string]Observation, wellSince, now time.Time) Action {
	// Whoever was moved must not fail, in earlier waves too.
	var evidence []string
	for _, m := range moved {
		for _, c := range p.Waves[m.Wave].Clusters {
			evidence = append(evidence, failures(c, m, seen[c], p.Timeout, now)...)
		}
	}
	if len(evidence) > 0 {
		return Action{Kind: Revert, Wave: moved[len(moved)-1].Wave, Reason: evidence[0], Evidence: evidence}
	}
	for i, m := range moved {
		last := i == len(moved)-1
		for _, c := range p.Waves[m.Wave].Clusters {
			if why := unready(c, m, seen[c]); why != "" {
				return Action{Kind: Wait, Wave: m.Wave, Reason: why}
			}
		}
		if !last {
			continue
		}
		if wellSince.IsZero() || wellSince.Before(m.At) {
			wellSince = now
		}
		if left := p.Waves[m.Wave].Soak - now.Sub(wellSince); left > 0 {
			return Action{Kind: Wait, Wave: m.Wave, WellSince: wellSince, Reason: fmt.Sprintf("wave %d is well, %s of its soak are left", m.Wave+1, left.Round(time.Second))}
		}
	}
	next := 0
	if len(moved) > 0 {
		next = moved[len(moved)-1].Wave + 1
	}
	if next == len(p.Waves) {
		return Action{Kind: Done, Wave: next - 1, Reason: "every wave has it and is well"}
	}
	// A region that is not seen is not known to be well, before it is moved too.
	for _, c := range p.Waves[next].Clusters {
		o := seen[c]
		if !o.Known {
			return Action{Kind: Wait, Wave: next, WellSince: wellSince, Reason: fmt.Sprintf("%s is unknown: %s", c, o.Why)}
		}
		for _, part := range o.Parts {
			if part.Suspended {
				return Action{Kind: Wait, Wave: next, WellSince: wellSince, Reason: fmt.Sprintf("%s: %s is suspended by hand; flux resume kustomization %s", c, part.Name, part.Name)}
			}
		}
	}
	return Action{Kind: Move, Wave: next, Reason: "wave " + fmt.Sprint(next+1) + ": " + strings.Join(p.Waves[next].Clusters, ", ")}
}

// failures are reasons to bring a wave back.
func failures(cluster string, m Moved, o Observation, timeout time.Duration, now time.Time) (out []string) {
	if !o.Known {
		return nil // neither well nor failed
	}
	late := now.Sub(m.At) > timeout
	for _, p := range o.Parts {
		switch here := slices.Contains(m.Revisions, p.Attempted); {
		case p.Suspended:
		case here && p.Failed && p.Observed == p.Generation:
			out = append(out, fmt.Sprintf("%s: %s failed at %s: %s", cluster, p.Name, p.Attempted, p.Message))
		case late && !(slices.Contains(m.Revisions, p.Applied) && p.Ready):
			out = append(out, fmt.Sprintf("%s: %s is not ready %s after its move: has applied %s, tried %s: %s", cluster, p.Name, now.Sub(m.At).Round(time.Second), none(p.Applied), none(p.Attempted), p.Message))
		}
	}
	if o.Gate.Known && applied(m, o) {
		for _, b := range o.Gate.Broken {
			out = append(out, cluster+": "+b)
		}
	}
	return out
}

// applied says that every part has applied the wave's revision.
func applied(m Moved, o Observation) bool {
	for _, p := range o.Parts {
		if !slices.Contains(m.Revisions, p.Applied) {
			return false
		}
	}
	return len(o.Parts) > 0
}

// unready says why a wave is not well yet; empty if it is.
func unready(cluster string, m Moved, o Observation) string {
	if !o.Known {
		return fmt.Sprintf("%s is unknown: %s", cluster, o.Why)
	}
	if len(o.Parts) == 0 {
		return cluster + " has no part yet"
	}
	for _, p := range o.Parts {
		switch {
		case p.Suspended:
			return fmt.Sprintf("%s: %s is suspended by hand; flux resume kustomization %s", cluster, p.Name, p.Name)
		case p.Observed != p.Generation:
			return fmt.Sprintf("%s: the status of %s is of an older generation", cluster, p.Name)
		case !slices.Contains(m.Revisions, p.Applied):
			return fmt.Sprintf("%s: %s has applied %s, not %s", cluster, p.Name, none(p.Applied), m.Commit)
		case !p.Ready:
			return fmt.Sprintf("%s: %s is not ready: %s", cluster, p.Name, p.Message)
		}
	}
	if !o.Gate.Known {
		return cluster + ": no measurement since the move yet"
	}
	return ""
}

func none(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

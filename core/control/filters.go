package control

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// Limits of the rules in force. Every edge gets all of them with the state.
const (
	// MaxFilterSets bounds the sets of rules.
	MaxFilterSets = 1000
	// MaxStages bounds the stages of a set: one for all, and regions ahead of it.
	MaxStages = 16

	maxSetName = 64 // bytes
	maxRegions = 64 // of a stage
	// maxFilterBytes bounds all sets together, encoded: a quarter of what the
	// state may have as one message.
	maxFilterBytes = 1 << 20
)

// Modes of a stage.
const (
	ModeEnforce = "enforce"
	ModeReport  = "report"
)

func (c *Control) findFilter(name string) (int, bool) {
	return slices.BinarySearchFunc(c.filters, name, func(f *rpc.FilterSet, n string) int { return cmp.Compare(f.Name, n) })
}

// putFilter puts a stage in force.
func (c *Control) putFilter(actor string, in *rpc.PutFilter) *protocol.Error {
	if err := CheckFilter(in); err != nil {
		return err
	}
	if err := c.checkStage(in.Stage); err != nil {
		return err
	}
	i, ok := c.findFilter(in.Name)
	was := &rpc.FilterSet{Name: in.Name, Rooms: "*"}
	if ok {
		was = c.filters[i]
	}
	if err := checkVersion(was, in.Stage); err != nil {
		return err
	}
	next := &rpc.FilterSet{Name: in.Name, Rooms: cmp.Or(in.Rooms, was.Rooms), Stages: append(without(was.Stages, in.Stage), in.Stage)}
	size := proto.Size(next)
	for _, f := range c.filters {
		if f != was {
			size += proto.Size(f)
		}
	}
	switch {
	case !ok && len(c.filters) >= MaxFilterSets:
		return protocol.Errorf(protocol.Overloaded, "there are %d sets of rules, the most there may be: remove one", MaxFilterSets)
	case len(next.Stages) > MaxStages:
		return protocol.Errorf(protocol.Overloaded,
			"%s has %d stages, the most there may be: push for all regions, which ends them", in.Name, MaxStages)
	case size > maxFilterBytes:
		return protocol.Errorf(protocol.Overloaded, "all sets with their stages may have %d bytes: remove one, or name fewer regions", maxFilterBytes)
	case ok && proto.Equal(was, next):
		return nil
	case ok:
		c.filters[i] = next
	default:
		c.filters = slices.Insert(c.filters, i, next)
	}
	c.refer(next, 1)
	if ok {
		c.refer(was, -1)
		c.dropUnnamed(was)
	}
	c.putMessage(filterKey(next.Name), next)
	c.record(actor, "put_filter", describe(next, in.Stage))
	return nil
}

// CheckFilter says what is wrong with a command whatever the state is: so that a
// bundle need not be uploaded to find out.
func CheckFilter(in *rpc.PutFilter) *protocol.Error {
	s := in.GetStage()
	switch {
	case !validSetName(in.GetName()):
		return protocol.Errorf(protocol.BadArgument, `the name of a set has 1 to %d letters, digits and "-_.": %.80q has not`, maxSetName, in.GetName())
	case len(in.Rooms) > rpc.MaxPattern || !utf8.ValidString(in.Rooms):
		return protocol.Errorf(protocol.BadArgument, "the pattern of rooms must be valid UTF-8 of at most %d bytes; * covers every room", rpc.MaxPattern)
	case s == nil || s.Version == 0:
		return protocol.Errorf(protocol.BadArgument, "a stage needs a version, from 1")
	case s.Mode != ModeEnforce && s.Mode != ModeReport:
		return protocol.Errorf(protocol.BadArgument, "mode %.80q: use %s or %s", s.Mode, ModeEnforce, ModeReport)
	case len(s.Digest) != digestBytes:
		return protocol.Errorf(protocol.BadArgument, "a bundle's digest has %d bytes, SHA-256", digestBytes)
	case len(s.Regions) > maxRegions || tooLong(s.Regions...):
		return protocol.Errorf(protocol.BadArgument, "a stage may name %d regions of %d bytes; none stands for all", maxRegions, maxText)
	}
	return nil
}

func validSetName(name string) bool {
	for _, r := range []byte(name) {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && !strings.ContainsRune("-_.", rune(r)) {
			return false
		}
	}
	return name != "" && len(name) <= maxSetName
}

// checkStage says whether what a stage names is there: its bundle and its
// regions. An unknown region is taken for a typo.
func (c *Control) checkStage(s *rpc.FilterStage) *protocol.Error {
	i, ok := c.findBundle(s.Digest)
	switch {
	case !ok:
		return protocol.Errorf(protocol.NotFound, "bundle %x is not stored (any more): push it again", s.Digest[:4])
	case !c.bundles[i].complete():
		return protocol.Errorf(protocol.BadArgument, "bundle %x: only %d of %d bytes are here: push it again", s.Digest[:4], c.bundles[i].received, c.bundles[i].size)
	case c.bundles[i].size != s.Size:
		return protocol.Errorf(protocol.BadArgument, "bundle %x has %d bytes, not %d", s.Digest[:4], c.bundles[i].size, s.Size)
	}
	known := c.regions()
	for i, r := range s.Regions {
		switch {
		case !slices.Contains(known, r):
			return protocol.Errorf(protocol.NotFound, "no node and no edge is in region %.80q; there are: %s", r, strings.Join(known, " "))
		case slices.Contains(s.Regions[:i], r):
			return protocol.Errorf(protocol.BadArgument, "region %.80q is there twice", r)
		}
	}
	return nil
}

// regions are those of nodes and edges.
func (c *Control) regions() []string {
	var all []string
	for _, n := range c.nodes {
		if !n.Removed {
			all = append(all, n.Region)
		}
	}
	for _, e := range c.edges {
		all = append(all, e.Region)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// checkVersion keeps a region from going back to an older version, and a
// version from standing for two bundles.
func checkVersion(set *rpc.FilterSet, s *rpc.FilterStage) *protocol.Error {
	for _, t := range set.Stages {
		switch {
		case t.Version == s.Version && !bytes.Equal(t.Digest, s.Digest):
			return protocol.Errorf(protocol.EpochChanged, "version %d of %s is bundle %x: a version names one bundle, take the next", t.Version, set.Name, t.Digest[:4])
		case t.Version > s.Version && overlap(t.Regions, s.Regions):
			return protocol.Errorf(protocol.EpochChanged, "%s is at version %d there, not before %d: to go back, push the old lists as a new version",
				set.Name, t.Version, s.Version)
		}
	}
	return nil
}

// overlap says whether two stages can hold in the same place; none stands for all.
func overlap(a, b []string) bool {
	return len(a) == 0 || len(b) == 0 || slices.ContainsFunc(a, func(r string) bool { return slices.Contains(b, r) })
}

// without returns the stages that still hold somewhere beside s. Stages are
// shared with State and therefore copied where they change.
func without(stages []*rpc.FilterStage, s *rpc.FilterStage) []*rpc.FilterStage {
	var out []*rpc.FilterStage
	if len(s.Regions) == 0 {
		return out
	}
	for _, t := range stages {
		left := slices.DeleteFunc(slices.Clone(t.Regions), func(r string) bool { return slices.Contains(s.Regions, r) })
		switch {
		case len(left) == len(t.Regions): // all regions, or others
			out = append(out, t)
		case len(left) > 0:
			t = proto.Clone(t).(*rpc.FilterStage)
			t.Regions = left
			out = append(out, t)
		}
	}
	return out
}

func (c *Control) removeFilter(actor, name string) *protocol.Error {
	i, ok := c.findFilter(name)
	if !ok {
		return protocol.Errorf(protocol.NotFound, "there is no set %.80q", name)
	}
	was := c.filters[i]
	c.filters = slices.Delete(c.filters, i, i+1)
	c.batch.Delete(filterKey(name))
	c.refer(was, -1)
	c.dropUnnamed(was)
	c.record(actor, "remove_filter", fmt.Sprintf("%s, for rooms %s", name, was.Rooms))
	return nil
}

// describe is for the audit log.
func describe(f *rpc.FilterSet, s *rpc.FilterStage) string {
	where := "all regions"
	if len(s.Regions) > 0 {
		where = strings.Join(s.Regions, " ")
	}
	d := fmt.Sprintf("%s version %d (%x, %d bytes), %s in %s, for rooms %s", f.Name, s.Version, s.Digest[:4], s.Size, s.Mode, where, f.Rooms)
	if s.AcceptHits {
		d += ", a jump of the hit rate is meant"
	}
	return d
}

func filterKey(name string) []byte { return append([]byte{keyFilter}, name...) }

package control

import (
	"bytes"
	"fmt"

	"github.com/barrage-im/barrage/core/machine"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// SetMaxAudit makes the bound of the audit log reachable for tests.
func (c *Control) SetMaxAudit(n int) { c.maxAudit = n }

// SetChunk makes bundles of several chunks small enough for tests.
func (c *Control) SetChunk(n uint32) { c.chunk = n }

// Limits that only this package names.
const (
	MaxUploads    = maxUploads
	UploadTTL     = uploadTTL
	MaxReports    = maxReports
	MaxProblem    = maxProblem
	MaxEdgeReport = maxEdgeReport
	MaxAllReports = maxAllReports
)

// ReportsSize is what reports count for.
func ReportsSize(reports []*rpc.FilterReport) int { return reportsSize(reports) }

// CheckStore proves that r holds the chunks of the bundles, and no others.
func (c *Control) CheckStore(r machine.Reader) error {
	have := map[string]uint32{}
	err := r.Scan([]byte{keyChunk}, []byte{keyChunk + 1}, false, func(key, value []byte) bool {
		content, err := machine.OpenSeal(key, value)
		digest := string(key[1 : 1+digestBytes])
		if err != nil || !bytes.Equal(key, chunkKey([]byte(digest), have[digest])) {
			have["?"]++
		}
		have[digest] += uint32(len(content))
		return true
	})
	if err != nil {
		return err
	}
	for _, b := range c.bundles {
		if have[string(b.digest)] != b.received {
			return fmt.Errorf("bundle %x: %d bytes in the store, %d received", b.digest, have[string(b.digest)], b.received)
		}
		delete(have, string(b.digest))
	}
	if len(have) > 0 {
		return fmt.Errorf("chunks of %d unknown bundles", len(have))
	}
	return nil
}

// Check proves the invariants of the state.
func (c *Control) Check() error {
	for i, n := range c.nodes {
		if i > 0 && c.nodes[i-1].Id >= n.Id || n.Removed && n.Voter {
			return fmt.Errorf("node %v", n)
		}
	}
	for i, e := range c.edges {
		if i > 0 && c.edges[i-1].Incarnation >= e.Incarnation || e.until < c.nextLapse || e.until < c.time {
			return fmt.Errorf("edge %v until %d at %d", e.Edge, e.until, c.time)
		}
	}
	if err := c.checkFilters(); err != nil {
		return err
	}
	if len(c.audit) > c.maxAudit {
		return fmt.Errorf("%d audit records", len(c.audit))
	}
	for i, a := range c.audit {
		if i > 0 && c.audit[i-1].Index+1 != a.Index {
			return fmt.Errorf("audit record %d follows %d", a.Index, c.audit[i-1].Index)
		}
	}
	if len(c.state.Nodes) != len(c.nodes) || len(c.state.Edges) != len(c.edges) || len(c.state.Filters) != len(c.filters) || c.state.Version != c.version {
		return fmt.Errorf("the snapshot is not of this state")
	}
	return nil
}

func (c *Control) checkFilters() error {
	refs, uploads, reports := map[string]int{}, 0, 0
	for i, f := range c.filters {
		if i > 0 && c.filters[i-1].Name >= f.Name || len(f.Stages) == 0 || len(f.Stages) > MaxStages {
			return fmt.Errorf("set %v", f)
		}
		named := map[string]bool{}
		for j, s := range f.Stages {
			refs[string(s.Digest)]++
			if len(s.Regions) == 0 && j > 0 {
				return fmt.Errorf("a stage for all regions is not the first: %v", f)
			}
			for _, r := range s.Regions {
				if named[r] || s.Version < f.Stages[0].Version && len(f.Stages[0].Regions) == 0 {
					return fmt.Errorf("region %s in %v", r, f)
				}
				named[r] = true
			}
		}
	}
	for i, b := range c.bundles {
		switch {
		case i > 0 && bytes.Compare(c.bundles[i-1].digest, b.digest) >= 0, b.refs != refs[string(b.digest)], b.refs > 0 && !b.complete(),
			b.refs == 0 && (b.until() < c.time || b.until() < c.nextLapse):
			return fmt.Errorf("bundle %+v with %d references at %d", b, refs[string(b.digest)], c.time)
		case b.refs == 0:
			uploads++
		}
		delete(refs, string(b.digest))
	}
	for _, e := range c.edges {
		reports += reportsSize(e.Filters)
	}
	if len(refs) > 0 || uploads > maxUploads || reports != c.reportBytes || reports > maxAllReports {
		return fmt.Errorf("%d bundles are missing, %d uploads, %d bytes of reports, counted as %d", len(refs), uploads, reports, c.reportBytes)
	}
	return nil
}

package control

import "fmt"

// SetMaxAudit makes the bound of the audit log reachable for tests.
func (c *Control) SetMaxAudit(n int) { c.maxAudit = n }

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
	if len(c.audit) > c.maxAudit {
		return fmt.Errorf("%d audit records", len(c.audit))
	}
	for i, a := range c.audit {
		if i > 0 && c.audit[i-1].Index+1 != a.Index {
			return fmt.Errorf("audit record %d follows %d", a.Index, c.audit[i-1].Index)
		}
	}
	if len(c.state.Nodes) != len(c.nodes) || len(c.state.Edges) != len(c.edges) || c.state.Version != c.version {
		return fmt.Errorf("the snapshot is not of this state")
	}
	return nil
}

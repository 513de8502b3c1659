package control

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

func (c *Control) findNode(id string) (int, bool) {
	return slices.BinarySearchFunc(c.nodes, id, func(n *rpc.Node, id string) int { return cmp.Compare(n.Id, id) })
}

func (c *Control) putNode(actor string, n *rpc.Node) *protocol.Error {
	switch {
	case n.GetId() == "" || n.Address == "" || n.Region == "":
		return protocol.Errorf(protocol.BadArgument, "a node needs an id, an address and a region")
	case tooLong(n.Id, n.Address, n.Region, n.Version):
		return protocol.Errorf(protocol.BadArgument, "a node's fields must have at most %d bytes each", maxText)
	case n.Removed:
		return protocol.Errorf(protocol.BadArgument, "a node is removed by remove_node")
	}
	i, ok := c.findNode(n.Id)
	switch {
	case ok && c.nodes[i].Removed:
		return protocol.Errorf(protocol.Forbidden, "node %s was removed and its id is never used again: start it with an empty data directory", n.Id)
	case ok && proto.Equal(c.nodes[i], n):
		return nil
	case ok:
		c.nodes[i] = n
	case len(c.nodes) >= MaxNodes:
		return protocol.Errorf(protocol.Overloaded, "the cluster has had %d nodes, the most it remembers", MaxNodes)
	default:
		c.nodes = slices.Insert(c.nodes, i, n)
	}
	c.putMessage(append([]byte{keyNode}, n.Id...), n)
	role := "learner"
	if n.Voter {
		role = "voter"
	}
	c.record(actor, "put_node", fmt.Sprintf("%s at %s in %s, %s, version %s", n.Id, n.Address, n.Region, role, n.Version))
	return nil
}

func (c *Control) removeNode(actor, id string) *protocol.Error {
	i, ok := c.findNode(id)
	if !ok {
		return protocol.Errorf(protocol.NotFound, "there is no node %.80q", id)
	}
	if c.nodes[i].Removed {
		return nil
	}
	n := proto.Clone(c.nodes[i]).(*rpc.Node)
	n.Removed, n.Voter = true, false
	c.nodes[i] = n
	c.putMessage(append([]byte{keyNode}, n.Id...), n)
	c.record(actor, "remove_node", id)
	return nil
}

func (c *Control) findEdge(incarnation uint64) (int, bool) {
	return slices.BinarySearchFunc(c.edges, incarnation, func(e *edge, i uint64) int { return cmp.Compare(e.Incarnation, i) })
}

// putEdge attaches an edge, or renews its lease. What changes besides is told
// to everybody, but for the number of sessions: it changes all the time.
func (c *Control) putEdge(actor string, e *rpc.Edge) *protocol.Error {
	switch {
	case e.GetIncarnation() == 0 || e.Name == "" || e.Region == "":
		return protocol.Errorf(protocol.BadArgument, "an edge needs an incarnation, a name and a region")
	case tooLong(e.Name, e.Region) || tooLong(e.Endpoints...) || len(e.Endpoints) > maxEndpoints:
		return protocol.Errorf(protocol.BadArgument,
			"an edge's fields must have at most %d bytes each, and it may have %d endpoints", maxText, maxEndpoints)
	}
	i, ok := c.findEdge(e.Incarnation)
	if !ok {
		if len(c.edges) >= MaxEdges {
			return protocol.Errorf(protocol.Overloaded, "%d edges are attached, the most a cluster takes", MaxEdges)
		}
		c.edges = slices.Insert(c.edges, i, &edge{})
	}
	before := c.edges[i].Edge
	c.reportBytes -= reportsSize(before.GetFilters())
	e.Filters = boundReports(e.Filters, maxAllReports-c.reportBytes)
	c.reportBytes += reportsSize(e.Filters)
	c.edges[i].Edge = e
	c.edges[i].until = c.time + min(max(int64(e.TtlMs), minTTL), maxTTL)
	c.nextLapse = min(c.nextLapse, c.edges[i].until)
	c.storeEdge(c.edges[i])
	c.rebuild = true
	if before == nil || !sameEdge(before, e) {
		detail := fmt.Sprintf("%s (%x) in %s at %s", e.Name, e.Incarnation, e.Region, strings.Join(e.Endpoints, " "))
		if e.Draining {
			detail += ", draining"
		}
		c.record(actor, "put_edge", detail)
	}
	if !sameReports(before.GetFilters(), e.Filters) {
		c.changed = true // told, but not recorded: a push would fill the audit log
		c.recordRefusals(actor, before, e)
	}
	return nil
}

// sameEdge compares what everybody must know, but for the reports.
func sameEdge(a, b *rpc.Edge) bool {
	return a.Name == b.Name && a.Region == b.Region && slices.Equal(a.Endpoints, b.Endpoints) &&
		a.TtlMs == b.TtlMs && a.Draining == b.Draining
}

func (c *Control) removeEdge(actor string, incarnation uint64, action string) {
	i, ok := c.findEdge(incarnation)
	if !ok {
		return
	}
	e := c.edges[i]
	c.reportBytes -= reportsSize(e.Filters)
	c.edges = slices.Delete(c.edges, i, i+1)
	c.batch.Delete(edgeKey(incarnation))
	c.record(actor, action, fmt.Sprintf("%s (%x) in %s", e.Name, e.Incarnation, e.Region))
}

// lapse removes the edges whose lease is over, and the uploads that nobody has
// named in time.
func (c *Control) lapse() {
	if c.time <= c.nextLapse {
		return
	}
	c.nextLapse = never
	for _, e := range slices.Clone(c.edges) {
		if c.time > e.until {
			c.removeEdge("control", e.Incarnation, "edge_lapsed")
		} else {
			c.nextLapse = min(c.nextLapse, e.until)
		}
	}
	c.lapseUploads()
}

func tooLong(texts ...string) bool {
	return slices.ContainsFunc(texts, func(s string) bool { return len(s) > maxText })
}

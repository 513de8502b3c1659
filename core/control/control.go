// Package control is the pure state machine of the control shard: what is true
// of the whole cluster. Its nodes, where rooms live, their policies, the rules
// that texts are checked against, which edges are attached, and who changed what.
//
// No clock, no I/O, no goroutine, no lock: time comes with the entries, and the
// same entries give the same bytes everywhere.
package control

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/core/machine"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// Limits of the control state. At each, the command is refused (overloaded).
const (
	// MaxNodes bounds the nodes, removed ones included: their ids are never
	// used again.
	MaxNodes = 4096
	// MaxEdges bounds the edges that are attached.
	MaxEdges = 4096
	// MaxAudit bounds the audit records; the oldest go.
	MaxAudit = 10_000

	maxText      = 256 // bytes of an id, address, name, region, version, endpoint or actor
	maxEndpoints = 16  // of an edge
	maxShards    = 1024
	maxDetail    = 512 // bytes of an audit record's detail

	minTTL = 1_000   // ms; below, a garbage collection would end a lease
	maxTTL = 600_000 // ms; a dead edge is shown for as long

	maxTime = 1 << 50 // the year 37,000: no sum of times overflows
	never   = int64(1) << 62
)

// Effects is what one entry did.
type Effects struct {
	Results []*rpc.ControlResult // one for each command
	Changed bool                 // State's version grew
}

// Control is a machine.Machine. Apply and Load exclude everything else; the
// other methods may overlap each other.
type Control struct {
	// MaxAudit and MaxChunk, but in tests.
	maxAudit int
	chunk    uint32

	// Stored.
	time    int64 // never goes back
	version uint64
	init    *rpc.Init // nil before the first
	nodes   []*rpc.Node
	table   *rpc.Policies
	edges   []*edge
	filters []*rpc.FilterSet
	bundles []*bundle
	audit   []*rpc.AuditRecord // consecutive indexes

	// Derived.
	state       *rpc.ControlState
	nextLapse   int64 // no lease and no upload is over before
	reportBytes int   // of all edges' reports

	// Of the entry being applied.
	batch   machine.Batch
	changed bool // visibly
	rebuild bool
}

// edge is an attached edge; messages are replaced, never changed, because
// State shares them.
type edge struct {
	*rpc.Edge
	until int64 // the lease holds while time <= until
}

var _ machine.Machine = (*Control)(nil)

// New makes the state of a cluster that does not exist yet.
func New() *Control {
	c := &Control{maxAudit: MaxAudit, chunk: MaxChunk}
	c.reset()
	return c
}

func (c *Control) reset() {
	*c = Control{maxAudit: c.maxAudit, chunk: c.chunk, table: &rpc.Policies{}, nextLapse: never}
	c.build()
}

// AppendEntry frames commands as one log entry. timeMS is the leader's clock.
// An error says that a command cannot be encoded.
func AppendEntry(dst []byte, timeMS int64, commands ...*rpc.ControlCommand) ([]byte, error) {
	start := len(dst)
	out, err := proto.MarshalOptions{}.MarshalAppend(machine.AppendFrame(dst), &rpc.ControlEntry{TimeMs: timeMS, Commands: commands})
	if err != nil {
		return dst, fmt.Errorf("encode control entry: %w", err)
	}
	return machine.CloseFrame(out, start), nil
}

// Apply applies one entry and returns its *Effects. An error is
// machine.ErrNewer or machine.ErrCorrupt; then nothing was applied.
func (c *Control) Apply(index uint64, payload []byte, b machine.Batch) (any, error) {
	e, err := decodeEntry(payload)
	if err != nil {
		return nil, fmt.Errorf("control entry %d: %w", index, err)
	}
	c.batch, c.changed, c.rebuild = b, false, false
	c.time = max(c.time, min(e.TimeMs, maxTime))
	c.lapse()
	effects := &Effects{Results: make([]*rpc.ControlResult, 0, len(e.Commands))}
	for _, cmd := range e.Commands {
		res := &rpc.ControlResult{}
		if err := c.command(cmd); err != nil {
			res.Code, res.Message = uint32(err.Code), err.Message
		}
		res.Version = c.table.Version
		effects.Results = append(effects.Results, res)
	}
	if c.changed {
		c.version++
		c.rebuild = true
	}
	if c.rebuild {
		c.build()
	}
	effects.Changed = c.changed
	c.put([]byte{keyMeta}, binary.AppendUvarint(binary.AppendUvarint(nil, uint64(c.time)), c.version))
	c.batch = nil
	return effects, nil
}

func decodeEntry(payload []byte) (*rpc.ControlEntry, error) {
	content, err := machine.OpenFrame(payload)
	if err != nil {
		return nil, err
	}
	e := &rpc.ControlEntry{}
	if err := proto.Unmarshal(content, e); err != nil {
		return nil, errors.Join(machine.ErrCorrupt, err)
	}
	if len(e.ProtoReflect().GetUnknown()) > 0 {
		return nil, fmt.Errorf("entry field: %w", machine.ErrNewer)
	}
	for i, cmd := range e.Commands {
		if !Known(cmd) {
			return nil, fmt.Errorf("command %d: %w", i+1, machine.ErrNewer)
		}
	}
	return e, nil
}

// Known reports whether this version can apply a command. A core node refuses
// others before they get into the log, where every replica of this version
// would have to stop.
func Known(cmd *rpc.ControlCommand) bool { return len(cmd.ProtoReflect().GetUnknown()) == 0 }

func (c *Control) command(cmd *rpc.ControlCommand) *protocol.Error {
	if len(cmd.Actor) > maxText {
		return protocol.Errorf(protocol.BadCommand, "the actor's name must have at most %d bytes", maxText)
	}
	if _, ok := cmd.Op.(*rpc.ControlCommand_Init); !ok && c.init == nil && cmd.Op != nil {
		if _, tick := cmd.Op.(*rpc.ControlCommand_Tick); !tick {
			return protocol.Errorf(protocol.Unavailable, "the cluster is not initialised yet")
		}
	}
	switch op := cmd.Op.(type) {
	case *rpc.ControlCommand_Init:
		return c.initialise(cmd.Actor, op.Init)
	case *rpc.ControlCommand_PutNode:
		return c.putNode(cmd.Actor, op.PutNode.GetNode())
	case *rpc.ControlCommand_RemoveNode:
		return c.removeNode(cmd.Actor, op.RemoveNode.GetId())
	case *rpc.ControlCommand_PutPolicies:
		return c.putPolicies(cmd.Actor, op.PutPolicies)
	case *rpc.ControlCommand_PutEdge:
		return c.putEdge(cmd.Actor, op.PutEdge.GetEdge())
	case *rpc.ControlCommand_RemoveEdge:
		c.removeEdge(cmd.Actor, op.RemoveEdge.GetIncarnation(), "remove_edge")
		return nil
	case *rpc.ControlCommand_PutChunk:
		return c.putChunk(op.PutChunk)
	case *rpc.ControlCommand_PutFilter:
		return c.putFilter(cmd.Actor, op.PutFilter)
	case *rpc.ControlCommand_RemoveFilter:
		return c.removeFilter(cmd.Actor, op.RemoveFilter.GetName())
	case *rpc.ControlCommand_Tick:
		return nil // what is due, the entry has done
	default:
		return protocol.Errorf(protocol.BadCommand, "the command holds nothing")
	}
}

func (c *Control) initialise(actor string, in *rpc.Init) *protocol.Error {
	if c.init != nil {
		return protocol.Errorf(protocol.BadArgument, "the cluster is initialised already: its id is %s", c.init.Cluster)
	}
	if in.GetCluster() == "" || len(in.Cluster) > maxText {
		return protocol.Errorf(protocol.BadArgument, "the cluster's id must have 1 to %d bytes", maxText)
	}
	if len(in.Placements) == 0 {
		return protocol.Errorf(protocol.BadArgument, "a cluster needs a placement")
	}
	names, shards := make(map[string]bool), make(map[uint32]bool)
	for _, p := range in.Placements {
		switch {
		case p.Name == "" || len(p.Name) > maxText || names[p.Name]:
			return protocol.Errorf(protocol.BadArgument, "placement %.80q: the name must be unique and have 1 to %d bytes", p.Name, maxText)
		case p.Survive != "region" && p.Survive != "zone":
			return protocol.Errorf(protocol.BadArgument, "placement %.80q: survive is region or zone", p.Name)
		case len(p.Shards) == 0:
			return protocol.Errorf(protocol.BadArgument, "placement %.80q has no shards", p.Name)
		case len(p.Home) > maxText:
			return protocol.Errorf(protocol.BadArgument, "placement %.80q: home must have at most %d bytes", p.Name, maxText)
		}
		names[p.Name] = true
		for _, s := range p.Shards {
			if s == 0 || shards[s] || len(shards) == maxShards {
				return protocol.Errorf(protocol.BadArgument, "placement %.80q: shard %d is 0, used twice, or one of more than %d", p.Name, s, maxShards)
			}
			shards[s] = true
		}
	}
	c.init = in
	c.putMessage([]byte{keyInit}, in)
	c.record(actor, "init", fmt.Sprintf("cluster %s, %d placements, %d shards", in.Cluster, len(names), len(shards)))
	return nil
}

func (c *Control) putPolicies(actor string, in *rpc.PutPolicies) *protocol.Error {
	if in.GetExpect() != c.table.Version {
		return protocol.Errorf(protocol.EpochChanged,
			"the policies are at version %d, not %d: read them and change those", c.table.Version, in.GetExpect())
	}
	if err := rpc.CheckPolicies(in.Policies, c.init.Placements); err != nil {
		return protocol.Errorf(protocol.BadArgument, "%v", err)
	}
	c.table = &rpc.Policies{Version: c.table.Version + 1, Policies: in.Policies}
	c.putMessage([]byte{keyPolicies}, c.table)
	patterns := make([]string, 0, len(in.Policies))
	for _, p := range in.Policies {
		patterns = append(patterns, p.Pattern)
	}
	c.record(actor, "put_policies", fmt.Sprintf("version %d: %s", c.table.Version, strings.Join(patterns, " ")))
	return nil
}

// State is a snapshot of all that readers get: shared, never changed. Version
// grows with every change that anybody must know of; a renewed lease and an
// edge's number of sessions are none.
func (c *Control) State() *rpc.ControlState { return c.state }

func (c *Control) build() {
	c.state = &rpc.ControlState{
		Cluster: c.init.GetCluster(), Version: c.version, Placements: c.init.GetPlacements(),
		Nodes: slices.Clone(c.nodes), Policies: c.table, Filters: slices.Clone(c.filters),
	}
	for _, e := range c.edges {
		c.state.Edges = append(c.state.Edges, e.Edge)
	}
}

// Due is when the leader should propose a tick: at the next end of a lease or
// of an upload.
func (c *Control) Due() int64 {
	if c.nextLapse >= never {
		return 0
	}
	return c.nextLapse + 1
}

// Time is the log's clock, Unix milliseconds.
func (c *Control) Time() int64 { return c.time }

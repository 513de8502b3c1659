package control

import (
	"encoding/binary"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/core/machine"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// The key space; every value is sealed (machine.CloseSeal).
//
//	m              clock and version
//	i              rpc.Init
//	p              rpc.Policies
//	n id           rpc.Node
//	e incarnation  end of the lease (uvarint), rpc.Edge
//	a index        rpc.AuditRecord; big endian, so that they are in order
//	f name         rpc.FilterSet
//	b digest       of a bundle: size, received bytes, time of the last chunk (uvarints)
//	c digest offset a chunk of it; big endian, so that they are in order. Load
//	               does not read them
const (
	keyMeta     = 'm'
	keyInit     = 'i'
	keyPolicies = 'p'
	keyNode     = 'n'
	keyEdge     = 'e'
	keyAudit    = 'a'
	keyFilter   = 'f'
	keyBundle   = 'b'
	keyChunk    = 'c'
)

func edgeKey(incarnation uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{keyEdge}, incarnation)
}

func auditKey(index uint64) []byte { return binary.BigEndian.AppendUint64([]byte{keyAudit}, index) }

func (c *Control) put(key, content []byte) {
	c.batch.Set(key, machine.CloseSeal(key, append(machine.AppendSeal(nil), content...)))
}

// putMessage stores a message that was decoded from the log, so that it can be
// encoded; without maps the encoding is the same everywhere.
func (c *Control) putMessage(key []byte, m proto.Message) { c.put(key, encode(nil, m)) }

func encode(dst []byte, m proto.Message) []byte {
	out, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(dst, m)
	if err != nil {
		panic("control: a decoded message does not encode: " + err.Error())
	}
	return out
}

func (c *Control) storeEdge(e *edge) {
	c.put(edgeKey(e.Incarnation), encode(binary.AppendUvarint(nil, uint64(e.until)), e.Edge))
}

// record notes a visible change in the audit log and marks the state changed.
func (c *Control) record(actor, action, detail string) {
	c.changed = true
	next := uint64(1)
	if n := len(c.audit); n > 0 {
		next = c.audit[n-1].Index + 1
	}
	if len(detail) > maxDetail {
		detail = strings.ToValidUTF8(detail[:maxDetail], "") + "…"
	}
	r := &rpc.AuditRecord{Index: next, TimeMs: c.time, Actor: actor, Action: action, Detail: detail}
	c.audit = append(c.audit, r)
	c.putMessage(auditKey(next), r)
	for len(c.audit) > c.maxAudit {
		c.batch.Delete(auditKey(c.audit[0].Index))
		c.audit[0] = nil
		c.audit = c.audit[1:]
	}
}

// Audit returns at most limit (0: all) records behind index after, the oldest
// first. Records are shared and never changed.
func (c *Control) Audit(after uint64, limit int) []*rpc.AuditRecord {
	if len(c.audit) == 0 {
		return nil
	}
	first := c.audit[0].Index
	from := uint64(0)
	if after >= first {
		from = min(after-first+1, uint64(len(c.audit)))
	}
	out := c.audit[from:]
	if limit > 0 && len(out) > limit {
		out = out[:limit]
	}
	return append([]*rpc.AuditRecord(nil), out...)
}

// Load replaces the state by what r holds. An error is r's, or
// machine.ErrCorrupt.
func (c *Control) Load(r machine.Reader) error {
	c.reset()
	var bad error
	visit := func(key, value []byte) bool {
		var content []byte
		if content, bad = machine.OpenSeal(key, value); bad == nil && !c.load(key, content) {
			bad = fmt.Errorf("stored record %q: %w", key, machine.ErrCorrupt)
		}
		return bad == nil
	}
	err := r.Scan([]byte{0}, []byte{keyChunk}, false, visit)
	if err == nil && bad == nil {
		err = r.Scan([]byte{keyChunk + 1}, []byte{0xff}, false, visit)
	}
	if err == nil {
		err = bad
	}
	if err == nil {
		err = c.loaded()
	}
	if err != nil {
		return fmt.Errorf("load control: %w", err)
	}
	c.build()
	return nil
}

// loaded derives what is not stored.
func (c *Control) loaded() error {
	for _, e := range c.edges {
		c.nextLapse = min(c.nextLapse, e.until)
		c.reportBytes += reportsSize(e.Filters)
	}
	for _, f := range c.filters {
		for _, s := range f.Stages {
			if i, ok := c.findBundle(s.Digest); !ok || !c.bundles[i].complete() {
				return fmt.Errorf("set %s names bundle %x, which is not there: %w", f.Name, s.Digest, machine.ErrCorrupt)
			}
		}
		c.refer(f, 1)
	}
	for _, b := range c.bundles {
		if b.refs == 0 {
			c.nextLapse = min(c.nextLapse, b.until())
		}
	}
	return nil
}

// load takes up one record; they come in the order of their keys.
func (c *Control) load(key, content []byte) bool {
	switch key[0] {
	case keyMeta:
		at, n := binary.Uvarint(content)
		if n <= 0 {
			return false
		}
		c.time = int64(at)
		c.version, n = binary.Uvarint(content[n:])
		return n > 0
	case keyInit:
		c.init = &rpc.Init{}
		return proto.Unmarshal(content, c.init) == nil
	case keyPolicies:
		return proto.Unmarshal(content, c.table) == nil
	case keyNode:
		n := &rpc.Node{}
		c.nodes = append(c.nodes, n)
		return proto.Unmarshal(content, n) == nil && n.Id == string(key[1:])
	case keyEdge:
		until, n := binary.Uvarint(content)
		if n <= 0 {
			return false
		}
		e := &edge{Edge: &rpc.Edge{}, until: int64(until)}
		c.edges = append(c.edges, e)
		return proto.Unmarshal(content[n:], e.Edge) == nil && string(edgeKey(e.Incarnation)) == string(key)
	case keyFilter:
		f := &rpc.FilterSet{}
		c.filters = append(c.filters, f)
		return proto.Unmarshal(content, f) == nil && f.Name == string(key[1:])
	case keyBundle:
		return c.loadBundle(key, content)
	case keyAudit:
		a := &rpc.AuditRecord{}
		if proto.Unmarshal(content, a) != nil || string(auditKey(a.Index)) != string(key) {
			return false
		}
		if n := len(c.audit); n > 0 && c.audit[n-1].Index+1 != a.Index {
			return false
		}
		c.audit = append(c.audit, a)
		return true
	}
	return false
}

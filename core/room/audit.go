package room

import (
	"encoding/binary"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol/rpc"
)

const (
	// MaxAudit bounds the records of a shard's audit log; the oldest are deleted.
	MaxAudit = 10_000
	// maxDetail (bytes) bounds what a record says; names and a reason are shorter.
	maxDetail = 1 << 10
)

func auditKey(index uint64) []byte { return binary.BigEndian.AppendUint64([]byte{keyAudit}, index) }

// record notes a moderation that changed something in the audit log.
func (s *Shard) record(m *rpc.Moderate) {
	next := uint64(1)
	if n := s.audit.len(); n > 0 {
		next = (*s.audit.at(n - 1)).Index + 1
	}
	text := detail(m)
	if len(text) > maxDetail {
		text = strings.ToValidUTF8(text[:maxDetail], "") + "…"
	}
	r := &rpc.AuditRecord{Index: next, TimeMs: s.time, Actor: m.Actor, Action: m.Action, Detail: text, Shard: s.id}
	s.audit.push(r)
	content, err := proto.MarshalOptions{Deterministic: true}.Marshal(r)
	if err != nil {
		panic("room: an audit record does not encode: " + err.Error())
	}
	s.put(auditKey(next), content)
	if over := s.audit.len() - s.limits.audit; over > 0 {
		for i := range over {
			s.batch.Delete(auditKey((*s.audit.at(i)).Index))
		}
		s.audit.pop(over)
	}
}

// Audit returns at most limit (0: all) records behind index after, the oldest
// first. Records are shared and never changed.
func (s *Shard) Audit(after uint64, limit int) []*rpc.AuditRecord {
	n := s.audit.len()
	if n == 0 {
		return nil
	}
	from := 0
	if first := (*s.audit.at(0)).Index; after >= first {
		from = int(min(after-first+1, uint64(n)))
	}
	if limit <= 0 || limit > n-from {
		limit = n - from
	}
	return append([]*rpc.AuditRecord(nil), s.audit.items[s.audit.head+from:][:limit]...)
}

func (s *Shard) loadAudit(k, v []byte) bool {
	r := &rpc.AuditRecord{}
	if len(k) != 8 || proto.Unmarshal(v, r) != nil || r.Index != binary.BigEndian.Uint64(k) {
		return false
	}
	if n := s.audit.len(); n > 0 && (*s.audit.at(n - 1)).Index+1 != r.Index {
		return false
	}
	s.audit.push(r)
	return true
}

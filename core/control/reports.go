package control

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol/rpc"
)

// Limits of what edges say of their rules. At each, reports are cut or left
// out: an edge is never kept out because of what it reports.
const (
	maxReports    = 64      // of an edge
	maxReportText = 64      // bytes of a mode or engine
	maxProblem    = 512     // bytes of a problem
	maxEdgeReport = 8 << 10 // bytes of an edge's reports
	// maxAllReports bounds the reports of all edges together, in bytes: a quarter
	// of what the state may have as one message, 4,096 edges with two sets each.
	maxAllReports = 1 << 20
)

// BoundReports cuts what an edge reports to the limits of one edge, in place.
func BoundReports(reports []*rpc.FilterReport) []*rpc.FilterReport {
	return boundReports(reports, maxEdgeReport)
}

// boundReports does so where room is what is left of maxAllReports.
func boundReports(reports []*rpc.FilterReport, room int) []*rpc.FilterReport {
	room = min(room, maxEdgeReport)
	for i, r := range reports {
		if i == maxReports {
			return reports[:i]
		}
		r.Name, r.Mode, r.Engine = cut(r.Name, maxSetName), cut(r.Mode, maxReportText), cut(r.Engine, maxReportText)
		r.Problem = cut(r.Problem, maxProblem)
		if room -= reportSize(r); room < 0 {
			return reports[:i]
		}
	}
	return reports
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

// reportSize is what a report adds to an edge's message.
func reportSize(r *rpc.FilterReport) int { return proto.Size(r) + 3 }

func reportsSize(reports []*rpc.FilterReport) (n int) {
	for _, r := range reports {
		n += reportSize(r)
	}
	return n
}

func sameReports(a, b []*rpc.FilterReport) bool {
	return slices.EqualFunc(a, b, func(x, y *rpc.FilterReport) bool { return proto.Equal(x, y) })
}

// recordRefusals notes the versions that an edge has come to refuse.
func (c *Control) recordRefusals(actor string, before, e *rpc.Edge) {
	for _, r := range e.Filters {
		known := slices.ContainsFunc(before.GetFilters(), func(o *rpc.FilterReport) bool { return o.Name == r.Name && o.Refused == r.Refused })
		if r.Refused != 0 && !known {
			c.record(actor, "filter_refused", fmt.Sprintf("%s (%x) in %s refuses %s version %d: %s", e.Name, e.Incarnation, e.Region, r.Name, r.Refused, r.Problem))
		}
	}
}

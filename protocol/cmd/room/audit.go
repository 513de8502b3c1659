package room

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/ops"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// pageAudit is how many records are asked for at a time.
const pageAudit = 500

// auditView is a record of the audit log as this command shows it.
type auditView struct {
	Time   time.Time `json:"time"`
	Shard  uint32    `json:"shard"`
	Index  uint64    `json:"index"`
	Actor  string    `json:"actor"`
	Action string    `json:"action"`
	Detail string    `json:"detail,omitempty"`
}

// audit merges what control and the shards noted, by time; with --room it asks
// the room's shard alone.
func (c *client) audit(ctx context.Context, _ []string) error {
	if c.Room != "" {
		if _, err := protocol.CanonicalRoom(c.Room); err != nil {
			return &ops.UsageError{Err: err}
		}
	}
	status, err := c.rpc.ClusterStatus(ctx, &rpc.StatusRequest{})
	if err != nil {
		return err
	}
	shards := []uint32{0} // control
	for _, p := range status.GetState().GetPlacements() {
		shards = append(shards, p.GetShards()...)
	}
	if c.Room != "" {
		shard, ok := rpc.ShardOf(status.GetState(), c.Room)
		if !ok {
			return protocol.Errorf(protocol.Unavailable, "core node %s does not know yet which shard holds %s; try again", c.Server, c.Room)
		}
		shards = []uint32{shard}
	}
	views := []auditView{}
	for _, shard := range shards {
		if views, err = c.auditShard(ctx, shard, views); err != nil {
			return err
		}
	}
	slices.SortStableFunc(views, func(a, b auditView) int { return a.Time.Compare(b.Time) })
	left := len(views) - int(min(c.Limit, uint32(len(views))))
	if views = views[left:]; c.Output == "json" {
		return c.json(views)
	}
	return writeAudit(c.stdout, views, left)
}

// auditShard adds the records of one shard: its log is bounded, and so is this.
// Only its newest that may be shown are kept, and one that says there are more.
func (c *client) auditShard(ctx context.Context, shard uint32, views []auditView) ([]auditView, error) {
	var own []auditView
	for after := uint64(0); ; {
		page, err := c.rpc.Audit(ctx, &rpc.AuditRequest{After: after, Limit: pageAudit, Shard: shard})
		if err != nil {
			return nil, err
		}
		before := after
		for _, r := range page.GetRecords() {
			after = max(after, r.GetIndex())
			if c.Room == "" || ofRoom(r, c.Room) {
				own = append(own, auditView{
					Time: time.UnixMilli(r.GetTimeMs()).UTC(), Shard: shard, Index: r.GetIndex(), Actor: r.GetActor(), Action: r.GetAction(), Detail: r.GetDetail(),
				})
			}
		}
		if extra := len(own) - int(c.Limit) - 1; extra > 0 {
			own = slices.Delete(own, 0, extra)
		}
		if after == before {
			slices.SortFunc(own, func(a, b auditView) int { return cmp.Compare(a.Index, b.Index) })
			return append(views, own...), nil
		}
	}
}

// ofRoom says whether a record is about a room: its detail begins with the name,
// which has no comma in it.
func ofRoom(r *rpc.AuditRecord, room string) bool {
	rest, ok := strings.CutPrefix(r.GetDetail(), "room "+room)
	return ok && (rest == "" || rest[0] == ',')
}

func writeAudit(w io.Writer, views []auditView, left int) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "TIME\tWHERE\tACTOR\tACTION\tDETAIL") // Flush reports
	for _, v := range views {
		where := "control"
		if v.Shard != 0 {
			where = fmt.Sprint("shard ", v.Shard)
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", v.Time.Format(time.DateTime), where, printable(v.Actor), printable(v.Action), printable(v.Detail))
	}
	if err := t.Flush(); err != nil || left == 0 {
		return err
	}
	_, err := fmt.Fprintln(w, "there are more; show them with --limit")
	return err
}

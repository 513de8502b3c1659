package core_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/barrage-im/barrage/core/api"
	"github.com/barrage-im/barrage/core/control"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/pki"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// randomBundle makes n bytes that nothing shortens.
func randomBundle(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(b) // never fails
	return b
}

func stage(version uint64, mode string) *rpc.PutFilter {
	return &rpc.PutFilter{Name: "default", Stage: &rpc.FilterStage{Version: version, Mode: mode}}
}

// push pushes through a node, in pieces of 100 kB.
func (c *cluster) push(n *node, put *rpc.PutFilter, bundle []byte) *rpc.ControlResult {
	c.t.Helper()
	stream, err := c.operator(n).PushFilter(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	if put != nil {
		err = stream.Send(&rpc.PushFilterRequest{Frame: &rpc.PushFilterRequest_Put{Put: put}})
	}
	for at := 0; at < len(bundle) && err == nil; at += 100_000 {
		err = stream.Send(&rpc.PushFilterRequest{Frame: &rpc.PushFilterRequest_Data{Data: bundle[at:min(at+100_000, len(bundle))]}})
	}
	if err != nil && !errors.Is(err, io.EOF) { // refused before its end
		c.t.Fatal(err)
	}
	res, err := stream.CloseAndRecv()
	if err != nil {
		c.t.Fatal(err)
	}
	return res
}

// fetch reads a bundle as an edge does.
func (c *cluster) fetch(n *node, digest []byte) ([]byte, error) {
	ctx, cancel := context.WithCancel(c.t.Context())
	defer cancel()
	stream, err := rpc.NewCoreClient(c.dial(n, pki.Edge, "edge")).FetchFilter(ctx, &rpc.FetchFilterRequest{Digest: digest})
	if err != nil {
		return nil, err
	}
	var out []byte
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, m.GetData()...)
	}
}

// arrives waits until a node has a bundle.
func (c *cluster) arrives(n *node, bundle []byte) {
	c.t.Helper()
	digest := sha256.Sum256(bundle)
	eventually(c.t, "the bundle is on "+n.cfg.Node, func() bool {
		got, err := c.fetch(n, digest[:])
		if err != nil && status.Code(err) != codes.NotFound {
			c.t.Fatal(err)
		}
		return bytes.Equal(got, bundle)
	})
}

// chunks counts the stored chunks of a node.
func (n *node) chunks(t *testing.T) (count int) {
	t.Helper()
	reader, closer := n.Shard(api.ControlShard).Reader()
	defer func() { _ = closer.Close() }()
	if err := reader.Scan([]byte{'c'}, []byte{'d'}, false, func(_, _ []byte) bool { count++; return true }); err != nil {
		t.Fatal(err)
	}
	return count
}

func TestABundleIsPushedFetchedAndRemoved(t *testing.T) {
	c := startCluster(t, 3)
	bundle := randomBundle(3_000_000)
	follower := c.follows(api.ControlShard)
	if res := c.push(follower, stage(1, control.ModeReport), bundle); res.GetCode() != 0 {
		t.Fatalf("push: %v", res)
	}
	for _, n := range c.nodes {
		c.arrives(n, bundle)
	}
	sets := c.status(follower).GetFilters()
	if digest := sha256.Sum256(bundle); len(sets) != 1 || sets[0].GetRooms() != "*" || !bytes.Equal(sets[0].GetStages()[0].GetDigest(), digest[:]) ||
		sets[0].GetStages()[0].GetSize() != uint32(len(bundle)) {
		t.Fatalf("sets %v", sets)
	}

	// The same bundle with another mode is not stored again.
	leader := c.leads(api.ControlShard)
	before := leader.Shard(api.ControlShard).AppliedIndex()
	if res := c.push(follower, stage(1, control.ModeEnforce), bundle); res.GetCode() != 0 {
		t.Fatalf("enforce: %v", res)
	}
	if entries := leader.Shard(api.ControlShard).AppliedIndex() - before; entries > 6 {
		t.Errorf("a change of mode took %d entries", entries)
	}

	follower.kill(t)
	c.start(follower)
	c.ready(follower)
	c.arrives(follower, bundle)

	if res, err := c.operator(follower).DropFilter(t.Context(), &rpc.RemoveFilter{Name: "default"}); err != nil || res.GetCode() != 0 {
		t.Fatalf("drop: %v, %v", res, err)
	}
	for _, n := range c.nodes {
		eventually(t, "the chunks are gone", func() bool { return n.chunks(t) == 0 })
	}
	if res, err := c.operator(follower).DropFilter(t.Context(), &rpc.RemoveFilter{Name: "default"}); err != nil || protocol.Code(res.GetCode()) != protocol.NotFound {
		t.Errorf("drop again: %v, %v", res, err)
	}
	audit, err := c.operator(leader).Audit(t.Context(), &rpc.AuditRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, a := range audit.GetRecords() {
		if strings.HasSuffix(a.GetAction(), "_filter") && strings.HasSuffix(a.GetActor(), "/operator/op") {
			actions = append(actions, a.GetAction())
		}
	}
	if got := fmt.Sprint(actions); got != "[put_filter put_filter remove_filter]" {
		t.Errorf("audit log: %s", got)
	}
}

func (c *cluster) status(n *node) *rpc.ControlState {
	c.t.Helper()
	st, err := c.operator(n).ClusterStatus(c.t.Context(), &rpc.StatusRequest{})
	if err != nil {
		c.t.Fatal(err)
	}
	return st.GetState()
}

func TestANewNodeGetsBundlesWithTheSnapshot(t *testing.T) {
	c := startCluster(t, 1)
	n := c.nodes[0]
	bundle := randomBundle(1_000_000)
	if res := c.push(n, stage(1, control.ModeReport), bundle); res.GetCode() != 0 {
		t.Fatalf("push: %v", res)
	}
	operator := c.operator(n)
	for range 600 { // more entries than a truncated log keeps
		if _, err := operator.DropFilter(t.Context(), &rpc.RemoveFilter{Name: "none"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Shard(api.ControlShard).Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.arrives(c.add(), bundle)
	n.kill(t)
	c.start(n)
	c.arrives(n, bundle)
}

func TestPushesAreRefused(t *testing.T) {
	c := startCluster(t, 1)
	n := c.nodes[0]
	bundle := randomBundle(300_000)
	wrongDigest, wrongSize, region, name := stage(1, "report"), stage(1, "report"), stage(1, "report"), stage(1, "report")
	wrongDigest.Stage.Digest = make([]byte, 32)
	wrongSize.Stage.Size = 9
	region.Stage.Regions = []string{"mars"}
	name.Name = "no/name"
	for what, p := range map[string]struct {
		put    *rpc.PutFilter
		bundle []byte
		code   protocol.Code
		says   string
		stored int // chunks, at most
	}{
		"oversize":       {stage(1, "report"), make([]byte, control.MaxBundle+1), protocol.TooLarge, "16777216", 0},
		"wrong digest":   {wrongDigest, bundle, protocol.Corrupt, "push it again", 0},
		"wrong size":     {wrongSize, bundle, protocol.Corrupt, "push it again", 0},
		"nothing":        {nil, nil, protocol.BadArgument, "needs a stage", 0},
		"no bundle":      {stage(1, "report"), nil, protocol.BadArgument, "needs a stage", 0},
		"no put":         {nil, bundle, protocol.BadArgument, "before the data", 0},
		"no name":        {name, bundle, protocol.BadArgument, "letters", 0},
		"no mode":        {stage(1, ""), bundle, protocol.BadArgument, "enforce or report", 0},
		"unknown region": {region, bundle, protocol.NotFound, "there are: r1", 2},
	} {
		before := n.chunks(t)
		res := c.push(n, p.put, p.bundle)
		if protocol.Code(res.GetCode()) != p.code || !strings.Contains(res.GetMessage(), p.says) || n.chunks(t) > before+p.stored {
			t.Errorf("%s: %v, %d chunks more; want %s: …%s…", what, res, n.chunks(t)-before, p.code, p.says)
		}
	}
	if sets := c.status(n).GetFilters(); len(sets) != 0 {
		t.Errorf("sets %v", sets)
	}
	if _, err := c.fetch(n, []byte("no digest")); status.Code(err) != codes.NotFound {
		t.Errorf("fetch without a digest: %v", err)
	}
	digest := sha256.Sum256([]byte("nobody pushed this"))
	if _, err := c.fetch(n, digest[:]); status.Code(err) != codes.NotFound {
		t.Errorf("fetch of nothing: %v", err)
	}
	for _, role := range []pki.Role{pki.Core, pki.Edge} {
		operator := rpc.NewOperatorClient(c.dial(n, role, "n1"))
		if _, err := operator.DropFilter(t.Context(), &rpc.RemoveFilter{Name: "default"}); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s drops: %v", role, err)
		}
		stream, err := operator.PushFilter(t.Context())
		if err == nil {
			_, err = stream.CloseAndRecv()
		}
		if status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s pushes: %v", role, err)
		}
	}
}

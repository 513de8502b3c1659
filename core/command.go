package core

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/core/api"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/ops"
	"github.com/barrage-im/barrage/protocol/pki"
	"github.com/barrage-im/barrage/protocol/rpc"
)

const usage = `Usage: barrage core [flags]           run a core node; see barrage core --help
       barrage core status [flags]    nodes and shards of the cluster
       barrage core join-info         what a further node needs to join
       barrage core remove NODE       take a node out of the cluster
       barrage core transfer SHARD [NODE]  hand a shard's leadership over
`

// client is one invocation of a subcommand that asks a running node.
type client struct {
	Server  string        `yaml:"server" help:"host:port of a core node; also BARRAGE_CORE_SERVER"`
	TLS     string        `yaml:"tls" help:"directory with ca.crt, tls.crt and tls.key of role operator; also BARRAGE_OPERATOR_TLS"`
	Output  string        `yaml:"output" short:"o" help:"table or json"`
	Timeout time.Duration `yaml:"timeout" help:"how long to wait for an answer"`

	rpc    rpc.OperatorClient
	stdout io.Writer
}

// Validate refuses outputs that do not exist.
func (c *client) Validate() error {
	if c.Output != "table" && c.Output != "json" {
		return fmt.Errorf("output %q: use table or json", c.Output)
	}
	return nil
}

// Command is "barrage core": it runs a node, or asks a running one.
func Command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return command(ctx, args, stdout)
	}
	verbs := map[string]struct {
		usage    string
		min, max int
		run      func(*client, context.Context, []string) error
	}{
		"status":    {"core status [flags]", 0, 0, (*client).status},
		"join-info": {"core join-info [flags]", 0, 0, (*client).joinInfo},
		"remove":    {"core remove [flags] NODE", 1, 1, (*client).remove},
		"transfer":  {"core transfer [flags] SHARD [NODE]", 1, 2, (*client).transfer},
	}
	verb, ok := verbs[args[0]]
	if !ok {
		return ops.Usagef("core %s: no such command\n%s", args[0], strings.TrimSpace(usage))
	}
	c := &client{Server: "127.0.0.1:7000", TLS: "operator", Output: "table", Timeout: 10 * time.Second, stdout: stdout}
	for name, target := range map[string]*string{"BARRAGE_CORE_SERVER": &c.Server, "BARRAGE_OPERATOR_TLS": &c.TLS} {
		if v := os.Getenv(name); v != "" {
			*target = v
		}
	}
	rest, err := ops.Flags(verb.usage, c, args[1:])
	if err != nil {
		return err
	}
	if len(rest) < verb.min || len(rest) > verb.max {
		return ops.Usagef("usage: barrage %s", verb.usage)
	}
	creds, err := pki.Load(c.TLS, slog.New(slog.NewTextHandler(stderr, nil)))
	if err != nil {
		return fmt.Errorf("%w; name the operator's directory with --tls, or make one with barrage cert", err)
	}
	conn, err := api.Dial(c.Server, creds, nil)
	if err != nil {
		return fmt.Errorf("core node %s: %w", c.Server, err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	c.rpc = rpc.NewOperatorClient(conn)
	if err := verb.run(c, ctx, rest); err != nil {
		var usage *ops.UsageError
		if errors.As(err, &usage) {
			return err
		}
		return rpc.Explain(err, c.Server)
	}
	return nil
}

func command(ctx context.Context, args []string, stdout io.Writer) error {
	cfg := Default()
	_, rest, err := ops.Load("core", &cfg, args, os.Environ())
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return ops.Usagef("core %s: unexpected argument\n%s", rest[0], strings.TrimSpace(usage))
	}
	return Run(ctx, cfg, stdout)
}

func (c *client) status(ctx context.Context, _ []string) error {
	st, err := c.rpc.ClusterStatus(ctx, &rpc.StatusRequest{})
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return c.json(st)
	}
	if st.GetState().GetCluster() == "" {
		return fmt.Errorf("core node %s is not a member of a cluster yet; its log says what it waits for", c.Server)
	}
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "cluster\t%s\n", st.GetState().GetCluster())
	fmt.Fprintf(w, "edges\t%d\n", len(st.GetState().GetEdges()))
	fmt.Fprintln(w, "\nNODE\tREGION\tADDRESS\tVOTES\tLEADS\tEDGES\tDISK FREE\tVERSION\tPROBLEM")
	for _, n := range st.GetState().GetNodes() {
		if n.GetRemoved() {
			continue
		}
		row := nodeRow(n, find(st.GetNodes(), n.GetId()))
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	fmt.Fprintln(w, "\nSHARD\tLEADER\tTERM\tCOMMITTED\tVOTERS\tLEARNERS\tROOMS")
	for _, s := range shardsOf(st.GetNodes()) {
		name := fmt.Sprint(s.GetShard())
		if s.GetShard() == api.ControlShard {
			name = "control"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%s\t%d\n", name, orNone(s.GetLeader()), s.GetTerm(), s.GetCommitIndex(),
			orNone(strings.Join(s.GetVoters(), " ")), orNone(strings.Join(s.GetNonvoters(), " ")), s.GetRooms())
	}
	return w.Flush()
}

func nodeRow(n *rpc.Node, st *rpc.NodeStatus) []string {
	votes := "yes"
	if !n.GetVoter() {
		votes = "no"
	}
	row := []string{n.GetId(), n.GetRegion(), n.GetAddress(), votes}
	if st == nil {
		return append(row, "-", "-", "-", n.GetVersion(), "not reachable")
	}
	leads := 0
	for _, s := range st.GetShards() {
		if s.GetState() == "leader" {
			leads++
		}
	}
	free := "-"
	if st.GetDiskTotalBytes() > 0 {
		free = fmt.Sprintf("%d%%", 100*st.GetDiskFreeBytes()/st.GetDiskTotalBytes())
	}
	return append(row, fmt.Sprint(leads), fmt.Sprint(st.GetEdges()), free, n.GetVersion(), orNone(st.GetProblem()))
}

// shardsOf takes every shard as the node tells it that has come farthest.
func shardsOf(nodes []*rpc.NodeStatus) []*rpc.ShardStatus {
	best := map[uint32]*rpc.ShardStatus{}
	for _, n := range nodes {
		for _, s := range n.GetShards() {
			have := best[s.GetShard()]
			if have == nil || s.GetTerm() > have.GetTerm() || s.GetTerm() == have.GetTerm() && s.GetState() == "leader" {
				best[s.GetShard()] = s
			}
		}
	}
	out := make([]*rpc.ShardStatus, 0, len(best))
	for _, s := range best {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b *rpc.ShardStatus) int { return int(a.GetShard()) - int(b.GetShard()) })
	return out
}

func find(nodes []*rpc.NodeStatus, id string) *rpc.NodeStatus {
	for _, n := range nodes {
		if n.GetNode().GetId() == id {
			return n
		}
	}
	return nil
}

func orNone(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (c *client) joinInfo(ctx context.Context, _ []string) error {
	st, err := c.rpc.ClusterStatus(ctx, &rpc.StatusRequest{})
	if err != nil {
		return err
	}
	if st.GetState().GetCluster() == "" {
		return fmt.Errorf("core node %s is not a member of a cluster yet; ask one that is, with --server", c.Server)
	}
	var join []string
	for _, n := range st.GetState().GetNodes() {
		if !n.GetRemoved() {
			join = append(join, n.GetAddress())
		}
	}
	shards := 0
	for _, p := range st.GetState().GetPlacements() {
		shards += len(p.GetShards())
	}
	if c.Output == "json" {
		return json.NewEncoder(c.stdout).Encode(map[string]any{"cluster": st.GetState().GetCluster(), "join": join, "shards": shards})
	}
	_, err = fmt.Fprintf(c.stdout, `cluster %s, %d shards
1. on a machine that has the cluster's ca.key:
   barrage cert issue --role core --name NAME
2. on the new node, with that directory:
   barrage core --node NAME --region REGION --tls DIR --data DIR --listen HOST:PORT --join %s
`, st.GetState().GetCluster(), shards, strings.Join(join, ","))
	return err
}

func (c *client) remove(ctx context.Context, args []string) error {
	res, err := c.rpc.DropNode(ctx, &rpc.RemoveNode{Id: args[0]})
	if err := refused(res, err); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.stdout, "%s is out of the cluster; stop it and remove its data directory\n", args[0])
	return err
}

func (c *client) transfer(ctx context.Context, args []string) error {
	req := &rpc.TransferLeaderRequest{}
	if _, err := fmt.Sscan(args[0], &req.Shard); err != nil {
		return ops.Usagef("shard %q: want a number, 0 for control", args[0])
	}
	if len(args) == 2 {
		req.Node = args[1]
	}
	res, err := c.rpc.TransferLeader(ctx, req)
	if err := refused(res, err); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.stdout, "shard %d has another leader\n", req.GetShard())
	return err
}

func refused(res *rpc.ControlResult, err error) error {
	if err != nil {
		return err
	}
	if code := protocol.Code(res.GetCode()); code != protocol.OK {
		return &protocol.Error{Code: code, Message: res.GetMessage()}
	}
	return nil
}

func (c *client) json(m proto.Message) error {
	b, err := protojson.MarshalOptions{UseProtoNames: true, Multiline: true, EmitUnpopulated: true}.Marshal(m)
	if err != nil {
		return err
	}
	_, err = c.stdout.Write(append(b, '\n'))
	return err
}

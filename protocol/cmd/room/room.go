// Package room is the command "barrage room": an operator's look at rooms,
// their state and their history, through the Operator service of a core node.
package room

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/ops"
	"github.com/barrage-im/barrage/protocol/pki"
	"github.com/barrage-im/barrage/protocol/rpc"
)

const usage = `Usage: barrage room COMMAND [flags]

  list     rooms by name:        barrage room list [PATTERN]
  show     one room:             barrage room show ROOM
  history  its latest messages:  barrage room history ROOM [--limit N] [--from SEQ]
  policy   rules of all rooms:   barrage room policy show
                                 barrage room policy set FILE

The commands ask the core node at --server (or BARRAGE_CORE_SERVER) with the
credentials in --tls (or BARRAGE_OPERATOR_TLS); "barrage cert issue --role operator"
makes them.
`

const (
	pageRooms = 500     // rooms asked for at a time
	pageBytes = 1 << 20 // of history asked for at a time
)

type options struct {
	Server  string        `yaml:"server" help:"host:port of a core node"`
	TLS     string        `yaml:"tls" help:"directory with ca.crt, tls.crt and tls.key"`
	Output  string        `yaml:"output" short:"o" help:"table or json"`
	Timeout time.Duration `yaml:"timeout" help:"how long to wait for an answer"`
	Limit   uint32        `yaml:"limit" short:"n" help:"how many to show at most"`
	From    uint64        `yaml:"from" help:"of history: first seq; 0: the latest"`
}

// Validate refuses outputs that do not exist.
func (o options) Validate() error {
	switch {
	case o.Output != "table" && o.Output != "json":
		return fmt.Errorf("output %q: use table or json", o.Output)
	case o.Timeout == 0:
		return fmt.Errorf("timeout must be more than 0")
	case o.Limit == 0:
		return fmt.Errorf("limit must be more than 0")
	}
	return nil
}

// client is one invocation.
type client struct {
	options
	rpc    rpc.OperatorClient
	stdout io.Writer
}

// Run runs one of the subcommands.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 || args[0] == "-h" || args[0] == "--help" {
		return &ops.HelpRequested{Text: usage}
	}
	verb := args[0]
	o := options{Server: "127.0.0.1:7000", TLS: "operator", Output: "table", Timeout: 10 * time.Second, Limit: 100}
	for name, target := range map[string]*string{"BARRAGE_CORE_SERVER": &o.Server, "BARRAGE_OPERATOR_TLS": &o.TLS} {
		if v := os.Getenv(name); v != "" {
			*target = v
		}
	}
	commands := map[string]struct {
		usage    string
		min, max int // arguments
		run      func(*client, context.Context, []string) error
	}{
		"list":    {"room list [flags] [PATTERN]", 0, 1, (*client).list},
		"show":    {"room show [flags] ROOM", 1, 1, (*client).show},
		"history": {"room history [flags] ROOM", 1, 1, (*client).history},
		"policy":  {"room policy [flags] show|set [FILE]", 1, 2, (*client).policy},
	}
	c, ok := commands[verb]
	if !ok {
		return ops.Usagef("room %s: use list, show, history or policy", verb)
	}
	rest, err := ops.Flags(c.usage, &o, args[1:])
	if err != nil {
		return err
	}
	if len(rest) < c.min || len(rest) > c.max {
		return ops.Usagef("usage: barrage %s", c.usage)
	}
	creds, err := pki.Load(o.TLS, slog.New(slog.NewTextHandler(stderr, nil)))
	if err != nil {
		return fmt.Errorf("%w; name the operator's directory with --tls, or make one: barrage cert issue --role operator", err)
	}
	conn, err := grpc.NewClient("passthrough:///"+o.Server,
		grpc.WithTransportCredentials(credentials.NewTLS(creds.ClientConfig(pki.Core, "h2"))))
	if err != nil {
		return fmt.Errorf("core node %s: %w", o.Server, err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	cl := &client{options: o, rpc: rpc.NewOperatorClient(conn), stdout: stdout}
	if err := c.run(cl, ctx, rest); err != nil {
		var usage *ops.UsageError
		if errors.As(err, &usage) {
			return err
		}
		return rpc.Explain(err, o.Server)
	}
	return nil
}

func (c *client) list(ctx context.Context, args []string) error {
	pattern := "*"
	if len(args) == 1 {
		pattern = args[0]
	}
	rooms := []roomView{} // an empty list is [] in JSON
	cursor := ""
	for len(rooms) < int(c.Limit) {
		page, err := c.rpc.ListRooms(ctx, &rpc.ListRoomsRequest{
			Pattern: pattern, Cursor: cursor, Limit: min(c.Limit-uint32(len(rooms)), pageRooms),
		})
		if err != nil {
			return err
		}
		for _, r := range page.GetRooms() {
			rooms = append(rooms, viewRoom(r))
		}
		if cursor = page.GetCursor(); cursor == "" || len(page.GetRooms()) == 0 {
			break
		}
	}
	if c.Output == "json" {
		return c.json(rooms)
	}
	return writeRooms(c.stdout, rooms, cursor != "")
}

func (c *client) show(ctx context.Context, args []string) error {
	room, err := protocol.CanonicalRoom(args[0])
	if err != nil {
		return &ops.UsageError{Err: err}
	}
	detail, err := c.rpc.ShowRoom(ctx, &rpc.HeadRequest{Room: room})
	if err != nil {
		return err
	}
	if code := protocol.Code(detail.GetCode()); code != protocol.OK {
		return protocol.Errorf(code, "there is no room %s now; barrage room list shows those there are", room)
	}
	view := viewRoom(detail)
	if c.Output == "json" {
		return c.json(view)
	}
	return writeRoom(c.stdout, view)
}

func (c *client) history(ctx context.Context, args []string) error {
	room, err := protocol.CanonicalRoom(args[0])
	if err != nil {
		return &ops.UsageError{Err: err}
	}
	request := &rpc.HistoryRequest{
		Room: room, From: c.From, Reverse: c.From == 0,
		Limit: min(c.Limit, protocol.MaxHistory), MaxBytes: pageBytes,
	}
	page, err := c.rpc.RoomHistory(ctx, request)
	if err != nil {
		return err
	}
	if code := protocol.Code(page.GetCode()); code == protocol.NotFound {
		return protocol.Errorf(code, "there is no room %s now; barrage room list shows those there are", room)
	} else if code != protocol.OK {
		return protocol.Errorf(code, "room %s: history holds %d to %d", room, page.GetFirst(), page.GetHead())
	}
	if protocol.CRC(page.GetRecords()) != page.GetCrc() {
		return protocol.Errorf(protocol.Corrupt, "the records of room %s did not arrive as they were sent", room)
	}
	messages, err := viewMessages(page.GetRecords())
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return c.json(messages)
	}
	return writeMessages(c.stdout, messages)
}

func (c *client) json(v any) error {
	e := json.NewEncoder(c.stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// printable keeps what users wrote from steering the operator's terminal.
func printable(s string) string {
	quoted := fmt.Sprintf("%q", s)
	quoted = quoted[1 : len(quoted)-1]
	return strings.ReplaceAll(quoted, `\"`, `"`)
}

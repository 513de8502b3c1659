// Package chat is the command "barrage chat": a room in a terminal. With a
// terminal on both ends it edits lines and paints names; otherwise it reads and
// writes plain lines, for scripts.
package chat

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/client"
	"github.com/barrage-im/barrage/protocol/ops"
)

// DefaultServer is where "barrage dev" listens.
const DefaultServer = "ws://127.0.0.1:8080/v1/ws"

const (
	recent = 20 // messages shown on joining
	// closeWait bounds the wait for what was typed last to be acknowledged.
	closeWait = 10 * time.Second
)

type options struct {
	Server    string     `yaml:"server" help:"edges' URLs, separated by commas: ws, wss, tcp or tcps"`
	Room      string     `yaml:"room" help:"room to join"`
	Name      string     `yaml:"name" help:"your name, where anonymous users are let in (barrage dev)"`
	Token     ops.Secret `yaml:"token" help:"token that says who you are; others on this machine may see it"`
	TokenFile string     `yaml:"token_file" help:"file with the token, read again for every connection"`
	Plain     bool       `yaml:"plain" help:"plain lines, even in a terminal"`
}

// Run joins a room and talks until in ends, ctx does, or /quit. It reads in on
// a goroutine that ends with in, which may be after Run has returned.
func Run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	o := options{Server: DefaultServer, Room: "lobby"}
	rest, err := ops.Flags("chat [flags] [ROOM]", &o, args)
	if err != nil {
		return err
	}
	switch len(rest) {
	case 0:
	case 1:
		o.Room = rest[0]
	default:
		return ops.Usagef("chat: one room at a time; /room takes you to another")
	}
	return run(ctx, o, nil, in, out)
}

// run is Run over dialer, which is nil for the network.
func run(ctx context.Context, o options, dialer client.Dialer, in io.Reader, out io.Writer) error {
	if o.Token != "" && o.TokenFile != "" {
		return ops.Usagef("chat: use --token or --token-file, not both")
	}
	if o.Name != "" && (o.Token != "" || o.TokenFile != "") {
		return ops.Usagef("chat: the token says who you are; leave --name out")
	}
	for server := range strings.SplitSeq(strings.ReplaceAll(o.Server, " ", ""), ",") {
		scheme, host, _ := strings.Cut(server, "://")
		if !slices.Contains([]string{"ws", "wss", "tcp", "tcps"}, scheme) || host == "" {
			return ops.Usagef("--server %q: begin with ws://, wss://, tcp:// or tcps://", server)
		}
	}
	if _, err := o.token(ctx); err != nil { // later it would be tried again and again
		return fmt.Errorf("--token-file: %w", err)
	}
	scr, err := newScreen(in, out, o.Plain)
	if err != nil {
		return err
	}
	defer scr.close()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t := &talk{screen: scr, stop: cancel}
	t.client, err = client.Dial(ctx, client.Config{
		Endpoints: strings.Split(strings.ReplaceAll(o.Server, " ", ""), ","), Token: o.token, Client: "barrage-chat/" + ops.Version().Version,
		TLS: &tls.Config{MinVersion: tls.VersionTLS12}, Dialer: dialer, OnState: t.connection,
	})
	if err != nil {
		return explain(o, err)
	}
	defer t.client.Close()
	if err := t.enter(ctx, o.Room); err != nil {
		return explain(o, err)
	}

	lines := make(chan string)
	go scr.read(ctx, lines)
	return t.converse(ctx, lines)
}

// token is what to show the server: a real one, or a name for servers that let
// anonymous users in.
func (o options) token(context.Context) (string, error) {
	switch {
	case o.TokenFile != "":
		b, err := os.ReadFile(o.TokenFile)
		if err != nil {
			return "", err
		}
		if len(b) > protocol.MaxToken {
			return "", fmt.Errorf("%s holds %d bytes; a token has at most %d", o.TokenFile, len(b), protocol.MaxToken)
		}
		return strings.TrimSpace(string(b)), nil
	case o.Token != "":
		return string(o.Token), nil
	case o.Name != "":
		return "anonymous:" + o.Name, nil
	}
	if u, err := user.Current(); err == nil && u.Username != "" {
		_, name, found := strings.Cut(u.Username, `\`) // DOMAIN\name
		if !found {
			name = u.Username
		}
		return "anonymous:" + name, nil
	}
	return "", nil
}

// explain says what to do about an error that ends the command.
func explain(o options, err error) error {
	var e *protocol.Error
	switch {
	case errors.Is(err, context.Canceled):
		return nil
	case errors.As(err, &e) && (e.Code == protocol.CloseUnauthenticated || e.Code == protocol.TokenInvalid):
		return fmt.Errorf("%s does not let you in: %w; a token goes into --token-file, and \"barrage token\" makes one", o.Server, err)
	}
	return err
}

// maxLine bounds a line that is read, in bytes.
const maxLine = protocol.MaxMessage

// readLines sends in's lines until it ends or ctx does.
func readLines(ctx context.Context, in io.Reader, lines chan<- string) {
	defer close(lines)
	s := bufio.NewScanner(in)
	s.Buffer(nil, maxLine)
	for s.Scan() {
		select {
		case lines <- s.Text():
		case <-ctx.Done():
			return
		}
	}
}

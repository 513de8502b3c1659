// Package operator is how a command reaches a core node as an operator: where
// the node is, which certificate to show, and what to print of what comes back.
package operator

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/barrage-im/barrage/protocol/pki"
)

// Options are the flags of every command that asks a core node; inline them.
type Options struct {
	Server  string        `yaml:"server" help:"host:port of a core node"`
	TLS     string        `yaml:"tls" help:"directory with ca.crt, tls.crt and tls.key"`
	Timeout time.Duration `yaml:"timeout" help:"how long to wait for an answer"`
}

// Defaults are what holds without flags: BARRAGE_CORE_SERVER and
// BARRAGE_OPERATOR_TLS, or a core node on this machine and ./operator.
func Defaults() Options {
	o := Options{Server: "127.0.0.1:7000", TLS: "operator", Timeout: 10 * time.Second}
	for name, target := range map[string]*string{"BARRAGE_CORE_SERVER": &o.Server, "BARRAGE_OPERATOR_TLS": &o.TLS} {
		if v := os.Getenv(name); v != "" {
			*target = v
		}
	}
	return o
}

// Dial connects to the core node; warnings about the certificate go to log. The
// connection is the caller's to close.
func (o Options) Dial(log io.Writer) (*grpc.ClientConn, error) {
	creds, err := pki.Load(o.TLS, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		return nil, fmt.Errorf("%w; name the operator's directory with --tls, or make one: barrage cert issue --role operator", err)
	}
	conn, err := grpc.NewClient("passthrough:///"+o.Server,
		grpc.WithTransportCredentials(credentials.NewTLS(creds.ClientConfig(pki.Core, "h2"))))
	if err != nil {
		return nil, fmt.Errorf("core node %s: %w", o.Server, err)
	}
	return conn, nil
}

// Printable keeps what others wrote from steering the operator's terminal.
func Printable(s string) string {
	quoted := fmt.Sprintf("%q", s)
	quoted = quoted[1 : len(quoted)-1]
	return strings.ReplaceAll(quoted, `\"`, `"`)
}

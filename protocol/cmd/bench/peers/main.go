// Command peers measures other servers under the workloads of "barrage bench",
// with the same generator, the same accounts and the same way of counting CPU:
// nats-server's JetStream for durable publishes, nats-server and centrifuge
// over WebSocket for fan-out. It is a module of its own, so that what it
// compares with never enters Barrage's dependencies.
//
//	go run . jetstream --outstanding 256 --size 128 --dir /var/tmp
//	go run . nats --members 1000 --rate 20
//	go run . centrifuge --members 1000 --rate 500
//
// Servers are processes of their own, started and ended by this one. The result
// is printed as JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/barrage-im/barrage/protocol/cmd/bench/ledger"
)

// options of one measurement.
type options struct {
	members     int
	rate        float64
	size        int
	outstanding int
	publishers  int
	duration    time.Duration
	warmup      time.Duration
	dir         string
	sync        bool
}

// A Result is what was measured. CPU is that of all server processes together.
type Result struct {
	Peer    string `json:"peer"`
	Version string `json:"version"`
	Note    string `json:"note"`

	Members     int     `json:"members,omitempty"`
	Rate        float64 `json:"rate,omitempty"`
	Size        int     `json:"size"`
	Outstanding int     `json:"outstanding,omitempty"`
	Seconds     float64 `json:"seconds"`

	ledger.Account

	AckedPerSecond   float64 `json:"acknowledged_per_second"`
	ServerCPUSeconds float64 `json:"server_cpu_seconds"`
	CPUPerAck        float64 `json:"server_cpu_us_per_acknowledged,omitempty"`
	CPUPerDelivery   float64 `json:"server_cpu_us_per_delivery,omitempty"`
	ServerRSS        uint64  `json:"server_rss_bytes"`
}

func main() {
	if role, config, ok := serverRole(); ok {
		if err := serve(role, config); err != nil {
			fmt.Fprintf(os.Stderr, "%s server: %v\n", role, err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

var peers = map[string]func(context.Context, options) (Result, error){
	"jetstream":  measureJetStream,
	"nats":       measureNATS,
	"centrifuge": measureCentrifuge,
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 || peers[args[0]] == nil {
		return errors.New("which one? jetstream, nats or centrifuge")
	}
	var o options
	flags := flag.NewFlagSet("peers "+args[0], flag.ContinueOnError)
	flags.IntVar(&o.members, "members", 1000, "members of the room (nats, centrifuge)")
	flags.Float64Var(&o.rate, "rate", 20, "messages per second (nats, centrifuge)")
	flags.IntVar(&o.size, "size", 128, "bytes of a message")
	flags.IntVar(&o.outstanding, "outstanding", 256, "messages without an answer (jetstream)")
	flags.IntVar(&o.publishers, "publishers", 16, "connections that publish (jetstream)")
	flags.DurationVar(&o.duration, "duration", 10*time.Second, "how long to measure")
	flags.DurationVar(&o.warmup, "warmup", 2*time.Second, "how long to load before measuring")
	flags.StringVar(&o.dir, "dir", os.TempDir(), "where to put the servers' data: the disk to measure")
	flags.BoolVar(&o.sync, "sync", true, "sync_interval: always (jetstream)")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	result, err := peers[args[0]](ctx, o)
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(result); err != nil {
		return err
	}
	if len(result.Problems) > 0 {
		return fmt.Errorf("%s: the account does not close: %s", args[0], strings.Join(result.Problems, "; "))
	}
	return nil
}

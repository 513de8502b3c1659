package bench

import (
	"flag"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/cmd/bench/ledger"
)

// options of a run.
type options struct {
	mode        string
	servers     []*url.URL
	publishTo   []*url.URL // the publishers' servers
	token       string
	tokenKey    string
	tokenID     string
	prefix      string
	rooms       int
	members     int // of each room
	publishers  int // of each room
	rate        float64
	size        int
	outstanding int
	readBack    bool
	duration    time.Duration
	warmup      time.Duration
	drain       time.Duration
	parallel    int
	spread      int
	pids        []int
	json        string
}

// defaults differ by mode where one number would make no sense for all.
func defaults(mode string) options {
	o := options{
		mode: mode, rooms: 1, members: 100, publishers: 1, rate: 20, size: 128, outstanding: 256,
		duration: 10 * time.Second, warmup: 2 * time.Second, drain: 15 * time.Second, parallel: 32,
	}
	switch mode {
	case "publish":
		o.rooms, o.members = 16, 0
	case "idle":
		o.members, o.publishers, o.rate = 1000, 0, 0
	case "storm":
		o.members = 1000
	}
	return o
}

func parse(args []string, stderr io.Writer) (options, error) {
	mode := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		mode, args = args[0], args[1:]
	}
	o := defaults(mode)
	var servers, publishTo, pids string
	flags := flag.NewFlagSet("bench "+mode, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	flags.StringVar(&servers, "server", "ws://127.0.0.1:8080/v1/ws", "URLs of edges (ws, wss, tcp, tcps), separated by commas; connections are spread over them")
	flags.StringVar(&publishTo, "publish-server", "", "URLs of edges for the publishers (default --server)")
	flags.StringVar(&o.token, "token", "", "token to connect with, the same for all connections")
	flags.StringVar(&o.tokenKey, "token-key", "", "file with the key to sign a token for each connection: an Ed25519 private key as PEM, or an HS256 secret")
	flags.StringVar(&o.tokenID, "token-key-id", "", "kid of these tokens")
	flags.StringVar(&o.prefix, "room", "", "prefix of the rooms' names (default bench- and a random part)")
	flags.IntVar(&o.rooms, "rooms", o.rooms, "rooms")
	flags.IntVar(&o.members, "members", o.members, "members of each room")
	flags.IntVar(&o.publishers, "publishers", o.publishers, "publishers of each room; they are members too")
	flags.Float64Var(&o.rate, "rate", o.rate, "messages per second and room (fanout, storm)")
	flags.IntVar(&o.size, "size", o.size, "bytes of a message's text")
	flags.IntVar(&o.outstanding, "outstanding", o.outstanding, "messages without an answer, over all publishers (publish)")
	flags.BoolVar(&o.readBack, "read-back", false, "publishers read the history after the load instead of listening meanwhile; the rooms' policy must retain all of it (publish)")
	flags.DurationVar(&o.duration, "duration", o.duration, "how long to measure")
	flags.DurationVar(&o.warmup, "warmup", o.warmup, "how long to load before measuring")
	flags.DurationVar(&o.drain, "drain", o.drain, "how long to wait for what is still on its way at the end")
	flags.IntVar(&o.parallel, "parallel", o.parallel, "connections to open at the same time")
	flags.IntVar(&o.spread, "spread", 0, "loopback source addresses to use in turn (127.0.0.2 …), for a server that limits connections per address")
	flags.StringVar(&pids, "server-pid", "", "server processes on this machine, separated by commas, whose CPU and memory to report")
	flags.StringVar(&o.json, "json", "-", "file for the report; - is standard output")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if modes[mode] == nil {
		flags.Usage()
		return o, fmt.Errorf("mode %q: choose fanout, publish, idle or storm", mode)
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%q is not a flag; try: barrage bench --help", flags.Arg(0))
	}
	var err error
	if o.servers, err = parseServers("--server", servers); err != nil {
		return o, err
	}
	if o.publishTo = o.servers; publishTo != "" {
		if o.publishTo, err = parseServers("--publish-server", publishTo); err != nil {
			return o, err
		}
	}
	if o.pids, err = parsePIDs(pids); err != nil {
		return o, err
	}
	return o, o.check()
}

func parseServers(flag, text string) ([]*url.URL, error) {
	var list []*url.URL
	for _, s := range strings.Split(text, ",") {
		u, err := url.Parse(strings.TrimSpace(s))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
		switch u.Scheme {
		case "ws", "wss":
			if u.Path == "" || u.Path == "/" {
				u.Path = "/v1/ws"
			}
		case "tcp", "tcps":
		default:
			return nil, fmt.Errorf("%s %q: begin with ws://, wss://, tcp:// or tcps://", flag, s)
		}
		list = append(list, u)
	}
	return list, nil
}

func parsePIDs(text string) ([]int, error) {
	if text == "" {
		return nil, nil
	}
	var list []int
	for _, s := range strings.Split(text, ",") {
		pid, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil {
			return nil, fmt.Errorf("--server-pid: %w", err)
		}
		list = append(list, pid)
	}
	return list, nil
}

func (o *options) check() error {
	switch {
	case o.rooms < 1:
		return fmt.Errorf("--rooms %d: at least 1", o.rooms)
	case o.members < 0 || o.publishers < 0 || o.outstanding < 1 || o.parallel < 1:
		return fmt.Errorf("--members, --publishers, --outstanding and --parallel must not be negative")
	case o.mode != "idle" && o.publishers == 0:
		return fmt.Errorf("--publishers 0: %s needs at least 1", o.mode)
	case o.mode != "idle" && o.mode != "publish" && o.rate <= 0:
		return fmt.Errorf("--rate %v: must be above 0", o.rate)
	case o.size < ledger.MarkerSize || o.size > protocol.MaxMessage:
		return fmt.Errorf("--size %d: between %d and %d, since every message carries a marker", o.size, ledger.MarkerSize, protocol.MaxMessage)
	case o.rooms*o.publishers > 0xffff:
		return fmt.Errorf("%d publishers: at most %d", o.rooms*o.publishers, 0xffff)
	case o.readBack && (o.mode != "publish" || o.members > 0):
		return fmt.Errorf("--read-back: only publish without --members can read after the load")
	case o.token != "" && o.tokenKey != "":
		return fmt.Errorf("--token and --token-key: give one of them")
	}
	return nil
}

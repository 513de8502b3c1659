package session

import (
	"time"

	"github.com/barrage-im/barrage/protocol"
)

// Config bounds what sessions may take. A limit of 0 is its default; -1, where
// it makes sense, is none.
type Config struct {
	// Who this edge is; not configuration of its own.
	Region string
	Edge   string

	MaxConnections int `yaml:"max_connections" help:"connections of this edge (default 100000)"`
	PerAddress     int `yaml:"per_address" help:"connections of one IPv4 address or IPv6 /64, loopback excepted (default 1000)"`
	PerUser        int `yaml:"per_user" help:"connections of one user (default 20)"`
	Rooms          int `yaml:"rooms" help:"rooms of one connection (default 256)"`
	Outstanding    int `yaml:"outstanding" help:"unanswered publishes of one connection (default 1024)"`

	FrameRate  int `yaml:"frame_rate" help:"frames per second of one connection before it is closed as a flood (default 1000)"`
	FrameBurst int `yaml:"frame_burst" help:"frames at once (default 4000)"`
	ReadRate   int `yaml:"read_rate" help:"history and member pages per second of one user (default 10)"`
	ReadBurst  int `yaml:"read_burst" help:"pages at once (default 40)"`
	Reads      int `yaml:"reads" help:"history and member pages being read at the same time on this edge (default 64)"`
	Outbox     int `yaml:"outbox" help:"bytes of replies that wait for one connection (default 256 KiB); at twice as much it is closed"`

	Heartbeat        time.Duration `yaml:"heartbeat" help:"silence after which the server sends a heartbeat (default 25s)"`
	HeartbeatTimeout time.Duration `yaml:"heartbeat_timeout" help:"time to answer it (default 10s)"`
	AuthTimeout      time.Duration `yaml:"auth_timeout" help:"time to verify a token, keys fetched included (default 5s)"`
	PublishTimeout   time.Duration `yaml:"publish_timeout" help:"a publish without timeout_ms is not appended after this (default 10s)"`
	ExpiryGrace      time.Duration `yaml:"expiry_grace" help:"time to refresh a token after it has expired (default 10s)"`
}

// Limits that are not configured.
const (
	maxRateKeys   = 100_000          // users and rooms that a rate limit remembers
	minHintWait   = time.Second      // a client that is sent away waits up to this
	hintPerClose  = 2                // and this many milliseconds more for each other one in the last closeWindow
	closeWindow   = 10 * time.Second //
	maxHintWait   = time.Minute      //
	maxHints      = 8                // other endpoints that are named
	readTimeout   = 6 * time.Second  // for one page
	defaultRate   = 10               // messages per second and user where the policy is not known yet
	defaultBurst  = 20               //
	defaultSize   = 4 << 10          // bytes of a message where the policy is not known yet
	maxUserTables = 64               // different rates that policies may name
)

// Default is the configuration when nothing is set.
func Default() Config { return Config{}.withDefaults() }

func (c Config) withDefaults() Config {
	set(&c.MaxConnections, 100_000)
	set(&c.PerAddress, 1000)
	set(&c.PerUser, 20)
	set(&c.Rooms, protocol.MaxRooms)
	set(&c.Outstanding, protocol.MaxOutstanding)
	set(&c.FrameRate, 1000)
	set(&c.FrameBurst, 4000)
	set(&c.ReadRate, 10)
	set(&c.ReadBurst, 40)
	set(&c.Reads, 64)
	set(&c.Outbox, 256<<10)
	set(&c.Heartbeat, 25*time.Second)
	set(&c.HeartbeatTimeout, 10*time.Second)
	set(&c.AuthTimeout, 5*time.Second)
	set(&c.PublishTimeout, 10*time.Second)
	set(&c.ExpiryGrace, 10*time.Second)
	c.Rooms = min(c.Rooms, protocol.MaxRooms)
	c.Outstanding = min(c.Outstanding, protocol.MaxOutstanding)
	return c
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

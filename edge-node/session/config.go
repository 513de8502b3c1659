package session

import (
	"time"

	"github.com/barrage-im/barrage/edge-node/screen"
	"github.com/barrage-im/barrage/protocol"
)

// Config bounds what sessions may take. Begin with Default: 0 means no limit for
// the connections of the edge, of an address and of a user, and the default
// everywhere else.
type Config struct {
	// Who this edge is; not configuration of its own.
	Region string
	Edge   string
	// What judges messages; nil: nobody does.
	Screen *screen.Screen
	Hook   *screen.Hook

	MaxConnections int `yaml:"max_connections" help:"connections of this edge; 0 no limit"`
	PerAddress     int `yaml:"per_address" help:"connections of one IPv4 address or IPv6 /64, loopback excepted; 0 no limit"`
	PerUser        int `yaml:"per_user" help:"connections of one user; 0 no limit"`
	Rooms          int `yaml:"rooms" help:"rooms of one connection"`
	Outstanding    int `yaml:"outstanding" help:"unanswered publishes of one connection"`

	FrameRate  int `yaml:"frame_rate" help:"frames per second of one connection; above it the connection is read no faster"`
	FrameBurst int `yaml:"frame_burst" help:"frames at once"`
	ReadRate   int `yaml:"read_rate" help:"history and member pages per second of one user"`
	ReadBurst  int `yaml:"read_burst" help:"pages at once"`
	Reads      int `yaml:"reads" help:"history and member pages being read at the same time on this edge"`
	Outbox     int `yaml:"outbox" help:"bytes of replies that wait for one connection; at twice as much it is closed"`

	Heartbeat        time.Duration `yaml:"heartbeat" help:"silence after which the server sends a heartbeat"`
	HeartbeatTimeout time.Duration `yaml:"heartbeat_timeout" help:"time to answer it"`
	AuthTimeout      time.Duration `yaml:"auth_timeout" help:"time to verify a token, keys fetched included"`
	PublishTimeout   time.Duration `yaml:"publish_timeout" help:"a publish without timeout_ms is not appended after this"`
	ExpiryGrace      time.Duration `yaml:"expiry_grace" help:"time to refresh a token after it has expired"`
}

// Limits that are not configured.
const (
	maxCounted    = 4 << 20          // addresses and users that are counted: more than one machine holds
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
	joinCost      = 9                // frames that a join takes of the budget besides its own: it may make a room
	moderateCost  = 9                // and a moderator's command: every member may hear of it
	maxSlowRooms  = 10_000           // rooms without members here whose slow mode is remembered
	maxUserTables = 64               // different rates that policies may name
)

// Default is the configuration when nothing is set.
func Default() Config {
	return Config{MaxConnections: 100_000, PerAddress: 1000, PerUser: 20}.withDefaults()
}

func (c Config) withDefaults() Config {
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

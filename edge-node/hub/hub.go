// Package hub keeps the tails of the rooms that have members on this edge and
// sends them on. Every member is a cursor: nobody has a queue, a message is
// encoded once for each wire format, and one write carries whatever the flush
// window gathered. A member that falls behind the tail reads history; one that
// is too far behind is told of a gap. The hub knows connections and core, and
// nothing of commands, tokens or limits of users.
package hub

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barrage-im/barrage/edge-node/upstream"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// Core is what the hub asks of upstream.
type Core interface {
	Subscribe(room string, feed upstream.Feed)
	Resubscribe(room string)
	Unsubscribe(room string)
	Enter(room, user, name string)
	Exit(room, user string)
	Crowded(room string, crowded bool)
	ReadHistory(ctx context.Context, req *rpc.HistoryRequest) (*rpc.HistoryPage, error)
	Head(ctx context.Context, room string) (*rpc.HeadResponse, error)
}

// Config bounds the hub.
type Config struct {
	TailBytes      int           `yaml:"tail_bytes" help:"bytes of one room's tail"`
	TailMessages   int           `yaml:"tail_messages" help:"messages of one room's tail"`
	TotalTailBytes int64         `yaml:"total_tail_bytes" help:"bytes of all tails; beyond it tails shrink with every block"`
	Behind         int           `yaml:"behind" help:"messages behind which a member is told of a gap"`
	Linger         time.Duration `yaml:"linger" help:"how long an empty room keeps its tail"`
	JoinTimeout    time.Duration `yaml:"join_timeout" help:"how long a join waits for core"`
	Readers        int           `yaml:"readers" help:"history pages read at the same time for members that are behind"`
	Workers        int           `yaml:"workers" help:"goroutines that write to connections"`
}

// minTailBytes is what a tail keeps under pressure.
const minTailBytes = 16 << 10

// Default is the configuration when nothing is set.
func Default() Config { return Config{}.withDefaults() }

func (c Config) withDefaults() Config {
	set(&c.TailBytes, 1<<20)
	set(&c.TailMessages, 2000)
	set(&c.TotalTailBytes, 512<<20)
	set(&c.Behind, 10_000)
	set(&c.Linger, 30*time.Second)
	set(&c.JoinTimeout, 5*time.Second)
	set(&c.Readers, 16)
	set(&c.Workers, runtime.GOMAXPROCS(0))
	return c
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// A Hub is the rooms of one edge.
type Hub struct {
	cfg     Config
	core    Core
	log     *slog.Logger
	met     *metrics
	workers int

	clock atomic.Int64 // Unix nanoseconds, as of a tick ago: for heartbeats, not for latencies
	tails atomic.Int64 // bytes of all tails
	work  *queue[task]
	reads *queue[job]

	mu    sync.Mutex // guards rooms, and refs and empty of each
	rooms map[string]*Room

	lateMu sync.Mutex // guards the fields below
	late   map[*Room]struct{}
	again  []*Member // reads to be tried again

	cancel context.CancelFunc
	done   sync.WaitGroup
}

// New starts the hub's workers; Close ends them.
func New(cfg Config, core Core, log *slog.Logger, reg prometheus.Registerer) (*Hub, error) {
	cfg = cfg.withDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	h := &Hub{
		cfg: cfg, core: core, log: log, workers: cfg.Workers, cancel: cancel,
		work: newQueue[task](), reads: newQueue[job](),
		rooms: make(map[string]*Room), late: make(map[*Room]struct{}),
	}
	met, err := newMetrics(reg, h)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("register hub metrics: %w", err)
	}
	h.met = met
	h.clock.Store(time.Now().UnixNano())
	for range cfg.Workers {
		h.done.Go(func() { h.work.run(task.run) })
	}
	for range cfg.Readers {
		h.done.Go(func() { h.reads.run(func(j job) { h.serve(ctx, j) }) })
	}
	h.done.Go(func() { h.keep(ctx) })
	return h, nil
}

// Close stops writing and waits for what the hub started. Members get nothing
// more.
func (h *Hub) Close() {
	h.cancel()
	h.work.close()
	h.reads.close()
	h.done.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.rooms {
		r.close()
	}
}

// Room returns a room that has members here, or nil.
func (h *Hub) Room(name string) *Room {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rooms[name]
}

func (h *Hub) now() time.Time { return time.Now() }

// A task is a room to flush, a flush to help with, or a join to answer.
type task struct {
	room  *Room
	flush *flush
	join  *Member
}

func (t task) run() {
	switch {
	case t.flush != nil:
		t.flush.work()
	case t.join != nil:
		t.join.room.hub.answer(t.join)
	default:
		t.room.flush()
	}
}

// Times of keep.
const (
	clockEvery = 100 * time.Millisecond
	retryEvery = 500 * time.Millisecond
	sweepEvery = time.Second
)

// keep moves the clock and does what time alone asks for.
func (h *Hub) keep(ctx context.Context) {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	var retried, swept time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			h.clock.Store(now.UnixNano())
			h.pushLate(now)
			if now.Sub(retried) >= retryEvery {
				retried = now
				h.readAgain()
			}
			if now.Sub(swept) >= sweepEvery {
				swept = now
				h.sweep(now)
			}
		}
	}
}

// later has a room's presence pushed when its time has come.
func (h *Hub) later(r *Room) {
	h.lateMu.Lock()
	h.late[r] = struct{}{}
	h.lateMu.Unlock()
}

func (h *Hub) pushLate(now time.Time) {
	h.lateMu.Lock()
	late := make([]*Room, 0, len(h.late))
	for r := range h.late {
		late = append(late, r)
	}
	clear(h.late)
	h.lateMu.Unlock()
	for _, r := range late {
		r.pushPresence(now)
	}
}

// sweep drops rooms that have been empty for long, and refuses joins that have
// waited for core for too long.
func (h *Hub) sweep(now time.Time) {
	var overdue []*Member
	h.mu.Lock()
	for name, r := range h.rooms {
		if r.refs == 0 {
			if now.Sub(r.empty) >= h.cfg.Linger {
				delete(h.rooms, name)
				r.close()
				h.core.Unsubscribe(name)
			}
			continue
		}
		r.mu.Lock()
		if len(r.waiters) > 0 && now.Sub(r.since) >= h.cfg.JoinTimeout {
			overdue = append(overdue, r.waiters...)
			r.waiters = nil
		}
		r.mu.Unlock()
	}
	h.mu.Unlock()
	for _, m := range overdue {
		h.fail(m, errNoCore)
	}
}

// close ends a room that nobody is in. Caller holds hub.mu.
func (r *Room) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.hub.tails.Add(-int64(r.tail.bytes))
	r.tail.reset(0)
	if r.timer != nil {
		r.timer.Stop()
	}
}

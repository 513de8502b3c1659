package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/client"
	"github.com/barrage-im/barrage/protocol/history"
)

func numericDate(t time.Time) *jwt.NumericDate { return jwt.NewNumericDate(t) }

// A load is publishers and readers on SDK clients, and the history of what
// each of them sent, got acknowledged and received.
type load struct {
	cluster *cluster
	record  *history.Recorder
	rooms   []string
	begin   time.Time

	clients []*client.Client
	members []*member

	acked, sent atomic.Int64
	options     loadOptions
	stop        chan struct{} // nil while nobody publishes
	publishers  sync.WaitGroup
	behind      []string // who did not catch up at the end
}

// A member is one client in one room: it reads and publishes.
type member struct {
	name  string
	room  string
	conn  *client.Client
	in    *client.Room
	count int // messages sent
}

type loadOptions struct {
	rooms   int
	perRoom int
	pause   time.Duration // between two messages of one publisher, on average
	seed    uint64
	prefix  string // of room and user names
	// patience is how long readers may take to catch up at the end; 0: settle.
	patience time.Duration
}

// startLoad joins everybody, then lets everybody publish until finish.
func startLoad(t *testing.T, c *cluster, o loadOptions) *load {
	t.Helper()
	begin := time.Now()
	l := &load{cluster: c, begin: begin, options: o, record: history.NewRecorder(func() int64 { return int64(time.Since(begin)) })}
	for r := range o.rooms {
		l.rooms = append(l.rooms, fmt.Sprintf("%sroom-%d", o.prefix, r))
	}
	t.Cleanup(l.close)
	l.join(t, o)
	l.resume()
	return l
}

// resume lets everybody publish until quiesce.
func (l *load) resume() {
	stop := make(chan struct{})
	l.stop = stop
	for i, m := range l.members {
		source := rand.New(rand.NewPCG(l.options.seed, uint64(i)))
		l.publishers.Go(func() { l.publish(m, source, stop) })
	}
}

func (l *load) join(t *testing.T, o loadOptions) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), settle)
	defer cancel()
	all := make([]*member, o.rooms*o.perRoom)
	var wg sync.WaitGroup
	errs := make(chan error, len(all))
	gate := make(chan struct{}, 32)
	for i := range all {
		wg.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			m, err := l.enter(ctx, fmt.Sprintf("%suser-%d", o.prefix, i), l.rooms[i%len(l.rooms)], i)
			if err != nil {
				errs <- err
				return
			}
			all[i] = m
		})
	}
	wg.Wait()
	for _, m := range all {
		if m != nil {
			l.members, l.clients = append(l.members, m), append(l.clients, m.conn)
		}
	}
	select {
	case err := <-errs:
		t.Fatal(err)
	default:
	}
}

func (l *load) enter(ctx context.Context, name, room string, i int) (*member, error) {
	n := len(l.cluster.endpoints)
	endpoints := make([]string, n)
	for j := range n {
		endpoints[j] = l.cluster.endpoints[(i+j)%n]
	}
	conn, err := client.Dial(ctx, client.Config{
		Endpoints: endpoints, PublishTimeout: protocol.MaxPublishTimeout,
		Token: func(context.Context) (string, error) { return l.cluster.token(name) },
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	m := &member{name: name, room: room, conn: conn}
	l.record.Add(history.Event{Kind: history.Join, Client: name, Room: room})
	m.in, err = conn.Join(ctx, room, client.JoinOptions{}, client.Events{
		OnMessages: func(list []client.Message) {
			for _, msg := range list {
				l.record.Add(history.Event{Kind: history.Deliver, Client: name, Room: room, Epoch: msg.Epoch, Seq: msg.Seq, ID: msg.Text})
			}
		},
		OnGap: func(g client.Gap) {
			l.record.Add(history.Event{Kind: history.Gap, Client: name, Room: room, Epoch: g.Epoch, First: g.First, Last: g.Last, Reason: g.Reason})
		},
		OnState: func(s client.RoomState) {
			if s.Joined {
				l.record.Add(history.Event{Kind: history.Reconnect, Client: name, Room: room})
			}
		},
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s joins %s: %w", name, room, err), conn.Close())
	}
	return m, nil
}

// publish sends until told to stop. It pipelines, and retries blindly under
// the same key whatever has become of the attempt before.
func (l *load) publish(m *member, source *rand.Rand, stop <-chan struct{}) {
	ctx := context.Background()
	var answers sync.WaitGroup
	defer answers.Wait()
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(source.ExpFloat64() * float64(l.options.pause))):
		}
		msg := l.next(m)
		id := msg.Key
		answers.Add(1)
		err := m.in.PublishAsync(msg, func(ack client.Ack, err error) {
			if errors.Is(err, client.ErrOutcomeUnknown) {
				answers.Go(func() { // blind retry, once more
					ack, err := m.in.Publish(ctx, msg)
					l.settle(m, id, ack, err)
				})
			} else {
				l.settle(m, id, ack, err)
			}
			answers.Done()
		})
		if err != nil {
			l.settle(m, id, client.Ack{}, err)
			answers.Done()
		}
	}
}

// next makes a member's next message, and records that it is sent.
func (l *load) next(m *member) client.Message {
	m.count++
	id := fmt.Sprintf("%s/%d", m.name, m.count)
	l.record.Add(history.Event{Kind: history.Send, Client: m.name, Room: m.room, User: m.name, Key: id, ID: id})
	l.sent.Add(1)
	return client.Message{Key: id, Kind: "chat", Text: id}
}

func (l *load) settle(m *member, id string, ack client.Ack, err error) {
	e := history.Event{Kind: history.Ack, Client: m.name, Room: m.room, User: m.name, Key: id, ID: id, Seq: ack.Seq, Epoch: ack.Epoch}
	var refused *protocol.Error
	switch {
	case err == nil:
		l.acked.Add(1)
	case errors.Is(err, client.ErrOutcomeUnknown):
		e = history.Event{Kind: history.Unknown, Client: m.name, Room: m.room, ID: id}
	case errors.As(err, &refused), errors.Is(err, client.ErrNotSent), errors.Is(err, client.ErrFull):
		e = history.Event{Kind: history.Refused, Client: m.name, Room: m.room, ID: id}
	default:
		e = history.Event{Kind: history.Unknown, Client: m.name, Room: m.room, ID: id}
	}
	l.record.Add(e)
}

// quiesce stops the publishers and waits for their last answers.
func (l *load) quiesce(t *testing.T) {
	t.Helper()
	if l.stop == nil {
		return
	}
	close(l.stop)
	l.stop = nil
	done := make(chan struct{})
	go func() { l.publishers.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(2*protocol.MaxPublishTimeout + settle):
		t.Fatal("publishers have no answer long after their publishes have expired")
	}
}

// finish checks what everybody saw, and keeps it when something is wrong.
func (l *load) finish(t *testing.T) *history.Report {
	t.Helper()
	events := l.complete(t)
	report := history.Check(events)
	t.Logf("%d messages sent, %d acknowledged, %d events; %s", l.sent.Load(), l.acked.Load(), len(events), report)
	if len(l.behind) > 0 {
		t.Errorf("who never came to the end of the log: %v", l.behind)
	}
	if !report.OK() {
		l.keep(t, events)
	}
	return report
}

// complete lets everybody catch up, reads the final logs, and returns the
// history.
func (l *load) complete(t *testing.T) []history.Event {
	t.Helper()
	l.quiesce(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*settle)
	defer cancel()
	heads := l.lastWords(t, ctx)
	l.catchUp(t, heads)
	for i, room := range l.rooms {
		l.readLog(t, ctx, l.members[i%len(l.members)].conn, room, heads[room])
	}
	return l.record.Events()
}

// lastWords publishes one more message in every room and returns its seq: the
// heads of the logs, which nobody can be asked for, since replicas may lag.
func (l *load) lastWords(t *testing.T, ctx context.Context) map[string]uint64 {
	t.Helper()
	heads := map[string]uint64{}
	for i, room := range l.rooms {
		m := l.members[i]
		msg := l.next(m)
		l.cluster.eventually(t, ctx, "publish the last words in "+room, func() error {
			ack, err := m.in.Publish(ctx, msg)
			if err == nil {
				l.settle(m, msg.Key, ack, nil)
				heads[room] = ack.Seq
			}
			return err
		})
	}
	return heads
}

// catchUp gives every member time to come to the head of its room.
func (l *load) catchUp(t *testing.T, heads map[string]uint64) {
	t.Helper()
	deadline := time.Now().Add(cmp.Or(l.options.patience, settle))
	for _, m := range l.members {
		for m.in.Position().Seq < heads[m.room] && time.Now().Before(deadline) {
			time.Sleep(20 * time.Millisecond) // real processes, real time
		}
		if at := m.in.Position(); at.Seq < heads[m.room] {
			l.behind = append(l.behind, fmt.Sprintf("%s (at %d of %d, %+v)", m.name, at.Seq, heads[m.room], m.conn.State()))
		}
		l.record.Add(history.Event{Kind: history.End, Client: m.name, Room: m.room})
	}
}

// readLog reads a room's history from a replica that has come to head.
func (l *load) readLog(t *testing.T, ctx context.Context, conn *client.Client, room string, head uint64) {
	t.Helper()
	from := uint64(1)
	for {
		var page client.Page
		l.cluster.eventually(t, ctx, fmt.Sprintf("read %s from %d", room, from), func() (err error) {
			page, err = conn.History(ctx, room, client.HistoryOptions{From: from, Limit: protocol.MaxHistory})
			if err == nil && page.Head < head {
				err = fmt.Errorf("the replica is at %d, the head is %d", page.Head, head)
			}
			return err
		})
		if from == 1 {
			l.record.Add(history.Event{Kind: history.Log, Room: room, Epoch: page.Epoch, First: page.First, Last: page.Head})
		}
		for _, m := range page.Messages {
			l.record.Add(history.Event{Kind: history.Final, Room: room, Epoch: page.Epoch, Seq: m.Seq, ID: m.Text})
			from = m.Seq + 1
		}
		if !page.More || len(page.Messages) == 0 {
			return
		}
	}
}

// keep leaves the history of a failed run where it can be looked at.
func (l *load) keep(t *testing.T, events []history.Event) {
	t.Helper()
	path := filepath.Join(os.TempDir(), fmt.Sprintf("barrage-history-%d.jsonl", time.Now().UnixNano()))
	f, err := os.Create(path)
	if err != nil {
		t.Log(err)
		return
	}
	if err := errors.Join(history.Encode(f, events), f.Close()); err != nil {
		t.Log(err)
	}
	t.Logf("the history is in %s", path)
}

func (l *load) close() {
	var wg sync.WaitGroup
	for _, c := range l.clients {
		wg.Go(func() { _ = c.Close() })
	}
	wg.Wait()
}

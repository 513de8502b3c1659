package edgenode

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/barrage-im/barrage/edge-node/coretest"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/client"
	"github.com/barrage-im/barrage/protocol/rpc"
	"github.com/barrage-im/barrage/protocol/wire"
)

// A checker is an external check of the test's.
type checker struct {
	rpc.UnimplementedHookServer
	check func(context.Context, *rpc.CheckRequest) (*rpc.CheckResponse, error)
}

func (c *checker) Check(ctx context.Context, req *rpc.CheckRequest) (*rpc.CheckResponse, error) {
	return c.check(ctx, req)
}

func says(verdict string) (*rpc.CheckResponse, error) {
	return &rpc.CheckResponse{Verdict: verdict}, nil
}

// checked starts an edge that has an external check; mode is the rooms' policy.
func checked(t *testing.T, mode string, check func(context.Context, *rpc.CheckRequest) (*rpc.CheckResponse, error), change ...func(*Config)) (*coretest.Core, *Edge) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	rpc.RegisterHookServer(server, &checker{check: check})
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(ln)
	}()
	t.Cleanup(func() { server.Stop(); <-served })
	core := startCore(t)
	e := screened(t, core, append([]func(*Config){func(c *Config) {
		c.Filter.Hook.Address, c.Filter.Hook.Deadline = ln.Addr().String(), 4*time.Second
	}}, change...)...)
	setPolicy(t, core, e, func(p *rpc.Policy) { p.Hook = mode })
	return core, e
}

func TestTheStrongerOfHookAndRulesCounts(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]*rpc.CheckRequest{}
	core, e := checked(t, "closed", func(_ context.Context, req *rpc.CheckRequest) (*rpc.CheckResponse, error) {
		mu.Lock()
		defer mu.Unlock()
		asked[req.GetText()] = req
		word, _, _ := strings.Cut(req.GetText(), " ")
		res := &rpc.CheckResponse{Verdict: word, Reason: "because", Categories: []string{"model"}}
		if word == "mask" {
			res.Text = "the hook's words, maskword"
		}
		if word == "nothing" {
			res.Verdict = "mask" // without saying what
		}
		return res, nil
	})
	ann := enter(t, e, "tcp", "ann")
	feed := protocol.FeedRoom("lobby")
	items := 0
	next := func() (*wire.Message, map[string]any) {
		items++
		return item(t, core, feed, items-1)
	}
	say := func(text string) *wire.ServerFrame {
		return ann.call(publish("lobby", strings.ReplaceAll(text, " ", "-"), text))
	}

	if f := say("pass on"); f.GetPublished() == nil {
		t.Errorf("pass: %v", f)
	}
	if f := say("block this"); code(f) != protocol.Blocked {
		t.Errorf("block: %v", f)
	}
	if m, data := next(); m.GetKind() != "blocked" || data["set"] != "hook" || data["reason"] != "because" || fmt.Sprint(data["categories"]) != "[model]" {
		t.Errorf("%v %v", m, data)
	}
	if f := say("hold this"); code(f) != protocol.Held {
		t.Errorf("hold: %v", f)
	}
	if m, _ := next(); m.GetKind() != "held" || m.GetText() != "hold this" {
		t.Errorf("%v", m)
	}
	if p := say("mask this").GetPublished(); p.GetVerdict() != "mask" || p.GetText() != "the hook's words, ********" {
		t.Errorf("mask: %v", p)
	}
	if f := say("nothing to mask"); code(f) != protocol.Unchecked {
		t.Errorf("a mask of nothing: %v", f)
	}
	// Weaker than our own rules.
	if p := say("pass maskword").GetPublished(); p.GetText() != "pass ********" {
		t.Errorf("own mask: %v", p)
	}
	if f := say("pass flagword"); f.GetPublished() == nil {
		t.Errorf("own flag: %v", f)
	}
	if m, _ := next(); m.GetKind() != "flagged" || m.GetText() != "pass flagword" {
		t.Errorf("%v", m)
	}
	// What our own rules stop is not asked about.
	if f := say("pass holdword"); code(f) != protocol.Held {
		t.Errorf("own hold: %v", f)
	}
	mu.Lock()
	defer mu.Unlock()
	if asked["pass holdword"] != nil {
		t.Error("asked about a message that is held anyway")
	}
	if req := asked["pass flagword"]; req.GetVerdict() != "flag" || req.GetRoom() != "lobby" || req.GetUser() == "" || req.GetRegion() != "eu" || req.GetDeadlineMs() != 4000 || req.GetKey() == "" {
		t.Errorf("asked: %v", req)
	}
	faults(t, core)
}

func TestNothingOvertakesAMessageThatWaits(t *testing.T) {
	release := make(chan struct{})
	core, e := checked(t, "closed", func(ctx context.Context, req *rpc.CheckRequest) (*rpc.CheckResponse, error) {
		if req.GetText() == "slow" {
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
		return says("pass")
	})
	ann := enter(t, e, "tcp", "ann")
	var ids []uint64
	for n, text := range []string{"slow", "two", "maskword", "blockword", "holdword", "six"} {
		ids = append(ids, ann.send(ordered("lobby", fmt.Sprint("k", n), text, uint64(n+1))))
	}
	if f := ann.reply(ids[3]); code(f) != protocol.Blocked {
		t.Errorf("what is refused need not wait: %v", f)
	}
	// Other rooms and other people do not wait.
	if f := ann.call(publish("garden", "k", "quick")); f.GetPublished() == nil {
		t.Errorf("another room: %v", f)
	}
	if f := enter(t, e, "tcp", "bob").call(publish("lobby", "k", "quick")); f.GetPublished() == nil {
		t.Errorf("another sender: %v", f)
	}
	if got := fmt.Sprint(core.Texts("lobby")); got != "[quick]" {
		t.Fatalf("the room holds %s", got)
	}
	close(release)
	for n, want := range map[int]protocol.Code{0: 0, 1: 0, 2: 0, 4: protocol.Held, 5: 0} {
		if f := ann.reply(ids[n]); code(f) != want {
			t.Errorf("publish %d: %v", n, f)
		}
	}
	if got := fmt.Sprint(core.Texts("lobby")); got != "[quick slow two ******** six]" {
		t.Errorf("the room holds %s", got)
	}
	faults(t, core)
}

func TestWhatWaitsCountsAsOutstanding(t *testing.T) {
	release := make(chan struct{})
	_, e := checked(t, "open", func(ctx context.Context, req *rpc.CheckRequest) (*rpc.CheckResponse, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return says("pass")
	}, func(c *Config) { c.Limits.Outstanding = 3 })
	ann := enter(t, e, "tcp", "ann")
	var ids []uint64
	for n := range 3 {
		ids = append(ids, ann.send(publish("lobby", fmt.Sprint("k", n), "text")))
	}
	if f := ann.call(publish("lobby", "k3", "text")); code(f) != protocol.Overloaded {
		t.Errorf("one too many: %v", f)
	}
	close(release)
	for _, id := range ids {
		if f := ann.reply(id); f.GetPublished() == nil {
			t.Errorf("%v", f)
		}
	}
	if f := ann.call(publish("lobby", "k3", "text")); f.GetPublished() == nil {
		t.Errorf("afterwards: %v", f)
	}
}

// What core refuses for now while others wait behind it is not overtaken by
// them.
func TestARefusalByCoreReachesWhatWaits(t *testing.T) {
	waits, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	core, e := checked(t, "closed", func(ctx context.Context, req *rpc.CheckRequest) (*rpc.CheckResponse, error) {
		if req.GetText() == "slow" {
			once.Do(func() { close(waits) })
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
		return says("pass")
	})
	refused := make(chan struct{})
	refuse := true
	core.Refuse(func(p *rpc.Publish) protocol.Code {
		if p.GetKey() == "k1" && refuse {
			refuse = false
			<-refused
			return protocol.RateLimited
		}
		return protocol.OK
	})
	ann := enter(t, e, "tcp", "ann")
	first := ann.send(ordered("lobby", "k1", "first", 1))
	eventually(t, "core has the first", func() bool { return e.core.Unanswered() == 1 })
	slow := ann.send(ordered("lobby", "k2", "slow", 2))
	<-waits
	close(refused)
	if f := ann.reply(first); code(f) != protocol.RateLimited {
		t.Fatalf("first: %v", f)
	}
	if f := ann.reply(slow); code(f) != protocol.OutOfOrder {
		t.Fatalf("slow: %v", f)
	}
	close(release)
	for n, text := range []string{"first", "slow"} {
		if f := ann.call(ordered("lobby", fmt.Sprint("k", n+1), text, uint64(n+1))); f.GetPublished() == nil {
			t.Errorf("%s: %v", text, f)
		}
	}
	if got := fmt.Sprint(core.Texts("lobby")); got != "[first slow]" {
		t.Errorf("the room holds %s", got)
	}
	faults(t, core)
}

func TestADeadHookOpenAndClosed(t *testing.T) {
	dead := func(c *Config) { c.Filter.Hook.Deadline = 20 * time.Millisecond }
	never := func(ctx context.Context, _ *rpc.CheckRequest) (*rpc.CheckResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	t.Run("open", func(t *testing.T) {
		core, e := checked(t, "open", never, dead)
		ann := enter(t, e, "tcp", "ann")
		began := time.Now()
		const many = 200
		for n := range many {
			if f := ann.call(ordered("lobby", fmt.Sprint("k", n), fmt.Sprint(n), uint64(n+1))); f.GetPublished() == nil {
				t.Fatal(f)
			}
		}
		if took := time.Since(began); took > many*20*time.Millisecond/2 {
			t.Errorf("%d messages took %v: each waits for the dead hook", many, took)
		}
		if f := ann.call(publish("lobby", "b", "blockword")); code(f) != protocol.Blocked {
			t.Errorf("our own rules: %v", f)
		}
		if n := len(core.Texts("lobby")); n != many {
			t.Errorf("the room holds %d messages", n)
		}
	})
	t.Run("closed", func(t *testing.T) {
		core, e := checked(t, "closed", never, dead)
		ann := enter(t, e, "tcp", "ann")
		for range 20 { // before and after the breaker opens
			one := ann.send(ordered("lobby", "k1", "one", 1))
			two := ann.send(ordered("lobby", "k2", "two", 2))
			if f := ann.reply(one); code(f) != protocol.Unchecked || f.GetError().GetRetryAfterMs() == 0 {
				t.Fatalf("one: %v", f)
			}
			if f := ann.reply(two); code(f) != protocol.OutOfOrder {
				t.Fatalf("two: %v", f)
			}
		}
		if n := len(core.Texts("lobby")); n != 0 {
			t.Errorf("%d messages passed unchecked", n)
		}
	})
	t.Run("none is configured", func(t *testing.T) {
		core, e := checked(t, "closed", never, func(c *Config) { c.Filter.Hook.Address = "" })
		ann := enter(t, e, "tcp", "ann")
		if f := ann.call(publish("lobby", "k1", "one")); code(f) != protocol.Unchecked || f.GetError().GetRetryAfterMs() == 0 {
			t.Errorf("closed: %v", f)
		}
		setPolicy(t, core, e, func(p *rpc.Policy) { p.Hook = "open" })
		if f := ann.call(publish("lobby", "k1", "one")); f.GetPublished() == nil {
			t.Errorf("open: %v", f)
		}
	})
}

func TestTheEndOfASessionEndsItsCalls(t *testing.T) {
	asked, ended := make(chan struct{}, 8), make(chan struct{}, 8)
	core, e := checked(t, "closed", func(ctx context.Context, _ *rpc.CheckRequest) (*rpc.CheckResponse, error) {
		asked <- struct{}{}
		<-ctx.Done()
		ended <- struct{}{}
		return nil, ctx.Err()
	})
	ann := enter(t, e, "tcp", "ann")
	began := time.Now()
	for n := range 3 {
		ann.send(publish("lobby", fmt.Sprint("k", n), "text"))
	}
	for range 3 {
		<-asked
	}
	_ = ann.conn.Close()
	for range 3 {
		<-ended
	}
	if took := time.Since(began); took > 3*time.Second { // the deadline is 4 s
		t.Errorf("the calls went on for %v", took)
	}
	eventually(t, "nobody is connected", func() bool { return e.Sessions() == 0 })
	e.Close()
	if n := len(core.Texts("lobby")); n != 0 {
		t.Errorf("%d unchecked messages were sent", n)
	}
}

// A check that answers late, wrong or not at all, and never the same way twice:
// publishers of the SDK lose nothing and stay in order.
func TestAnUnreliableHookKeepsPublishersInOrder(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(1, 2))
	core, e := checked(t, "closed", func(ctx context.Context, _ *rpc.CheckRequest) (*rpc.CheckResponse, error) {
		mu.Lock()
		n, wait := random.IntN(50), time.Duration(random.IntN(5000))*time.Microsecond
		mu.Unlock()
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		switch n {
		case 0:
			<-ctx.Done()
			return nil, ctx.Err()
		case 1:
			return says("garbage")
		}
		return says("pass")
	}, func(c *Config) { c.Filter.Hook.Deadline = 50 * time.Millisecond })
	const publishers, each = 3, 150
	var publishing sync.WaitGroup
	for i := range publishers {
		name := fmt.Sprint("publisher-", i)
		c := sdk(t, name, e)
		publishing.Go(func() {
			var open sync.WaitGroup
			for n := range each {
				open.Add(1)
				if err := c.PublishAsync("lobby", client.Message{Text: fmt.Sprint(name, " ", n)}, func(_ client.Ack, err error) {
					defer open.Done()
					if err != nil {
						t.Errorf("%s %d: %v", name, n, err)
					}
				}); err != nil {
					t.Errorf("%s %d: %v", name, n, err)
					open.Done()
				}
				time.Sleep(time.Millisecond)
			}
			open.Wait()
		})
	}
	publishing.Wait()
	next := map[string]int{}
	for _, text := range core.Texts("lobby") {
		name, _, _ := strings.Cut(text, " ")
		if want := fmt.Sprint(name, " ", next[name]); text != want {
			t.Fatalf("the log has %q where %q was due", text, want)
		}
		next[name]++
	}
	for name, n := range next {
		if n != each {
			t.Errorf("%s: %d messages of %d", name, n, each)
		}
	}
	faults(t, core)
}

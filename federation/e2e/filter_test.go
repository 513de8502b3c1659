package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/filter/bundle"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/client"
	"github.com/barrage-im/barrage/protocol/pki"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// soon is how long a change of the rules may take from the start of the
// operator's command until every edge in every region follows it.
const soon = 2 * time.Second

// probePause is between two messages of one prober.
const probePause = 15 * time.Millisecond

// A prober publishes some texts in turns, all the time, and keeps what became
// of each message.
type prober struct {
	region string
	viewer *viewer

	mu     sync.Mutex // guards the field below
	probes []*probe
	open   sync.WaitGroup
}

type probe struct {
	word           string
	text           string
	sent, answered time.Time
	seq            uint64
	err            error
}

// start publishes until stop is closed.
func (p *prober) start(words []string, stop <-chan struct{}) {
	p.open.Go(func() {
		tick := time.NewTicker(probePause)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			word := words[n%len(words)]
			m := &probe{word: word, text: fmt.Sprintf("%s, says %s for the %dth time", word, p.region, n), sent: time.Now()}
			p.mu.Lock()
			p.probes = append(p.probes, m)
			p.mu.Unlock()
			p.open.Add(1)
			if err := p.viewer.room.PublishAsync(client.Message{Text: m.text}, func(ack client.Ack, err error) { p.answered(m, ack, err) }); err != nil {
				p.answered(m, client.Ack{}, err)
			}
		}
	})
}

func (p *prober) answered(m *probe, ack client.Ack, err error) {
	p.mu.Lock()
	m.answered, m.seq, m.err = time.Now(), ack.Seq, err
	p.mu.Unlock()
	p.open.Done()
}

// when is when the first message with a word that was sent after a moment had
// the outcome wanted.
func (p *prober) when(word string, after time.Time, want protocol.Code) (at time.Time, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.probes {
		if m.word == word && m.sent.After(after) && !m.answered.IsZero() && codeOf(m.err) == want && (want != protocol.OK || m.err == nil) {
			return m.answered, true
		}
	}
	return at, false
}

// outcomes are the outcomes of a word, in order, each once in a row.
func (p *prober) outcomes(word string) (list []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.probes {
		outcome := "accepted"
		if m.err != nil {
			outcome = m.err.Error()
			if codeOf(m.err) == protocol.Blocked {
				outcome = "blocked"
			}
		}
		if m.word == word && (len(list) == 0 || list[len(list)-1] != outcome) {
			list = append(list, outcome)
		}
	}
	return list
}

// A siege is probers and listeners on the edges of all regions.
type siege struct {
	dev       *dev
	probers   []*prober
	listeners []*viewer
	stop      chan struct{}
}

func (d *dev) besiege(t *testing.T, room string, words ...string) *siege {
	t.Helper()
	s := &siege{dev: d, stop: make(chan struct{})}
	for i := range d.pages {
		region := d.regionOf(t, i)
		s.probers = append(s.probers, &prober{region: region, viewer: d.enter(t, i, "prober-"+region, room)})
		s.listeners = append(s.listeners, d.enter(t, i, "listener-"+region, room))
	}
	for _, p := range s.probers {
		p.start(words, s.stop)
	}
	t.Cleanup(sync.OnceFunc(func() {
		select {
		case <-s.stop:
		default:
			close(s.stop)
		}
	}))
	return s
}

func (d *dev) regionOf(t *testing.T, i int) string {
	t.Helper()
	v := connect(t, d.endpoint(i), "asks", anonymous)
	defer v.leave()
	return v.conn.Session().Region
}

// An expectation is what a word is to meet.
type expectation struct {
	word string
	code protocol.Code // OK: it is accepted
}

// follows runs a command and measures how long each edge takes, from its start,
// until words meet there what they should.
func (s *siege) follows(t *testing.T, what string, command func(), wants ...expectation) {
	t.Helper()
	began, logged := time.Now(), len(s.dev.said(t))
	command()
	took := time.Since(began)
	late := false
	for _, want := range wants {
		var line []string
		for _, p := range s.probers {
			var at time.Time
			for ok := false; !ok; {
				if at, ok = p.when(want.word, began, want.code); !ok && time.Since(began) > settle {
					t.Fatalf("%s: %q in %s meets %v, not %s", what, want.word, p.region, p.outcomes(want.word), want.code)
				}
				time.Sleep(5 * time.Millisecond) // real processes, real time
			}
			line = append(line, fmt.Sprintf("%s %d ms", p.region, at.Sub(began).Milliseconds()))
			late = late || at.Sub(began) > soon
		}
		t.Logf("%s: %q is %s, from the start of the command, after %s (the command took %d ms)",
			what, want.word, want.code, strings.Join(line, ", "), took.Milliseconds())
	}
	if !late {
		return
	}
	// On a machine that starves the regions, control elects another leader now
	// and then: rules wait for that as everything does.
	log := s.dev.said(t)[logged:]
	if election.MatchString(log) {
		t.Logf("%s: later than %v, as control was without a leader:\n%s", what, soon, strings.Join(election.FindAllString(log, -1), "\n"))
		return
	}
	t.Errorf("%s: not everybody follows within %v; the log says meanwhile:\n%s", what, soon, log)
}

// election is a line of the log of a change of control's leader.
var election = regexp.MustCompile(`(?m)^.*(msg=leading|msg="?(heartbeat timeout|failed to contact quorum)).* shard=0\b.*$`)

// lift ends it, and checks what everybody saw: nothing of what was refused, all
// of the rest, and no edge went back and forth.
func (s *siege) lift(t *testing.T, outcomes map[string][]string) {
	t.Helper()
	close(s.stop)
	refused, last, total := map[string]bool{}, uint64(0), 0
	for _, p := range s.probers {
		p.open.Wait()
		for word, want := range outcomes {
			if got := p.outcomes(word); !slices.Equal(got, want) {
				t.Errorf("%s: %q met %q, want %q", p.region, word, got, want)
			}
		}
		for _, m := range p.probes {
			total++
			last = max(last, m.seq)
			if m.err != nil {
				refused[m.text] = true
			}
		}
	}
	viewers := slices.Clone(s.listeners)
	for _, p := range s.probers {
		viewers = append(viewers, p.viewer)
	}
	for _, v := range viewers {
		v.hears(t, last)
		v.undisturbed(t)
		if len(v.got) != total-len(refused) {
			t.Errorf("%s at %s received %d messages, %d of %d were accepted", v.name, v.endpoint, len(v.got), total-len(refused), total)
		}
		for _, m := range v.got {
			if refused[m.Text] {
				t.Errorf("%s at %s received %q, which was refused", v.name, v.endpoint, m.Text)
			}
		}
	}
	t.Logf("%d messages, %d of them refused, %d clients without a disturbance", total, len(refused), len(viewers))
}

// A list that changes through the command line is followed by every edge of
// three regions within two seconds, while everybody talks on.
func TestRulesReachEveryRegion(t *testing.T) {
	if testing.Short() {
		t.Skip("three regions for some seconds")
	}
	d := startDev(t, "--regions", "eu,us,ap", "--log-level", "info")
	d.moderator(t)
	const clean, first, second = "all is well", "zounds", "gadzooks"
	s := d.besiege(t, "arena", clean, first, second)
	for _, p := range s.probers {
		p.viewer.hears(t, 30)
	}
	push := func(args ...string) func() {
		return func() { d.operator.run(t, append([]string{"filter", "push"}, args...)...) }
	}
	s.follows(t, "a list", push(wordList(t, "block", first)), expectation{first, protocol.Blocked})
	says(t, d.operator.run(t, "filter", "status"), "in force  1 ", "edge-eu", "edge-us", "edge-ap")
	s.follows(t, "a changed list", push(wordList(t, "block", second)), expectation{second, protocol.Blocked}, expectation{first, protocol.OK})

	d.refusedRules(t, second)
	d.wildRules(t)

	both := wordList(t, "block", first, second)
	s.follows(t, "on trial", push(both, "--mode", "report"), expectation{second, protocol.OK})
	s.follows(t, "enforced", push(both), expectation{first, protocol.Blocked}, expectation{second, protocol.Blocked})
	s.follows(t, "removed", func() { d.operator.run(t, "filter", "remove", "default") }, expectation{first, protocol.OK}, expectation{second, protocol.OK})
	s.lift(t, map[string][]string{
		clean:  {"accepted"},
		first:  {"accepted", "blocked", "accepted", "blocked", "accepted"},
		second: {"accepted", "blocked", "accepted", "blocked", "accepted"},
	})
}

// refusedRules pushes what no edge may take. held is a word that stays blocked.
func (d *dev) refusedRules(t *testing.T, held string) {
	t.Helper()
	o, words := d.operator, wordList(t, "block", "innocent")

	keys := t.TempDir()
	if out, err := o.local(t, "filter", "key", "--out", keys); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	o.fail(t, []string{"3 of 3 edges refuse", "What they had stays"}, "filter", "push", words, "--key", filepath.Join(keys, "filter.key"))

	rules := filepath.Join(t.TempDir(), "rules.bundle")
	if out, err := o.local(t, "filter", "compile", words, "--key", filepath.Join(o.dir, "filter.key"), "--version", "90", "-o", rules); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	good, err := os.ReadFile(rules)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(good)
	damaged[len(damaged)/2] ^= 1
	o.fail(t, []string{"damaged"}, "filter", "push", file(t, "damaged.bundle", string(damaged)))
	unsigned, err := bundle.Make(bundle.Manifest{Name: "default", Version: 91}, []*filter.List{{Name: "w", Entries: []filter.Entry{{Word: "innocent", Severity: 4, Action: filter.Block}}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	o.fail(t, []string{"not signed"}, "filter", "push", file(t, "unsigned.bundle", string(unsigned)))

	// Past the command, which looks at them first: edges do, too.
	for i, data := range [][]byte{damaged, unsigned} {
		version := uint64(92 + i)
		d.pushRaw(t, version, data)
		d.edgesRefuse(t, version)
	}
	for i := range d.pages {
		v := d.enter(t, i, "tester", "quiet-arena")
		v.refused(t, held+"!", protocol.Blocked)
		v.say(t, "an innocent remark")
		v.leave()
	}
}

// pushRaw stores a bundle as it is.
func (d *dev) pushRaw(t *testing.T, version uint64, data []byte) {
	t.Helper()
	creds, err := pki.Load(d.operator.dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("passthrough:///"+d.operator.server, grpc.WithTransportCredentials(credentials.NewTLS(creds.ClientConfig(pki.Core, "h2"))))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), commandTime)
	defer cancel()
	stream, err := rpc.NewOperatorClient(conn).PushFilter(ctx)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(data)
	put := &rpc.PutFilter{Name: "default", Stage: &rpc.FilterStage{Version: version, Digest: digest[:], Size: uint32(len(data)), Mode: "enforce"}}
	err = errors.Join(stream.Send(&rpc.PushFilterRequest{Frame: &rpc.PushFilterRequest_Put{Put: put}}),
		stream.Send(&rpc.PushFilterRequest{Frame: &rpc.PushFilterRequest_Data{Data: data}}))
	res, closed := stream.CloseAndRecv()
	if err := errors.Join(err, closed); err != nil || res.GetCode() != 0 {
		t.Fatalf("push %d: %v %v", version, err, res)
	}
}

// edgesRefuse waits until all edges say that they refuse a version, and why.
func (d *dev) edgesRefuse(t *testing.T, version uint64) {
	t.Helper()
	for deadline := time.Now().Add(settle); ; {
		var status struct {
			Edges []struct {
				Edge, Set, State, Problem string
				Refused                   uint64
			}
		}
		out := d.operator.run(t, "filter", "status", "--json")
		if err := json.Unmarshal([]byte(out), &status); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		refusing := 0
		for _, e := range status.Edges {
			if e.Set == "default" && e.State == "refused" && e.Refused == version && e.Problem != "" {
				refusing++
			}
		}
		if refusing == len(d.pages) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("version %d is not refused everywhere:\n%s", version, out)
		}
	}
}

// wildRules pushes a list that hits ordinary messages, for some rooms only.
func (d *dev) wildRules(t *testing.T) {
	t.Helper()
	wild := wordList(t, "block", "*e*", "的")
	d.operator.fail(t, []string{"3 of 3 edges refuse", "ordinary messages", "--accept-hits"}, "filter", "push", wild, "--set", "wild", "--rooms", "wild-*")
	if n := strings.Count(d.said(t), "reason=hits"); n != len(d.pages) {
		t.Errorf("%d edges log that they refuse a list that hits too much, want %d", n, len(d.pages))
	}
	v := d.enter(t, 1, "tester", "wild-room")
	v.say(t, "hello everybody")
	says(t, d.operator.run(t, "filter", "push", wild, "--set", "wild", "--accept-hits"), "in force")
	v.refused(t, "hello everybody", protocol.Blocked)
	says(t, d.operator.run(t, "filter", "remove", "wild"), "removed")
	for deadline := time.Now().Add(settle); ; {
		if _, err := v.publish(t, "hello everybody"); err == nil {
			break
		} else if codeOf(err) != protocol.Blocked || time.Now().After(deadline) {
			t.Fatalf("after the set was removed: %v", err)
		}
	}
	v.leave()
}

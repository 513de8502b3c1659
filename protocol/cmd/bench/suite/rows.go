package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// A suite is one run.
type suite struct {
	options
	work    string
	stdout  io.Writer
	stderr  io.Writer
	cluster *cluster
	number  int // of clusters so far
	// processors is how many each process of the present row may use; 0: all.
	processors int
}

// result is what both "barrage bench" and the peers report.
type result struct {
	Note           string  `json:"note"`
	Version        string  `json:"version"`
	AckedPerSecond float64 `json:"acknowledged_per_second"`
	CPUPerAck      float64 `json:"server_cpu_us_per_acknowledged"`
	CPUPerDelivery float64 `json:"server_cpu_us_per_delivery"`
	RSSPer         float64 `json:"server_rss_bytes_per_connection"`
	Ack            latency `json:"publish_to_ack"`
	Delivery       latency `json:"publish_to_delivery"`
	Delivered      uint64  `json:"delivered"`
	Expected       uint64  `json:"expected_deliveries"`
	Storm          *struct {
		Members int     `json:"members"`
		LiveMS  float64 `json:"all_live_ms"`
	} `json:"storm"`
}

type latency struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
}

// rows are the tables, in the order of the page. Publishing is measured twice:
// as a server starts on a bare machine, where each process takes all processors
// to be its own, and with one processor each, as in containers with a limit.
var rows = []struct {
	name       string
	processors int
	measure    func(*suite, context.Context) error
}{
	{"publish", 0, (*suite).publish},
	{"publish", 1, (*suite).publish},
	{"spread", 1, (*suite).spread},
	{"follower", 0, (*suite).follower},
	{"fanout", 0, (*suite).fanout},
	{"idle", 0, (*suite).idleRow},
	{"storm", 0, (*suite).storm},
}

// env is what the processes of the present row get.
func (s *suite) env() []string {
	if s.processors == 0 {
		return os.Environ()
	}
	return append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", s.processors))
}

func (s *suite) share() string {
	if s.processors == 0 {
		return "processes share all processors"
	}
	return fmt.Sprintf("GOMAXPROCS=%d for each process", s.processors)
}

func (s *suite) withCluster(ctx context.Context, measure func(*suite, context.Context) error) error {
	s.number++
	dir := filepath.Join(s.work, fmt.Sprintf("cluster%d", s.number))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	if s.cluster, err = startCluster(ctx, s.barrage, dir, log, s.env()); err == nil {
		defer os.RemoveAll(dir)
		defer s.cluster.stop()
		err = measure(s, ctx)
	}
	if err != nil {
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%w\nlast lines of the servers:\n%s", err, text[max(0, len(text)-2000):])
	}
	return nil
}

// bench runs "barrage bench".
func (s *suite) bench(ctx context.Context, args ...string) (result, error) {
	args = append([]string{"bench"}, append(args, "--token-key", s.cluster.key, "--duration", fmt.Sprintf("%ds", s.seconds))...)
	return s.measured(ctx, s.barrage, args)
}

// peer runs one of the peers, unless there are none.
func (s *suite) peer(ctx context.Context, args ...string) (result, error) {
	return s.measured(ctx, s.peers, append(args, "--duration", fmt.Sprintf("%ds", s.seconds), "--warmup", "2s"))
}

func (s *suite) measured(ctx context.Context, program string, args []string) (result, error) {
	fmt.Fprintf(s.stderr, "\n$ %s %s\n", filepath.Base(program), strings.Join(args, " "))
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = s.env(), &out, s.stderr
	if err := cmd.Run(); err != nil {
		return result{}, fmt.Errorf("%s %s: %w", filepath.Base(program), args[0], err)
	}
	var r result
	return r, json.Unmarshal(out.Bytes(), &r)
}

// inTurns measures Barrage and a peer in turns: A, B, A …
func (s *suite) inTurns(ctx context.Context, own, other func(context.Context) (result, error)) (a, b []result, err error) {
	for i := range s.rounds {
		r, err := own(ctx)
		if err != nil {
			return nil, nil, err
		}
		a = append(a, r)
		if i == s.rounds-1 && i > 0 || s.peers == "none" {
			continue
		}
		if r, err = other(ctx); err != nil {
			return nil, nil, err
		}
		b = append(b, r)
	}
	return a, b, nil
}

func (s *suite) publish(ctx context.Context) error {
	a, b, err := s.inTurns(ctx, func(ctx context.Context) (result, error) { return s.saturate(ctx, 1) }, func(ctx context.Context) (result, error) {
		return s.peer(ctx, "jetstream", "--outstanding", "256", "--size", "128", "--dir", s.work)
	})
	if err != nil {
		return err
	}
	s.publishTable(1)
	s.published(a)
	for _, r := range b {
		s.line("nats-server "+r.Version+" JetStream R3, file, "+r.Note, number(r.AckedPerSecond), micro(r.CPUPerAck), milli(r.Ack.P50), milli(r.Ack.P99))
	}
	if len(b) > 0 {
		s.line("**ratio of medians**", fmt.Sprintf("%.1f×", rate(a)/rate(b)), fmt.Sprintf("%.2f×", perAck(a)/perAck(b)), "", "")
	}
	return nil
}

// spread is publish over several rooms, and so over all shards.
func (s *suite) spread(ctx context.Context) error {
	var list []result
	for range s.rounds {
		r, err := s.saturate(ctx, s.rooms)
		if err != nil {
			return err
		}
		list = append(list, r)
	}
	s.publishTable(s.rooms)
	s.published(list)
	return nil
}

func (s *suite) saturate(ctx context.Context, rooms int) (result, error) {
	return s.bench(ctx, "publish", "--server", strings.Join(s.cluster.tcp, ","), "--rooms", fmt.Sprint(rooms), "--outstanding", "256", "--size", "128",
		"--read-back", "--server-pid", pids(s.cluster.cores))
}

func (s *suite) publishTable(rooms int) {
	s.table(fmt.Sprintf("Durable publish: 256 outstanding over %d rooms, 128 B, fsync on a majority of three before the acknowledgement; %s", rooms, s.share()),
		"| | msgs/s | CPU-µs a message, three servers | p50 ms | p99 ms |\n|---|---|---|---|---|")
}

func (s *suite) published(list []result) {
	for _, r := range list {
		s.line("Barrage, SDK → edge → core (CPU of the cores)", number(r.AckedPerSecond), micro(r.CPUPerAck), milli(r.Ack.P50), milli(r.Ack.P99))
	}
}

func (s *suite) follower(ctx context.Context) error {
	s.table("A quiet room (5 messages/s, published at the edge of the leader's region): publish to delivery",
		"| member at | p50 ms | p99 ms |\n|---|---|---|")
	for range s.rounds {
		for i, where := range []string{"the leader's edge", "a follower's edge"} {
			r, err := s.bench(ctx, "fanout", "--members", "1", "--rate", "5", "--server", s.cluster.ws[i], "--publish-server", s.cluster.ws[0])
			if err != nil {
				return err
			}
			s.line(where, milli(r.Delivery.P50), milli(r.Delivery.P99))
		}
	}
	return nil
}

func (s *suite) fanout(ctx context.Context) error {
	members := fmt.Sprint(s.members)
	for _, rate := range []string{"20", "500"} {
		s.table(fmt.Sprintf("Fan-out: one room, %s WebSocket members, %s messages/s of 128 B", members, rate),
			"| | CPU-µs a delivery | p50 ms | p99 ms | delivered |\n|---|---|---|---|---|")
		show := func(who string, list []result) {
			for _, r := range list {
				s.line(who, fmt.Sprintf("%.2f", r.CPUPerDelivery), milli(r.Delivery.P50), milli(r.Delivery.P99), fmt.Sprintf("%d of %d", r.Delivered, r.Expected))
			}
		}
		own := func(ctx context.Context) (result, error) {
			return s.bench(ctx, "fanout", "--members", members, "--rate", rate, "--server", s.cluster.ws[0], "--server-pid", pids(s.cluster.edges[:1]))
		}
		a, nats, err := s.inTurns(ctx, own, func(ctx context.Context) (result, error) {
			return s.peer(ctx, "nats", "--members", members, "--rate", rate)
		})
		if err != nil {
			return err
		}
		show("Barrage edge: ordered, acknowledged durable, with history", a)
		show("nats-server WebSocket", nats)
		if s.peers == "none" {
			continue
		}
		r, err := s.peer(ctx, "centrifuge", "--members", members, "--rate", rate)
		if err != nil {
			return err
		}
		show("centrifuge "+r.Version+" protobuf WebSocket", []result{r})
	}
	return nil
}

func (s *suite) idleRow(ctx context.Context) error {
	r, err := s.bench(ctx, "idle", "--members", "1000", "--rooms", fmt.Sprint(max(1, s.idle/1000)), "--server", s.cluster.ws[0], "--server-pid", pids(s.cluster.edges[:1]))
	if err != nil {
		return err
	}
	s.table(fmt.Sprintf("Idle: %d WebSocket connections in rooms of 1000", s.idle), "| | resident KB a connection |\n|---|---|")
	s.line("Barrage edge", fmt.Sprintf("%.1f", r.RSSPer/1e3))
	return nil
}

func (s *suite) storm(ctx context.Context) error {
	r, err := s.bench(ctx, "storm", "--members", fmt.Sprint(s.members), "--rate", "20", "--server", s.cluster.ws[0])
	if err != nil {
		return err
	}
	s.table("Storm: all members cut at once while 20 messages/s flow; each resumes from its position", "| members | all live after ms | gaps, losses, duplicates |\n|---|---|---|")
	s.line(fmt.Sprint(r.Storm.Members), fmt.Sprintf("%.0f", r.Storm.LiveMS), "0")
	return nil
}

func (s *suite) table(title, head string) { fmt.Fprintf(s.stdout, "\n%s\n\n%s\n", title, head) }

func (s *suite) line(cells ...string) {
	fmt.Fprintf(s.stdout, "| %s |\n", strings.Join(cells, " | "))
}

func number(v float64) string { return fmt.Sprintf("%.0f", v) }
func micro(v float64) string  { return fmt.Sprintf("%.1f", v) }
func milli(v float64) string  { return fmt.Sprintf("%.2f", v) }

func rate(list []result) float64 {
	return median(list, func(r result) float64 { return r.AckedPerSecond })
}

func perAck(list []result) float64 {
	return median(list, func(r result) float64 { return r.CPUPerAck })
}

func median(list []result, of func(result) float64) float64 {
	var values []float64
	for _, r := range list {
		values = append(values, of(r))
	}
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// machine says what it was measured on.
func machine() string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, ok := strings.CutPrefix(line, "model name"); ok {
				model = strings.TrimSpace(strings.TrimLeft(name, "\t :"))
				break
			}
		}
	}
	return fmt.Sprintf("%d × %s, %s, %s/%s", runtime.NumCPU(), model, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// ticks are the processor times of the machine since it started.
type ticks struct{ all, stolen uint64 }

// processorTimes reads them where there is a /proc/stat; elsewhere they are 0.
func processorTimes() (t ticks) {
	const stolen = 7 // user, nice, system, idle, iowait, irq, softirq, steal: see proc(5)
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return t
	}
	line, _, _ := strings.Cut(string(text), "\n")
	for i, field := range strings.Fields(strings.TrimPrefix(line, "cpu ")) {
		n, _ := strconv.ParseUint(field, 10, 64)
		if i <= stolen { // guest times, which follow, are counted already
			t.all += n
		}
		if i == stolen {
			t.stolen = n
		}
	}
	return t
}

// stolenSince is the share of the time since before that other guests of a
// shared machine had.
func (t ticks) stolenSince(before ticks) float64 {
	if t.all <= before.all {
		return 0
	}
	return float64(t.stolen-before.stolen) / float64(t.all-before.all)
}

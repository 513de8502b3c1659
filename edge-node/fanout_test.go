package edgenode

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/barrage-im/barrage/edge-node/coretest"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/transport"
	"github.com/barrage-im/barrage/protocol/wire"
)

// audienceEnv makes a run of the test binary the clients of a benchmark, so
// that their CPU time is not counted: "URL members".
const audienceEnv = "EDGE_TEST_AUDIENCE"

// TestAudience is not a test: it is the other process of BenchmarkFanout.
func TestAudience(t *testing.T) {
	url, count, ok := strings.Cut(os.Getenv(audienceEnv), " ")
	if !ok {
		t.Skip("runs as the benchmark's audience only")
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	var conns []*transport.ClientConn
	for i := range n {
		conn, err := transport.Dial(t.Context(), url, transport.DialOptions{})
		if err != nil {
			t.Fatal(err)
		}
		hello := protocol.AppendClient(nil, protocol.Proto, &wire.ClientFrame{Id: 1, Command: &wire.ClientFrame_Connect{Connect: &wire.Connect{Token: fmt.Sprint("anonymous:user-", i)}}})
		hello = protocol.AppendClient(hello, protocol.Proto, &wire.ClientFrame{Id: 2, Command: &wire.ClientFrame_Join{Join: &wire.Join{Room: "lobby"}}})
		if err := conn.WriteFrames(hello); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := conn.ReadFrame(); err != nil {
				t.Fatal(err)
			}
		}
		conns = append(conns, conn)
		readers.Go(func() {
			for {
				if _, err := conn.ReadFrame(); err != nil {
					return
				}
			}
		})
	}
	_, _ = fmt.Fprintln(os.Stdout, "audience ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	for _, conn := range conns {
		_ = conn.Close()
	}
	readers.Wait()
}

// BenchmarkFanout sends a room's messages to 1000 WebSocket members in another
// process and reports this process's CPU time per delivery, a fake core
// included.
func BenchmarkFanout(b *testing.B) {
	for _, rate := range []int{20, 100, 500} {
		b.Run(fmt.Sprint("members=1000/rate=", rate), func(b *testing.B) { fanout(b, 1000, rate) })
	}
}

func fanout(b *testing.B, members, rate int) {
	core := startCore(b)
	e := startEdge(b, core, func(c *Config) { c.Limits.PerAddress = 0 })
	stop := audience(b, e.Endpoints()[0], members)
	defer stop()
	payload := strings.Repeat("x", 100)
	sent := 0
	began, busy := time.Now(), cpu()
	b.ResetTimer()
	for b.Loop() {
		sent++
		core.Append("lobby", payload)
		if d := time.Until(began.Add(time.Duration(sent) * time.Second / time.Duration(rate))); d > 0 {
			time.Sleep(d)
		}
	}
	b.StopTimer()
	drained(b, e, core)
	used := cpu() - busy
	b.ReportMetric(float64(used.Microseconds())/float64(sent*members), "cpu-µs/delivery")
	b.ReportMetric(0, "ns/op")
}

// drained waits until the room's members have been sent everything.
func drained(b *testing.B, e *Edge, core *coretest.Core) {
	head := core.Append("lobby")
	eventually(b, "everything is sent", func() bool {
		epoch, at, _ := e.hub.Room("lobby").Position()
		return epoch > 0 && at == head
	})
	time.Sleep(2 * 50 * time.Millisecond) // the last flush window
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// audience starts the other process and waits until its members have joined.
func audience(b *testing.B, url string, members int) (stop func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestAudience$")
	cmd.Env = append(os.Environ(), audienceEnv+"="+url+" "+strconv.Itoa(members))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "audience ready") {
			return func() {
				_ = stdin.Close()
				_, _ = io.Copy(io.Discard, stdout)
				_ = cmd.Wait()
				cancel()
			}
		}
	}
	cancel()
	b.Fatal("the audience did not come")
	return nil
}

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binaryDir is where TestMain keeps the barrage binaries of this run.
var binaryDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "barrage-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // TestMain ends the process
	}
	binaryDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code) //nolint:forbidigo // TestMain ends the process
}

var builds sync.Map // tags → func() (string, error), each run once

// barrage builds the real binary, once for each set of build tags, and returns
// its path.
func barrage(t *testing.T, tags string) string {
	t.Helper()
	build, _ := builds.LoadOrStore(tags, sync.OnceValues(func() (string, error) {
		path := filepath.Join(binaryDir, "barrage-"+tags)
		cmd := exec.Command("go", "build", "-tags", tags, "-o", path, "../..") //nolint:noctx // shared by all tests
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build barrage: %w\n%s", err, out)
		}
		return path, nil
	}))
	path, err := build.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// A process is one running barrage process of a test, which alone may end it.
type process struct {
	name string
	bin  string
	args []string
	env  []string
	logs string // file; grows over restarts
	ops  string // address of its ops listener

	mu   sync.Mutex // guards the fields below
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

func newProcess(t *testing.T, name, bin, ops string, args ...string) *process {
	t.Helper()
	p := &process{name: name, bin: bin, args: args, ops: ops, logs: filepath.Join(t.TempDir(), name+".log")}
	t.Cleanup(func() {
		p.stop(10 * time.Second)
		if t.Failed() {
			t.Logf("the log of %s is in %s; its last lines:\n%s", name, p.keep(), p.tail(8))
		}
	})
	return p
}

func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	out, err := os.OpenFile(p.logs, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(p.bin, p.args...) //nolint:noctx // it is ended by kill and stop
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), p.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	done := make(chan struct{})
	p.cmd, p.done = cmd, done
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(done)
	}()
	return nil
}

// kill is kill -9: the process gets no chance to say anything.
func (p *process) kill() { p.signal(syscall.SIGKILL); p.wait(10 * time.Second) }

func (p *process) signal(s os.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(s) // it may have ended already
	}
}

func (p *process) wait(d time.Duration) bool {
	p.mu.Lock()
	done := p.done
	p.mu.Unlock()
	if done == nil {
		return true
	}
	select {
	case <-done:
		return true
	case <-time.After(d):
		return false
	}
}

func (p *process) running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// stop ends it in good order, and by force after d.
func (p *process) stop(d time.Duration) {
	p.signal(syscall.SIGTERM)
	if !p.wait(d) {
		p.kill()
	}
}

func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Pid
}

func (p *process) tail(lines int) string {
	b, err := os.ReadFile(p.logs)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(string(bytes.TrimSpace(b)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// keep copies the log of a failed run to where it can be looked at.
func (p *process) keep() string {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("barrage-%s-%d.log", p.name, time.Now().UnixNano()))
	b, err := os.ReadFile(p.logs)
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		return err.Error()
	}
	return path
}

// examine keeps what the process says about itself: its metrics and what its
// goroutines do. It returns the file.
func (p *process) examine(ctx context.Context) string {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("barrage-%s-%d.txt", p.name, time.Now().UnixNano()))
	f, err := os.Create(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	for _, page := range []string{"/metrics", "/debug/pprof/goroutine?debug=2"} {
		if err := p.get(ctx, page, f); err != nil {
			fmt.Fprintln(f, page, err)
		}
	}
	return path
}

func (p *process) get(ctx context.Context, page string, to io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.ops+page, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(to, res.Body)
	return err
}

// ready waits until the process says on its ops port that it is ready.
func (p *process) ready(ctx context.Context) error {
	var last error
	for {
		if last = p.askReady(ctx); last == nil {
			return nil
		}
		if !p.running() {
			return fmt.Errorf("%s ended: %w; its last lines:\n%s", p.name, p.err, p.tail(20))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w; its last lines:\n%s", p.name, last, p.tail(20))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (p *process) askReady(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.ops+"/readyz", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		var b bytes.Buffer
		_, _ = b.ReadFrom(res.Body)
		return fmt.Errorf("readyz says %s: %s", res.Status, strings.TrimSpace(b.String()))
	}
	return nil
}

// freePorts reserves n loopback ports for servers that will be restarted on
// the same address. They are below the range from which the kernel takes the
// ports of outgoing connections, so that nobody else gets them meanwhile.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	portMu.Lock()
	defer portMu.Unlock()
	var ports []int
	for ; len(ports) < n; nextPort++ {
		if nextPort >= 32000 {
			t.Fatal("no free ports between 20000 and 32000")
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", nextPort))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		ports = append(ports, nextPort)
	}
	return ports
}

var (
	portMu   sync.Mutex
	nextPort = 20000 + os.Getpid()%8000
)

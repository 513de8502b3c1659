package dev

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/barrage-im/barrage/filter/bundle"
	"github.com/barrage-im/barrage/protocol/client"
	"github.com/barrage-im/barrage/protocol/ops"
	"github.com/barrage-im/barrage/protocol/pki"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A running is "barrage dev" in the background of a test.
type running struct {
	stop func()

	mu  sync.Mutex // guards out
	out bytes.Buffer
}

func (r *running) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.Write(p)
}

func (r *running) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.String()
}

// launch starts it on free ports and returns when it has greeted.
func launch(t *testing.T, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{}
	ended := make(chan error, 1)
	go func() {
		ended <- Command(ctx, append([]string{"--http", "127.0.0.1:0", "--tcp", "127.0.0.1:0"}, args...), r, io.Discard)
	}()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("barrage dev ended with %v", err)
		}
	})
	t.Cleanup(r.stop)
	deadline := time.Now().Add(readyTimeout)
	for !strings.Contains(r.said(), "Ctrl-C") {
		select {
		case err := <-ended:
			t.Fatalf("barrage dev: %v\n%s", err, r.said())
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("not up in %s: %s", readyTimeout, r.said())
		}
	}
	return r
}

var pageURL = regexp.MustCompile(`http://([0-9.:]+)/`)

func (r *running) hosts() (list []string) {
	for _, m := range pageURL.FindAllStringSubmatch(r.said(), -1) {
		list = append(list, m[1])
	}
	return list
}

func dial(t *testing.T, host, name string) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), client.Config{
		Endpoints: []string{"ws://" + host + "/v1/ws"},
		Token:     func(context.Context) (string, error) { return "anonymous:" + name, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestDevKeepsMessagesInItsDirectory(t *testing.T) {
	dir := t.TempDir()
	for round := range 2 {
		dev := launch(t, "--data", dir)
		c := dial(t, dev.hosts()[0], "Ann")
		room, err := c.Join(t.Context(), "lobby", client.JoinOptions{Recent: 10}, client.Events{})
		if err != nil {
			t.Fatal(err)
		}
		ack, err := room.Publish(t.Context(), client.Message{Text: fmt.Sprintf("round %d", round)})
		if err != nil {
			t.Fatal(err)
		}
		if want := uint64(round + 1); ack.Seq != want {
			t.Errorf("round %d: seq %d; want %d: the room begins again", round, ack.Seq, want)
		}
		c.Close()
		dev.stop()
	}
}

func TestTheOperatorsDirectoryIsReadyToUse(t *testing.T) {
	dir := t.TempDir()
	operator := filepath.Join(dir, "operator")
	var first []byte
	for round := range 2 {
		dev := launch(t, "--data", dir)
		if !strings.Contains(dev.said(), operator) {
			t.Errorf("the greeting does not name %s", operator)
		}
		creds, err := pki.Load(operator, nil)
		if err != nil || creds.Identity().Role != pki.Operator {
			t.Fatalf("credentials: %v", err)
		}
		text, err := os.ReadFile(filepath.Join(operator, "filter.key"))
		if err != nil {
			t.Fatal(err)
		}
		if round > 0 && !bytes.Equal(text, first) {
			t.Error("the key that signs rules is another after a restart")
		}
		first = text
		key, err := bundle.ParsePrivateKey(text)
		if err != nil {
			t.Fatal(err)
		}
		public, err := os.ReadFile(filepath.Join(operator, "filter.pub"))
		if err != nil {
			t.Fatal(err)
		}
		if keys, err := bundle.ParsePublicKeys(public); err != nil || len(keys) != 1 || !keys[0].Equal(key.Public()) {
			t.Errorf("the edges trust another key: %v", err)
		}
		if _, err := os.Stat(filepath.Join(dir, "local", "rules")); err != nil {
			t.Errorf("the edge keeps no copies of rules: %v", err)
		}
		dev.stop()
	}
}

func TestRegionsHearEachOther(t *testing.T) {
	if testing.Short() {
		t.Skip("three core nodes")
	}
	const delay = 30 * time.Millisecond
	dev := launch(t, "--regions", "eu,us,ap", "--delay", delay.String())
	hosts := dev.hosts()
	if len(hosts) != 3 {
		t.Fatalf("pages %v; want three:\n%s", hosts, dev.said())
	}
	heard := make(chan client.Message, 10)
	far := dial(t, hosts[2], "Far")
	if _, err := far.Join(t.Context(), "lobby", client.JoinOptions{}, client.Events{OnMessages: func(list []client.Message) {
		for _, m := range list {
			heard <- m
		}
	}}); err != nil {
		t.Fatal(err)
	}
	if region := far.Session().Region; region != "ap" {
		t.Errorf("connected to region %q; want ap", region)
	}
	near := dial(t, hosts[0], "Near")
	room, err := near.Join(t.Context(), "lobby", client.JoinOptions{}, client.Events{})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := room.Publish(t.Context(), client.Message{Text: "across"}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 2*delay {
		t.Errorf("acknowledged after %s: no majority can have answered before %s", took, 2*delay)
	}
	select {
	case m := <-heard:
		if m.Text != "across" {
			t.Errorf("heard %q", m.Text)
		}
	case <-time.After(10 * time.Second):
		t.Error("the other region heard nothing")
	}
}

func TestPageLoadsNothingFromElsewhere(t *testing.T) {
	host := launch(t).hosts()[0]
	transport := &http.Transport{DisableKeepAlives: true}
	get := func(path string) (status int, header http.Header, text string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, response.Header, string(body)
	}
	foreign := regexp.MustCompile(`(src|href|url\(|import .*from)[ =("']*(https?:)?//`)
	for path, kind := range map[string]string{
		"/": "text/html", "/main.js": "javascript", "/barrage.js": "javascript", "/scene.js": "javascript",
		"/flying.js": "javascript", "/lanes.js": "javascript", "/style.css": "text/css", "/icon.svg": "image/svg",
	} {
		status, header, body := get(path)
		if status != http.StatusOK || !strings.Contains(header.Get("Content-Type"), kind) {
			t.Errorf("%s: %d, %s", path, status, header.Get("Content-Type"))
		}
		if csp := header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if found := foreign.FindString(body); found != "" {
			t.Errorf("%s refers to elsewhere: %s", path, found)
		}
	}
	_, _, body := get("/dev/info")
	var info struct {
		Region  string
		Regions []regionLink
	}
	if err := json.Unmarshal([]byte(body), &info); err != nil || info.Region != "local" || len(info.Regions) != 1 {
		t.Errorf("info %s: %v", body, err)
	}
}

func TestRefusesWhatIsNotLoopback(t *testing.T) {
	for _, args := range [][]string{{"--http", "0.0.0.0:0"}, {"--tcp", "192.0.2.1:1"}, {"--http", ":8080"}, {"--http", "8080"}, {"--regions", "eu,eu"}, {"--delay", "1h"}} {
		err := Command(t.Context(), args, io.Discard, io.Discard)
		var usage *ops.UsageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), args[0]) {
			t.Errorf("%v: %v; want a usage error that names %s", args, err, args[0])
		}
	}
}

func TestBusyPortNamesItsFlag(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	err = Command(t.Context(), []string{"--http", "127.0.0.1:0", "--tcp", busy.Addr().String()}, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "--tcp") || !strings.Contains(err.Error(), "in use") {
		t.Errorf("error %v; want one that says what to do about --tcp", err)
	}
}

func TestTemporaryDataIsRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	launch(t).stop()
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

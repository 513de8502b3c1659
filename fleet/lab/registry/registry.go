// Package registry runs Debian's docker-registry for the lab's images, over
// plain HTTP at plan.Registry, which every node is told to trust.
package registry

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/barrage-im/barrage/fleet/lab/daemon"
	"github.com/barrage-im/barrage/fleet/lab/netns"
	"github.com/barrage-im/barrage/fleet/lab/plan"
)

const name = "registry"

// Up starts the registry unless it runs, with its blobs in dir.
func Up(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf(`version: 0.1
log: {level: warn}
storage:
  filesystem: {rootdirectory: %q}
  delete: {enabled: true}
http: {addr: %q}
`, filepath.Join(dir, "data"), plan.Registry)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return err
	}
	_, err := daemon.Ensure(daemon.Spec{
		Dir: dir, Name: name, Netns: plan.World,
		Args: []string{"/usr/bin/docker-registry", "serve", config},
		Env:  []string{"OTEL_TRACES_EXPORTER=none"},
	})
	return err
}

// Running says whether it runs.
func Running(dir string) bool { return daemon.Alive(dir, name) }

// Down stops it.
func Down(dir string) error { return daemon.Stop(dir, name, 2*time.Second) }

// Wait returns when it answers.
func Wait(ctx context.Context, dir string) error {
	client := Client()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+plan.Registry+"/v2/", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err == nil {
			resp.Body.Close() //nolint:errcheck // nothing was read
			return nil
		}
		if ctx.Err() != nil || !Running(dir) {
			return fmt.Errorf("registry: %w: %s", err, daemon.Tail(dir, name))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Client speaks HTTP from the lab's world: it reaches the registry and what
// else has an address there.
func Client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
			err = netns.Do(plan.World, func() error {
				// One address, so that the dialer starts no goroutine, which
				// would run outside of the namespace.
				conn, err = (&net.Dialer{FallbackDelay: -1}).DialContext(ctx, network, addr)
				return err
			})
			return conn, err
		},
		DisableKeepAlives: true,
	}}
}

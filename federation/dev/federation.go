package dev

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/barrage-im/barrage/core"
	edgenode "github.com/barrage-im/barrage/edge-node"
	"github.com/barrage-im/barrage/protocol/ops"
	"github.com/barrage-im/barrage/protocol/pki"
)

// A federation is one or several regions in this process.
type federation struct {
	cfg    Config
	ca     *pki.CA
	log    *slog.Logger
	wan    *wan
	sites  []*site
	links  atomic.Pointer[[]regionLink] // nil until all regions stand
	failed chan error                   // has room for one of each site
	stop   context.CancelFunc
	watch  sync.WaitGroup // the watchers of the core nodes
}

// A site is a region: a core node and an edge.
type site struct {
	region   string
	listener net.Listener // the core node's, until it takes it over
	address  string       // of the core node
	core     *core.Core
	edge     *edgenode.Edge
	http     string
	tcp      string
}

// start starts the regions and returns when clients are served in all of them.
func start(ctx context.Context, cfg Config, ca *pki.CA, log *slog.Logger) (_ *federation, err error) {
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	f := &federation{cfg: cfg, ca: ca, log: log, wan: newWAN(cfg.Delay), failed: make(chan error, len(cfg.regions())), stop: stop}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for i, region := range cfg.regions() {
		if err := f.place(ctx, i, region); err != nil {
			return nil, err
		}
	}
	if err := f.makeOperator(); err != nil {
		return nil, fmt.Errorf("the operator's directory: %w", err)
	}
	group, gctx := errgroup.WithContext(ctx)
	for i, s := range f.sites {
		if err := f.startCore(ctx, i, s); err != nil {
			return nil, fmt.Errorf("start core of %s: %w", s.region, err)
		}
		group.Go(func() error { return s.core.WaitReady(gctx) })
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("core did not get ready: %w", err)
	}
	if err := f.setPolicies(ctx); err != nil {
		return nil, err
	}
	for _, s := range f.sites {
		if err := f.startEdge(ctx, s); err != nil {
			return nil, fmt.Errorf("start edge of %s: %w", s.region, err)
		}
	}
	for _, s := range f.sites {
		if err := until(ctx, s.edge.Ready); err != nil {
			return nil, fmt.Errorf("edge of %s: %w", s.region, err)
		}
		f.watch.Go(func() {
			select {
			case err := <-s.core.Failed():
				f.failed <- fmt.Errorf("core of %s: %w", s.region, err)
			case <-life.Done():
			}
		})
	}
	f.publishAddresses()
	return f, nil
}

// place finds the addresses of a region. The core node's stays the same over
// restarts, since the cluster knows the node by it.
func (f *federation) place(ctx context.Context, i int, region string) error {
	s := &site{region: region}
	var err error
	if s.http, err = next(f.cfg.HTTP, i*portStep); err != nil {
		return ops.Usagef("--http: %w", err)
	}
	if s.tcp, err = next(f.cfg.TCP, i*portStep); err != nil {
		return ops.Usagef("--tcp: %w", err)
	}
	for flag, addr := range map[string]string{"--http": s.http, "--tcp": s.tcp} {
		if err := free(ctx, addr, flag); err != nil {
			return err
		}
	}
	known := filepath.Join(f.dir(region), "address")
	address := "127.0.0.1:0"
	if text, err := os.ReadFile(known); err == nil {
		address = strings.TrimSpace(string(text))
	}
	if s.listener, err = listen(ctx, address, "--data"); err != nil {
		return fmt.Errorf("core node of %s: %w", region, err)
	}
	s.address = s.listener.Addr().String()
	f.sites = append(f.sites, s)
	f.wan.place(s.address, region)
	if err := os.MkdirAll(f.dir(region), 0o700); err != nil {
		return err
	}
	return os.WriteFile(known, []byte(s.address+"\n"), 0o600)
}

func (f *federation) dir(region string) string { return filepath.Join(f.cfg.Data, region) }

func (f *federation) startCore(ctx context.Context, i int, s *site) error {
	name := "core-" + s.region
	secure, err := f.credentials(pki.Core, name)
	if err != nil {
		return err
	}
	cfg := core.Default()
	cfg.Node, cfg.Region, cfg.Data, cfg.Listen = name, s.region, filepath.Join(f.dir(s.region), "core"), s.address
	cfg.Bootstrap = i == 0
	cfg.Heartbeat = 200*time.Millisecond + 6*f.cfg.Delay // an election within a second, delay or not
	cfg.Drain = time.Second
	if len(f.sites) == 1 {
		cfg.Survive, cfg.Home, cfg.Heartbeat = "zone", s.region, 200*time.Millisecond
	} else {
		cfg.Home = f.sites[0].region
	}
	if i > 0 {
		cfg.Join = []string{f.sites[0].address}
	}
	s.core, err = core.Start(ctx, cfg, core.Options{
		Credentials: secure, Dial: f.wan.dialer(s.region), Listener: s.listener, Log: f.log.With("core", name),
	})
	if err == nil {
		s.listener = nil
	}
	return err
}

func (f *federation) startEdge(ctx context.Context, s *site) error {
	name := "edge-" + s.region
	secure, err := f.credentials(pki.Edge, name)
	if err != nil {
		return err
	}
	cfg := edgenode.Default()
	cfg.Name, cfg.Region, cfg.Anonymous = name, s.region, true
	cfg.Listen.HTTP, cfg.Listen.TCP = s.http, s.tcp
	cfg.Core = []string{s.address}
	for _, other := range f.sites {
		if other != s {
			cfg.Core = append(cfg.Core, other.address)
		}
	}
	cfg.Filter.Dir, cfg.Filter.Keys = filepath.Join(f.dir(s.region), "rules"), []string{f.publicKey()}
	cfg.Limits.PerUser = 10_000 // "barrage bench" comes as one
	cfg.Limits.FrameRate, cfg.Limits.FrameBurst = 100_000, 100_000
	s.edge, err = edgenode.Start(ctx, cfg, edgenode.Options{
		Credentials: secure, Dial: f.wan.dialer(s.region), Page: page(s.region, &f.links), Log: f.log.With("edge", name),
	})
	if err != nil {
		return err
	}
	for _, endpoint := range s.edge.Endpoints() {
		u, err := url.Parse(endpoint)
		if err != nil {
			return fmt.Errorf("endpoint %q: %w", endpoint, err)
		}
		switch u.Scheme {
		case "ws":
			s.http = u.Host
		case "tcp":
			s.tcp = u.Host
		}
	}
	return nil
}

func (f *federation) credentials(role pki.Role, name string) (*pki.Credentials, error) {
	certificate, err := f.ca.Issue(role, name, []string{"127.0.0.1"}, certificateLife)
	if err != nil {
		return nil, err
	}
	return certificate.Credentials()
}

// publishAddresses tells the pages of each other.
func (f *federation) publishAddresses() {
	var list []regionLink
	for _, s := range f.sites {
		list = append(list, regionLink{s.region, "http://" + s.http + "/"})
	}
	f.links.Store(&list)
}

// close ends the edges first, so that what they have sent is answered, then the
// core nodes, then the lines between them.
func (f *federation) close() error {
	f.stop()
	f.watch.Wait()
	for _, s := range f.sites {
		if s.edge != nil {
			s.edge.Close()
		}
	}
	var group errgroup.Group
	for _, s := range f.sites {
		if s.listener != nil {
			group.Go(s.listener.Close)
		}
		if s.core != nil {
			group.Go(s.core.Close)
		}
	}
	err := group.Wait()
	f.wan.close()
	return err
}

// until waits for ready to say nothing, or for ctx.
func until(ctx context.Context, ready func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("not ready in time: %w", err)
		}
	}
}

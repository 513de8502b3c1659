// Package predictor is the predictor process of a region: it reads how much load
// there is, forecasts it far enough ahead for a pod to start, and tells
// autoscalers which load to have capacity for. It wires the packages below
// together.
package predictor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/barrage-im/barrage/predictor/adapter"
	"github.com/barrage-im/barrage/predictor/demand"
	"github.com/barrage-im/barrage/predictor/keda"
	"github.com/barrage-im/barrage/predictor/lease"
	"github.com/barrage-im/barrage/protocol/ops"
)

// Command is "barrage predictor".
func Command(ctx context.Context, args []string, stdout, _ io.Writer) error {
	cfg := Default()
	_, rest, err := ops.Load("predictor", &cfg, args, os.Environ())
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return ops.Usagef("unexpected argument %q; try: barrage predictor --help", rest[0])
	}
	return Run(ctx, cfg, stdout)
}

// Run runs a predictor until ctx ends.
func Run(ctx context.Context, cfg Config, stdout io.Writer) error {
	log := ops.NewLogger(stdout, cfg.Log)
	status, err := ops.Start(cfg.Ops, log)
	if err != nil {
		return fmt.Errorf("start ops listener: %w", err)
	}
	defer func() { _ = status.Close() }()
	p, err := start(ctx, cfg, log, status)
	if err != nil {
		return err
	}
	return p.run(ctx)
}

// process is a predictor that is open; run closes it.
type process struct {
	service *service
	source  demand.Source
	elector *lease.Elector
	doors   []door
}

// A door answers autoscalers until ctx ends.
type door interface {
	Serve(ctx context.Context) error
}

func start(ctx context.Context, cfg Config, log *slog.Logger, status *ops.Ops) (_ *process, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	p := &process{}
	defer func() {
		if err != nil {
			p.abandon(context.WithoutCancel(ctx))
		}
	}()
	if cfg.Lease.Name != "" || cfg.Adapter.Listen != "" {
		useLog(log)
	}
	if p.source, err = demand.Open(cfg.Demand); err != nil {
		return nil, fmt.Errorf("demand: %w", err)
	}
	if p.elector, err = lease.Open(cfg.Lease, log); err != nil {
		return nil, err
	}
	if p.service, err = newService(cfg, p.source, p.elector.Leads, log, status.Registry()); err != nil {
		return nil, err
	}
	if p.service.fleet, err = openFleet(cfg); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	if cfg.KEDA.Listen != "" {
		d, err := keda.Listen(ctx, cfg.KEDA, cfg.Region, p.service.published, log, status.Registry())
		if err != nil {
			return nil, err
		}
		p.doors = append(p.doors, d)
	}
	if cfg.Adapter.Listen != "" {
		d, err := adapter.Listen(ctx, cfg.Adapter, cfg.Region, adapter.Published{Predicted: p.service.published, Load: p.service.current}, log)
		if err != nil {
			return nil, err
		}
		p.doors = append(p.doors, d)
	}
	if cfg.Mode == ForecastOnly {
		log.Info("mode forecast-only: autoscalers are told 0; watch barrage_predictor_wanted_load, then set mode to publish")
	}
	log.Info("predictor serves", "region", cfg.Region, "mode", cfg.Mode, "demand", p.source.String())
	return p, nil
}

// abandon closes what was opened and will not run.
func (p *process) abandon(ctx context.Context) {
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for _, d := range p.doors {
		_ = d.Serve(ended)
	}
	if p.source != nil {
		p.source.Close()
	}
	if p.service != nil {
		p.service.fleet.Close()
	}
}

// errEnded says that a part returned although nobody told it to.
var errEnded = errors.New("a listener ended by itself")

// run runs all parts until ctx ends or one of them does.
func (p *process) run(ctx context.Context) error {
	defer p.source.Close()
	defer p.service.fleet.Close()
	group, inner := errgroup.WithContext(ctx)
	for _, d := range p.doors {
		group.Go(func() error {
			if err := d.Serve(inner); err != nil {
				return err
			}
			if inner.Err() == nil {
				return errEnded
			}
			return nil
		})
	}
	group.Go(func() error { return p.elector.Run(inner) })
	group.Go(func() error { return p.service.Run(inner) })
	return group.Wait()
}

package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/barrage-im/barrage/protocol/cmd/bench/ledger"
	"github.com/barrage-im/barrage/protocol/cmd/bench/proc"
)

// drain is how long to wait for what is still on its way at the end.
const drain = 15 * time.Second

// measure loads the servers through send for warm-up and measurement and fills
// in what was found.
func measure(ctx context.Context, o options, l *ledger.Ledger, servers []*process, result *Result, send func(context.Context)) error {
	var pids []int
	for _, s := range servers {
		pids = append(pids, s.pid())
	}
	loading, stop := context.WithCancel(ctx)
	defer stop()
	var sender sync.WaitGroup
	sender.Go(func() { send(loading) })

	if err := wait(ctx, o.warmup); err != nil {
		return err
	}
	l.MeasureFrom(ledger.Now())
	began, before := time.Now(), l.Progress()
	usage, err := proc.Read(pids)
	if err != nil {
		return err
	}
	if err := wait(ctx, o.duration); err != nil {
		return err
	}
	after, seconds := l.Progress(), time.Since(began).Seconds()
	used, err := proc.Read(pids)
	if err != nil {
		return err
	}
	stop()
	sender.Wait()
	for deadline := time.Now().Add(drain); time.Now().Before(deadline) && (l.Progress().Pending() > 0 || l.Missing() > 0); {
		if err := wait(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}

	result.Account = l.Close()
	result.Members, result.Size, result.Seconds = o.members, o.size, seconds
	result.ServerCPUSeconds, result.ServerRSS = (used.CPU - usage.CPU).Seconds(), used.RSS
	result.AckedPerSecond = float64(after.Acked-before.Acked) / seconds
	if n := after.Acked - before.Acked; n > 0 {
		result.CPUPerAck = result.ServerCPUSeconds * 1e6 / float64(n)
	}
	if n := after.Delivered - before.Delivered; n > 0 {
		result.CPUPerDelivery = result.ServerCPUSeconds * 1e6 / float64(n)
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errors.New("interrupted")
	}
}

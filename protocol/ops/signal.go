package ops

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

type hurryKey struct{}

// Signals returns a context that the first SIGINT or SIGTERM cancels: stop in
// good order. The second one closes the channel of Hurry: stop at once. A third
// one ends the process as the system does. stop releases the signals.
func Signals(parent context.Context) (ctx context.Context, stop func()) {
	hurry := make(chan struct{})
	ctx, cancel := context.WithCancel(context.WithValue(parent, hurryKey{}, (<-chan struct{})(hurry)))
	c := make(chan os.Signal, 2)
	signal.Notify(c, syscall.SIGINT, syscall.SIGTERM)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for _, react := range []func(){cancel, func() { close(hurry) }} {
			select {
			case <-c:
				react()
			case <-quit:
				return
			}
		}
		signal.Stop(c)
	}()
	return ctx, sync.OnceFunc(func() {
		signal.Stop(c)
		close(quit)
		<-done
		cancel()
	})
}

// Hurry is closed by the second signal of Signals' context. It is nil, which
// never becomes ready, for any other context.
func Hurry(ctx context.Context) <-chan struct{} {
	hurry, _ := ctx.Value(hurryKey{}).(<-chan struct{})
	return hurry
}

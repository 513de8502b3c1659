package screen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/pki"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// Limits of what a hook may say; more is no answer.
const (
	maxAnswer    = 128 << 10 // bytes, on the wire
	maxReason    = 256       // bytes that moderators are shown; the rest is cut
	minUnchecked = 100 * time.Millisecond
)

// HookSet stands in place of a set's name for what the hook said.
const HookSet = "hook"

// An Answer is what the hook said of a message.
type Answer struct {
	Action     filter.Action
	Text       []byte // Mask: to be relayed instead; empty: as our own rules have it
	Reason     string
	Categories []string
}

// A Hook is the client of the external check.
type Hook struct {
	// Set by NewHook, never changed.
	cfg  HookConfig
	conn *grpc.ClientConn
	call rpc.HookClient
	log  *slog.Logger
	met  hookMetrics

	places chan struct{} // one for each call
	done   sync.WaitGroup

	mu      sync.Mutex // guards the field below
	breaker breaker
}

type hookMetrics struct {
	answers  [actions]prometheus.Counter
	failures *prometheus.CounterVec
	seconds  prometheus.Histogram
	open     prometheus.Gauge
}

// NewHook makes the client; nil without an address. It connects when it is
// first asked.
func NewHook(cfg HookConfig, log *slog.Logger, reg prometheus.Registerer) (*Hook, error) {
	if cfg.Address == "" {
		return nil, nil
	}
	secure := insecure.NewCredentials()
	if cfg.TLS != "" {
		c, err := pki.Load(cfg.TLS, log)
		if err != nil {
			return nil, fmt.Errorf("filter.hook.tls: %w", err)
		}
		secure = credentials.NewTLS(c.ClientConfig(pki.Hook, "h2"))
	}
	conn, err := grpc.NewClient("passthrough:///"+cfg.Address,
		grpc.WithTransportCredentials(secure), grpc.WithDisableServiceConfig(),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{BaseDelay: minRetry, Multiplier: 1.6, MaxDelay: maxBreak / 2}, MinConnectTimeout: maxDeadline,
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)))
	if err != nil {
		return nil, fmt.Errorf("filter.hook: %w", err)
	}
	h := &Hook{cfg: cfg, conn: conn, call: rpc.NewHookClient(conn), log: log, places: make(chan struct{}, cfg.InFlight)}
	if err := h.measure(reg); err != nil {
		return nil, errors.Join(fmt.Errorf("register metrics of the hook: %w", err), conn.Close())
	}
	return h, nil
}

func (h *Hook) measure(reg prometheus.Registerer) error {
	answers := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "barrage_filter_hook_answers_total", Help: "Answers of the external check, by verdict."}, []string{"verdict"})
	h.met = hookMetrics{
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "barrage_filter_hook_failures_total", Help: "Messages that the external check gave no answer for, by reason."}, []string{"reason"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "barrage_filter_hook_seconds", Help: "Time until the external check answered.", Buckets: prometheus.ExponentialBuckets(500e-6, 3, 9), // to 3.3 s
		}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{Name: "barrage_filter_hook_open", Help: "1 while the external check is not asked because it does not answer."}),
	}
	for i := range actions {
		h.met.answers[i] = answers.WithLabelValues(filter.Action(i).String())
	}
	if reg == nil {
		return nil
	}
	return errors.Join(reg.Register(answers), reg.Register(h.met.failures), reg.Register(h.met.seconds), reg.Register(h.met.open))
}

// Close ends every call and waits for them; their answers are given.
func (h *Hook) Close() error {
	err := h.conn.Close()
	h.done.Wait()
	return err
}

// Ask asks about a message and calls then once, from another goroutine, with
// the answer or with ok false when there is none. It reports false, and then
// is not called, when nobody can be asked now. When ctx ends nobody wants the
// answer; then is called all the same.
func (h *Hook) Ask(ctx context.Context, req *rpc.CheckRequest, then func(a Answer, ok bool)) bool {
	select {
	case h.places <- struct{}{}:
	default:
		h.met.failures.WithLabelValues("in_flight").Inc()
		return false
	}
	h.mu.Lock()
	allowed := h.breaker.allow(time.Now())
	h.mu.Unlock()
	if !allowed {
		<-h.places
		h.met.failures.WithLabelValues("open").Inc()
		return false
	}
	req.DeadlineMs = uint32(h.cfg.Deadline.Milliseconds())
	h.done.Go(func() {
		a, ok := h.check(ctx, req)
		<-h.places
		then(a, ok)
	})
	return true
}

// Wait is when a message that was refused for want of an answer may be sent
// again.
func (h *Hook) Wait() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(h.breaker.wait(time.Now()), minUnchecked)
}

// check makes one call.
func (h *Hook) check(ctx context.Context, req *rpc.CheckRequest) (Answer, bool) {
	limited, cancel := context.WithTimeout(ctx, h.cfg.Deadline)
	defer cancel()
	began := time.Now()
	res, err := h.call.Check(limited, req)
	var a Answer
	reason := ""
	switch {
	case err == nil:
		if a, err = parseAnswer(res); err != nil {
			reason = "garbage"
		}
	case ctx.Err() != nil: // the sender is gone
		h.mu.Lock()
		h.breaker.gaveUp()
		h.mu.Unlock()
		return a, false
	case status.Code(err) == codes.DeadlineExceeded:
		reason = "timeout"
	default:
		reason = "error"
	}
	now := time.Now()
	h.mu.Lock()
	changed := h.breaker.done(err == nil, now)
	opened := h.breaker.pause != 0
	h.mu.Unlock()
	if changed {
		h.turned(opened, err)
	}
	if err != nil {
		h.met.failures.WithLabelValues(reason).Inc()
		return Answer{}, false
	}
	h.met.seconds.Observe(now.Sub(began).Seconds())
	h.met.answers[a.Action].Inc()
	return a, true
}

func (h *Hook) turned(open bool, err error) {
	if open {
		h.met.open.Set(1)
		h.log.Error("the external check does not answer and is not asked for a while; the rooms' policies decide", "address", h.cfg.Address, "err", err)
		return
	}
	h.met.open.Set(0)
	h.log.Info("the external check answers again", "address", h.cfg.Address)
}

// parseAnswer refuses what is no answer.
func parseAnswer(res *rpc.CheckResponse) (a Answer, err error) {
	if a.Action, err = filter.ParseAction(res.GetVerdict()); err != nil {
		return a, err
	}
	if len(res.GetText()) > protocol.MaxMessage {
		return a, fmt.Errorf("a text of %d bytes", len(res.GetText()))
	}
	if len(res.GetCategories()) > filter.MaxCategories {
		return a, fmt.Errorf("%d categories", len(res.GetCategories()))
	}
	for _, c := range res.GetCategories() {
		if len(c) > filter.MaxCategory {
			return a, fmt.Errorf("a category of %d bytes", len(c))
		}
	}
	if a.Action == filter.Mask {
		a.Text = []byte(res.GetText())
	}
	a.Reason, a.Categories = CutText(res.GetReason(), maxReason), res.GetCategories()
	return a, nil
}

// CutText is the first n bytes of a text, without half a character at the end.
func CutText(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

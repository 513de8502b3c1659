package auth

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/barrage-im/barrage/protocol"
)

const (
	// minFetchGap is the least time between two fetches of one set, whatever
	// tokens ask for.
	minFetchGap = 10 * time.Second
	// unknownFor is how long a key id that a fetch did not bring is refused
	// without another one.
	unknownFor = time.Minute
	// maxUnknown bounds the key ids remembered as unknown; when they are that
	// many, further ones are not remembered and minFetchGap alone protects.
	maxUnknown = 1024
)

// remoteSet is the keys of one issuer at one URL. Each issuer has its own, so
// that a key id of one issuer never finds the key of another, even when both
// use the same URL.
type remoteSet struct {
	// Set by startRemote, never changed.
	fetch   *fetcher
	refresh time.Duration
	maxAge  time.Duration
	now     func() time.Time
	log     *slog.Logger
	cancel  context.CancelFunc
	done    chan struct{} // closed when run has returned
	wanted  chan struct{} // cap 1: somebody waits for a fetch

	mu       sync.Mutex           // guards the fields below
	keys     []key                // of the last good fetch
	fetched  time.Time            // when that was; zero: never
	tried    time.Time            // when the last fetch was asked for
	failed   bool                 // how it ended
	fetching bool                 // a fetch is asked for or going on
	round    chan struct{}        // closed when it is over
	unknown  map[string]time.Time // key ids that a fetch did not bring, until when
}

func startRemote(f *fetcher, refresh, maxAge time.Duration, now func() time.Time, log *slog.Logger) *remoteSet {
	ctx, cancel := context.WithCancel(context.Background())
	r := &remoteSet{
		fetch: f, refresh: refresh, maxAge: maxAge, now: now, log: log.With("jwks", f.url),
		cancel: cancel, done: make(chan struct{}), wanted: make(chan struct{}, 1),
		round: make(chan struct{}), unknown: map[string]time.Time{},
	}
	r.begin() // whoever comes now waits for the first fetch
	go r.run(ctx)
	return r
}

func (r *remoteSet) close() {
	r.cancel()
	<-r.done
}

// begin notes that a fetch is asked for.
func (r *remoteSet) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.beginLocked()
}

func (r *remoteSet) beginLocked() {
	if !r.fetching {
		r.fetching, r.tried = true, r.now()
	}
}

// run fetches at the start, every refresh, sooner after a failure, and when
// find asks for it.
func (r *remoteSet) run(ctx context.Context) {
	defer close(r.done)
	for {
		wait := r.refresh
		if err := r.fetchOnce(ctx); err != nil {
			if ctx.Err() != nil {
				return
			}
			r.log.Warn("fetch of the key set went wrong; the keys at hand stay in use", "error", err)
			wait = min(minFetchGap, r.refresh)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-r.wanted:
		case <-timer.C:
			r.begin()
			select { // this fetch answers whoever asked meanwhile
			case <-r.wanted:
			default:
			}
		}
		timer.Stop()
	}
}

func (r *remoteSet) fetchOnce(ctx context.Context) error {
	keys, skipped, err := r.fetch.get(ctx)
	for _, why := range skipped {
		r.log.Info("key not used", "reason", why)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = err != nil
	if err == nil {
		r.keys, r.fetched = keys, r.now()
		for _, k := range keys {
			delete(r.unknown, k.id)
		}
	}
	r.fetching = false
	close(r.round)
	r.round = make(chan struct{})
	return err
}

// find returns the keys that a token may be signed with. For an id it does not
// have it waits for one fetch, unless there was one just now. It returns none
// when the issuer has no such key, and an error when that cannot be told now.
func (r *remoteSet) find(ctx context.Context, algorithm, id string) ([]jwt.VerificationKey, error) {
	found, round, err := r.lookup(algorithm, id)
	if round == nil {
		return found, err
	}
	timer := time.NewTimer(fetchTimeout)
	defer timer.Stop()
	select {
	case <-round:
	case <-timer.C:
		return nil, unavailable(minFetchGap)
	case <-r.done:
		return nil, unavailable(minFetchGap)
	case <-ctx.Done():
		return nil, unavailable(minFetchGap)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.usable() {
		found = candidates(r.keys, algorithm, id)
	}
	if len(found) == 0 && r.failed {
		return nil, unavailable(minFetchGap)
	}
	if len(found) == 0 {
		r.remember(id)
	}
	return found, nil
}

// lookup answers from what is at hand, or returns the end of the fetch to wait
// for.
func (r *remoteSet) lookup(algorithm, id string) (found []jwt.VerificationKey, round <-chan struct{}, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if r.usable() {
		found = candidates(r.keys, algorithm, id)
		// Without an id there is nothing that a fetch would look for.
		if len(found) > 0 || id == "" || now.Before(r.unknown[id]) {
			return found, nil, nil
		}
	}
	if r.fetching {
		return nil, r.round, nil
	}
	if gap := r.tried.Add(minFetchGap).Sub(now); gap > 0 {
		return nil, nil, unavailable(gap)
	}
	r.beginLocked()
	select {
	case r.wanted <- struct{}{}:
	default: // run will see the one that is there
	}
	return nil, r.round, nil
}

// usable: there are keys, and they are not too old. Called with mu held.
func (r *remoteSet) usable() bool {
	return !r.fetched.IsZero() && r.now().Before(r.fetched.Add(r.maxAge))
}

// remember refuses a key id for a while without asking. Called with mu held.
func (r *remoteSet) remember(id string) {
	now := r.now()
	if len(r.unknown) >= maxUnknown {
		for old, until := range r.unknown {
			if !now.Before(until) {
				delete(r.unknown, old)
			}
		}
	}
	if id != "" && len(r.unknown) < maxUnknown {
		r.unknown[id] = now.Add(unknownFor)
	}
}

func unavailable(after time.Duration) *refusal {
	r := refuse("keys_unavailable", "the token issuer's keys cannot be had now; connect again later")
	r.code, r.retryAfter = protocol.CloseOverloaded, after
	return r
}

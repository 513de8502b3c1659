package client

import (
	"net/url"
	"slices"
	"time"
)

// maxRoutes bounds the endpoints a client remembers: more than a federation
// names in one hint.
const maxRoutes = 32

// routes are the endpoints in the order in which they are tried.
type routes struct {
	urls   []string
	at     int  // next to be tried
	secure bool // the configured ones encrypt, so learnt ones must too
}

func newRoutes(configured []string) routes {
	r := routes{urls: slices.Clone(configured), secure: true}
	for _, u := range configured {
		r.secure = r.secure && encrypted(u)
	}
	return r
}

func encrypted(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && (u.Scheme == "wss" || u.Scheme == "tcps")
}

// next is the endpoint to try; round reports that all of them have been tried
// since the last success.
func (r *routes) next() (endpoint string, round bool) {
	endpoint = r.urls[r.at]
	r.at = (r.at + 1) % len(r.urls)
	return endpoint, r.at == 0
}

// prefer puts endpoints first, in their order.
func (r *routes) prefer(endpoints ...string) {
	var first []string
	for _, e := range endpoints {
		if e != "" && !slices.Contains(first, e) && (!r.secure || encrypted(e)) {
			first = append(first, e)
		}
	}
	for _, e := range r.urls {
		if !slices.Contains(first, e) {
			first = append(first, e)
		}
	}
	r.urls, r.at = first[:min(len(first), maxRoutes)], 0
}

// avoid puts endpoint last.
func (r *routes) avoid(endpoint string) {
	i := slices.Index(r.urls, endpoint)
	if i < 0 || len(r.urls) == 1 {
		return
	}
	r.urls = append(slices.Delete(r.urls, i, i+1), endpoint)
	r.at = 0
}

const (
	backoffMin    = 100 * time.Millisecond
	backoffMax    = 30 * time.Second
	stableAfter   = 10 * time.Second // a connection that lived this long ends the back-off
	minRetryAfter = 50 * time.Millisecond
)

// backoff is full-jitter exponential back-off.
type backoff struct {
	rounds int
}

func (b *backoff) next(rand func() float64) time.Duration {
	ceiling := backoffMax
	if b.rounds < 9 { // 100 ms << 9 is beyond backoffMax
		ceiling = min(backoffMax, backoffMin<<b.rounds)
	}
	b.rounds++
	return time.Duration(rand() * float64(ceiling))
}

// within is a random time in [low, high].
func within(low, high time.Duration, rand func() float64) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(rand()*float64(high-low))
}

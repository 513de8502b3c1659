package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	fetchTimeout = 5 * time.Second
	// maxSetBytes bounds a fetched key set: maxKeys large RSA keys with
	// certificate chains fit.
	maxSetBytes = 256 << 10
)

// fetcher gets one URL and nothing else: no redirects, no proxy, and no
// connection to an address that a name in public DNS has no business to point
// at. The last is checked when connecting, after the name was resolved.
type fetcher struct {
	url      string
	loopback bool // the configured URL itself is loopback
	literal  netip.Addr
	allow    []netip.Prefix
	client   *http.Client
}

// metadata services of clouds that are not link-local.
var metadata = []netip.Addr{
	netip.MustParseAddr("100.100.100.200"),
	netip.MustParseAddr("168.63.129.16"),
	netip.MustParseAddr("192.0.0.192"),
	netip.MustParseAddr("fd00:ec2::254"),
}

var sharedSpace = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598, used by clusters

func newFetcher(raw string, allow []string) (*fetcher, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return nil, errors.New("jwks_url is not a URL such as https://id.example.com/keys")
	}
	networks, err := parseNetworks(allow)
	if err != nil {
		return nil, err
	}
	f := &fetcher{url: raw, allow: networks}
	f.literal, _ = netip.ParseAddr(u.Hostname())
	f.loopback = strings.EqualFold(u.Hostname(), "localhost") || f.literal.IsLoopback()
	switch {
	case u.User != nil:
		return nil, errors.New("jwks_url must not hold a user or password")
	case u.Scheme == "https", u.Scheme == "http" && f.loopback:
	default:
		return nil, fmt.Errorf("jwks_url must be https (http only on loopback), not %q", u.Scheme)
	}
	dialer := &net.Dialer{Timeout: fetchTimeout, Control: f.control}
	f.client = &http.Client{
		Timeout: fetchTimeout,
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSHandshakeTimeout:    fetchTimeout,
			MaxResponseHeaderBytes: 16 << 10,
			DisableKeepAlives:      true, // a fetch every few minutes; no idle goroutines
			ForceAttemptHTTP2:      true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return f, nil
}

// control sees the address a connection is about to be made to.
func (f *fetcher) control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %s: %w", address, err)
	}
	return f.permit(ap.Addr().Unmap().WithZone(""))
}

func (f *fetcher) permit(ip netip.Addr) error {
	for _, n := range f.allow {
		if n.Contains(ip) {
			return nil
		}
	}
	switch {
	case ip.IsLoopback() && f.loopback:
		return nil
	case slices.Contains(metadata, ip), ip.IsLinkLocalUnicast(), ip.IsMulticast(), ip.IsUnspecified(), ip.IsLoopback(),
		ip.IsPrivate(), sharedSpace.Contains(ip):
		return fmt.Errorf("jwks_url leads to %s, which is not a public address; if that is meant, name its network in jwks_allow", ip)
	}
	return nil
}

// get fetches and parses the set.
func (f *fetcher) get(ctx context.Context) (keys []key, skipped []string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url, nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("answered %s; redirects are not followed", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxSetBytes+1))
	if err != nil {
		return nil, nil, err
	}
	if len(body) > maxSetBytes {
		return nil, nil, fmt.Errorf("more than %d bytes", maxSetBytes)
	}
	return parseSet(body, false)
}

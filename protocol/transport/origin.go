package transport

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// origins decides from which web pages a browser may connect. Tokens, not
// cookies, admit users; this keeps a page on a foreign site from using a token
// that it got hold of in its visitor's browser.
type origins struct {
	exact    []string // lower case
	sameHost bool
	any      bool
	required bool
}

// CheckOrigins tells what is wrong with a list for Options.Origins.
func CheckOrigins(list []string) error {
	_, err := parseOrigins(list)
	return err
}

func parseOrigins(list []string) (origins, error) {
	o := origins{sameHost: len(list) == 0}
	for _, entry := range list {
		switch entry {
		case "*":
			o.any = true
			continue
		case SameHost:
			o.sameHost = true
			continue
		}
		u, err := url.Parse(entry)
		if err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != entry {
			return o, fmt.Errorf(`allowed origin %q: write scheme, host and port only, such as "https://example.com", or %q or "*"`, entry, SameHost)
		}
		o.exact = append(o.exact, strings.ToLower(entry))
	}
	return o, nil
}

func mustParseOrigins(opts *Options) origins {
	o, err := parseOrigins(opts.Origins)
	if err != nil {
		panic(err)
	}
	o.required = opts.RequireOrigin
	return o
}

func (o *origins) allow(r *http.Request) bool {
	values := r.Header["Origin"]
	switch {
	case len(values) == 0:
		return !o.required
	case len(values) > 1:
		return false
	case o.any:
		return true
	}
	origin := strings.ToLower(values[0])
	if slices.Contains(o.exact, origin) {
		return true
	}
	u, err := url.Parse(origin)
	return o.sameHost && err == nil && u.Host != "" && u.Scheme+"://"+u.Host == origin && strings.EqualFold(u.Host, r.Host)
}

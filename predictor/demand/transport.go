package demand

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	maxAnswer  = 8 << 20  // bytes; 11,000 samples of one series take 400 KB
	maxToken   = 64 << 10 // bytes
	maxHeaders = 64 << 10
	maxError   = 300 // bytes of somebody's error that are repeated
)

// door is how requests leave: with a token, and with a limit on what comes back.
type door struct {
	inner *http.Transport
	token string // file; empty: none
}

func newDoor(cfg Config) (*door, error) {
	t := &http.Transport{
		DialContext:            (&net.Dialer{Timeout: cfg.Timeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:    cfg.Timeout,
		ResponseHeaderTimeout:  cfg.Timeout,
		IdleConnTimeout:        2 * time.Minute,
		MaxIdleConnsPerHost:    1,
		MaxResponseHeaderBytes: maxHeaders,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cfg.ServerName},
	}
	if cfg.CAFile != "" {
		pem, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: %s has no certificate; want PEM", cfg.CAFile)
		}
		t.TLSClientConfig.RootCAs = pool
	}
	return &door{t, cfg.TokenFile}, nil
}

// client follows no redirect: the token is for this server.
func (d *door) client() *http.Client {
	return &http.Client{Transport: d, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (d *door) RoundTrip(r *http.Request) (*http.Response, error) {
	if d.token != "" {
		token, err := readToken(d.token)
		if err != nil {
			return nil, &Error{Setup, fmt.Errorf("token_file: %w", err)}
		}
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := d.inner.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = &limited{answer.Body, maxAnswer}
	return answer, nil
}

func readToken(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(b))
	if token == "" || len(b) > maxToken || strings.ContainsAny(token, "\r\n") {
		return "", fmt.Errorf("%s: want one line with a token", path)
	}
	return token, nil
}

// limited is a body that is an error when it goes on for too long.
type limited struct {
	io.ReadCloser
	left int
}

var errTooLarge = &Error{TooLarge, fmt.Errorf("the answer has more than %d bytes: aggregate in the query, such as sum(…)", maxAnswer)}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		var one [1]byte
		if n, err := l.ReadCloser.Read(one[:]); n == 0 {
			return 0, err
		}
		return 0, errTooLarge
	}
	n, err := l.ReadCloser.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}

// because gives an error of a request its kind, and says what to look at.
func because(ctx context.Context, err error, what string) error {
	var own *Error
	var timeout net.Error
	switch {
	case errors.As(err, &own):
		return &Error{own.Kind, fmt.Errorf("%s: %w", what, err)}
	case errors.Is(err, context.DeadlineExceeded), ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return errorf(Slow, "%s does not answer in time: is it overloaded, or the timeout too short? %w", what, err)
	}
	return errorf(Unreachable, "%s cannot be reached: does it run, and is the address right? %w", what, err)
}

func short(text string) string {
	if len(text) > maxError {
		text = strings.ToValidUTF8(text[:maxError], "") + "…"
	}
	return text
}

package edgenode

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// certificateEvery bounds how often a handshake looks at the files.
const certificateEvery = 10 * time.Second

// A certificate is what https and tcps show to clients. It is read again when
// its file changes, so that it is renewed without a restart; while the new one
// cannot be used the old one stays.
type certificate struct {
	cert, key string

	mu      sync.Mutex // guards the fields below
	current *tls.Certificate
	stamp   string
	checked time.Time
}

// clientTLS is the configuration of https and tcps; nil without a certificate.
func clientTLS(l Listen) (*tls.Config, error) {
	if l.Cert == "" {
		return nil, nil
	}
	c := &certificate{cert: l.Cert, key: l.Key}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return nil, fmt.Errorf("certificate for clients: %w", err)
	}
	c.current, c.stamp, c.checked = &pair, c.look(), time.Now()
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.get(time.Now()), nil },
	}, nil
}

func (c *certificate) get(now time.Time) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.checked) < certificateEvery {
		return c.current
	}
	c.checked = now
	if stamp := c.look(); stamp != c.stamp {
		if pair, err := tls.LoadX509KeyPair(c.cert, c.key); err == nil {
			c.current, c.stamp = &pair, stamp
		}
	}
	return c.current
}

// look says which version of the files is there.
func (c *certificate) look() string {
	stamp := ""
	for _, path := range []string{c.cert, c.key} {
		if st, err := os.Stat(path); err == nil {
			stamp += fmt.Sprint(st.ModTime().UnixNano(), " ", st.Size(), " ")
		}
	}
	return stamp
}

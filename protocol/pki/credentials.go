package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// reloadEvery bounds how often a handshake looks at the files.
const reloadEvery = time.Second

// Credentials are this process's certificate and the authorities it trusts.
// They are read again when the files change, so that certificates are replaced
// without a restart; broken files are logged and the old ones kept.
type Credentials struct {
	// Set when made, never changed.
	dir string // empty: in memory
	log *slog.Logger
	now func() time.Time

	mu      sync.Mutex // guards the fields below
	current *material
	checked time.Time
	tried   string // stamp of the files last read, good or not
}

// material is one consistent reading of the files; it never changes.
type material struct {
	id    Identity
	cert  tls.Certificate
	roots *x509.CertPool
}

// Load reads ca.crt, tls.crt and tls.key of dir. A nil log is the default one.
func Load(dir string, log *slog.Logger) (*Credentials, error) {
	if log == nil {
		log = slog.Default()
	}
	c := &Credentials{dir: dir, log: log, now: time.Now}
	m, err := readMaterial(dir)
	if err != nil {
		return nil, fmt.Errorf("load credentials %s: %w", dir, err)
	}
	c.current, c.checked, c.tried = m, c.now(), stamp(dir)
	return c, nil
}

// Identity is who this process is.
func (c *Credentials) Identity() Identity { return c.get().id }

// get returns the newest usable material.
func (c *Credentials) get() *material {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dir == "" {
		return c.current
	}
	now := c.now()
	if now.Sub(c.checked) < reloadEvery {
		return c.current
	}
	c.checked = now
	s := stamp(c.dir)
	if s == c.tried {
		return c.current
	}
	c.tried = s
	m, err := readMaterial(c.dir)
	switch {
	case err != nil:
		c.log.Error("new credentials are not usable, keeping the old ones", "dir", c.dir, "error", err)
	case m.id != c.current.id:
		c.log.Error("new credentials are of somebody else, keeping the old ones; restart to change who this process is",
			"dir", c.dir, "identity", c.current.id.String(), "found", m.id.String())
	default:
		c.log.Info("credentials replaced", "dir", c.dir, "until", m.cert.Leaf.NotAfter)
		c.current = m
	}
	return c.current
}

// stamp changes whenever one of the files does.
func stamp(dir string) string {
	s := ""
	for _, name := range []string{FileCA, FileCert, FileKey} {
		if fi, err := os.Stat(filepath.Join(dir, name)); err == nil {
			s += fmt.Sprintf("%d.%d ", fi.ModTime().UnixNano(), fi.Size())
		} else {
			s += "? "
		}
	}
	return s
}

func readMaterial(dir string) (*material, error) {
	var parts [3][]byte
	for i, name := range []string{FileCA, FileCert, FileKey} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		parts[i] = b
	}
	return parseMaterial(parts[0], parts[1], parts[2])
}

func parseMaterial(caPEM, certPEM, keyPEM []byte) (*material, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(caPEM) {
		return nil, errors.New("no PEM certificate in " + FileCA)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", FileCert, FileKey, err)
	}
	id, err := certificateIdentity(cert.Leaf)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", FileCert, err)
	}
	m := &material{id: id, cert: cert, roots: roots}
	if err := m.verify([]*x509.Certificate{cert.Leaf}, x509.ExtKeyUsageClientAuth, time.Now()); err != nil {
		return nil, fmt.Errorf("%s: %w", FileCert, err)
	}
	return m, nil
}

// ServerConfig is mutual TLS 1.3 for a listener. Every role of this cluster
// gets through; what it may do is the listener's affair (PeerIdentity).
func (c *Credentials) ServerConfig(alpn ...string) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             alpn,
		SessionTicketsDisabled: true, // every connection proves itself against the certificates of now
		ClientAuth:             tls.RequireAnyClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &c.get().cert, nil
		},
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := c.verifyPeer(state, x509.ExtKeyUsageClientAuth)
			return err
		},
	}
}

// ClientConfig is mutual TLS 1.3 towards a peer that must be of the same
// cluster and have this role. The host name that was dialled decides nothing.
func (c *Credentials) ClientConfig(expect Role, alpn ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: alpn,
		// The chain and the URI are verified below; only the check of the host
		// name is left out.
		InsecureSkipVerify: true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &c.get().cert, nil
		},
		VerifyConnection: func(state tls.ConnectionState) error {
			id, err := c.verifyPeer(state, x509.ExtKeyUsageServerAuth)
			if err != nil {
				return err
			}
			if id.Role != expect {
				return fmt.Errorf("%w: %s where a %s was expected", ErrIdentity, id, expect)
			}
			return nil
		},
	}
}

func (c *Credentials) verifyPeer(state tls.ConnectionState, usage x509.ExtKeyUsage) (Identity, error) {
	id, err := PeerIdentity(state)
	if err != nil {
		return Identity{}, err
	}
	m := c.get()
	if err := m.verify(state.PeerCertificates, usage, time.Now()); err != nil {
		return Identity{}, fmt.Errorf("%w %s: %w", ErrIdentity, id, err)
	}
	if id.Cluster != m.id.Cluster {
		return Identity{}, fmt.Errorf("%w: %s is not of cluster %s", ErrIdentity, id, m.id.Cluster)
	}
	return id, nil
}

func (m *material) verify(chain []*x509.Certificate, usage x509.ExtKeyUsage, now time.Time) error {
	intermediates := x509.NewCertPool()
	for _, cert := range chain[1:] {
		intermediates.AddCert(cert)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots:         m.roots,
		Intermediates: intermediates,
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{usage},
	})
	return err
}

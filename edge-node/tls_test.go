package edgenode

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/barrage-im/barrage/protocol/transport"
)

// writeCertificate makes a self-signed certificate for loopback.
func writeCertificate(t *testing.T, dir string, serial int64) (cert, key string, roots *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots = x509.NewCertPool()
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(parsed)
	return cert, key, roots
}

func TestClientsComeInOverTLS(t *testing.T) {
	cert, key, roots := writeCertificate(t, t.TempDir(), 1)
	e := startEdge(t, startCore(t), func(c *Config) {
		c.Listen = Listen{HTTPS: "127.0.0.1:0", TCPS: "127.0.0.1:0", Cert: cert, Key: key}
	})
	for _, url := range e.Endpoints() {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		conn, err := transport.Dial(ctx, url, transport.DialOptions{TLS: &tls.Config{RootCAs: roots}})
		cancel()
		if err != nil {
			t.Fatalf("%s: %v", url, err)
		}
		c := &peer{t: t, conn: conn, came: make(chan struct{}), resume: make(chan struct{})}
		go c.read()
		if c.call(connect("anonymous:ann")).GetConnected() == nil {
			t.Errorf("%s: not connected", url)
		}
		if f := c.call(publish("lobby", "k"+url[:3], "over TLS")); f.GetPublished() == nil {
			t.Errorf("%s: %v", url, f)
		}
		_ = conn.Close()
	}
}

func TestCertificateIsRenewedWithoutRestart(t *testing.T) {
	dir := t.TempDir()
	cert, key, _ := writeCertificate(t, dir, 1)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	c := &certificate{cert: cert, key: key, current: &pair}
	c.stamp = c.look()
	serial := func(now time.Time) int64 { return c.get(now).Leaf.SerialNumber.Int64() }
	writeCertificate(t, dir, 22)
	later := time.Now().Add(time.Minute)
	if got := serial(later); got != 22 {
		t.Errorf("serial %d after the renewal", got)
	}
	if err := os.WriteFile(cert, []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := serial(later.Add(time.Minute)); got != 22 {
		t.Errorf("serial %d with a broken file", got)
	}
}

func TestACertificateCoversAFleet(t *testing.T) {
	for _, c := range []struct {
		certificate, edge string
		want              bool
	}{
		{"edge", "edge", true},
		{"edge", "edge-6b9c4-x2x7z", true},
		{"edge", "edges", false},
		{"edge", "other", false},
		{"edge-a", "edge", false},
	} {
		if got := covers(c.certificate, c.edge); got != c.want {
			t.Errorf("a certificate for %s, edge %s: %v", c.certificate, c.edge, got)
		}
	}
}

package pki

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func newCA(t *testing.T, cluster string) *CA {
	t.Helper()
	ca, err := NewCA(cluster, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func credentials(t *testing.T, ca *CA, role Role, name string) *Credentials {
	t.Helper()
	cert, err := ca.Issue(role, name, []string{"127.0.0.1", "localhost"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cert.Credentials()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// handshake returns what each end thinks of the other.
func handshake(t *testing.T, client, server *tls.Config) (seen Identity, clientErr, serverErr error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	done := make(chan error, 1)
	go func() {
		s := tls.Server(b, server)
		err := s.HandshakeContext(t.Context())
		if err == nil {
			seen, err = PeerIdentity(s.ConnectionState())
		}
		if err == nil {
			_, err = s.Write([]byte("x"))
		}
		b.Close()
		done <- err
	}()
	c := tls.Client(a, client)
	clientErr = c.HandshakeContext(t.Context())
	if clientErr == nil {
		_, clientErr = io.ReadFull(c, make([]byte, 1)) // in TLS 1.3 the server's refusal comes after
	}
	a.Close()
	serverErr = <-done
	return seen, clientErr, serverErr
}

func TestHandshakeProvesIdentity(t *testing.T) {
	ca := newCA(t, "c1")
	core, edge := credentials(t, ca, Core, "n1"), credentials(t, ca, Edge, "e1")
	seen, cerr, serr := handshake(t, edge.ClientConfig(Core, "h2"), core.ServerConfig("h2"))
	if cerr != nil || serr != nil {
		t.Fatal(cerr, serr)
	}
	if want := (Identity{"c1", Edge, "e1"}); seen != want {
		t.Fatalf("server saw %v, want %v", seen, want)
	}
}

func TestStrangersAreRefused(t *testing.T) {
	ca, other := newCA(t, "c1"), newCA(t, "c2")
	impostor := newCA(t, "c1") // same name, another key
	core, edge := credentials(t, ca, Core, "n1"), credentials(t, ca, Edge, "e1")
	sameKeyOtherCluster := &CA{cluster: "c9", cert: ca.cert, key: ca.key}
	for _, c := range []struct {
		name           string
		client, server *tls.Config
	}{
		{"client of another cluster", credentials(t, other, Core, "n1").ClientConfig(Core), core.ServerConfig()},
		{"client of an impostor", credentials(t, impostor, Edge, "e1").ClientConfig(Core), core.ServerConfig()},
		{"client with a foreign cluster name", credentials(t, sameKeyOtherCluster, Edge, "e1").ClientConfig(Core), core.ServerConfig()},
		{"client without certificate", &tls.Config{InsecureSkipVerify: true}, core.ServerConfig()},
		{"client whose certificate has expired", func() *tls.Config {
			old, err := ca.Issue(Edge, "e1", nil, -time.Second)
			if err != nil {
				t.Fatal(err)
			}
			pair, err := tls.X509KeyPair(old.Cert, old.Key)
			if err != nil {
				t.Fatal(err)
			}
			return &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}}
		}(), core.ServerConfig()},
		{"client of TLS 1.2", func() *tls.Config {
			c := edge.ClientConfig(Core)
			c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
			return c
		}(), core.ServerConfig()},
		{"server is an edge", edge.ClientConfig(Core), credentials(t, ca, Edge, "e2").ServerConfig()},
		{"server of another cluster", edge.ClientConfig(Core), credentials(t, other, Core, "n1").ServerConfig()},
		{"server of an unexpected role", edge.ClientConfig(Operator), core.ServerConfig()},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, cerr, serr := handshake(t, c.client, c.server); cerr == nil || serr == nil {
				t.Fatalf("got through: client %v, server %v", cerr, serr)
			}
		})
	}
}

func TestExpiredCertificateIsRefused(t *testing.T) {
	ca := newCA(t, "c1")
	cert, err := ca.Issue(Edge, "e1", nil, -time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cert.Credentials(); err == nil {
		t.Fatal("expired certificate was loaded")
	}
}

func TestIssueRefusesBadNames(t *testing.T) {
	ca := newCA(t, "c1")
	for _, name := range []string{"", "a/b", "..", "a b", strings.Repeat("x", 64), "é"} {
		if _, err := ca.Issue(Core, name, nil, time.Hour); err == nil {
			t.Errorf("name %q was accepted", name)
		}
	}
	if _, err := ca.Issue("admin", "x", nil, time.Hour); err == nil {
		t.Error("unknown role was accepted")
	}
	if _, err := NewCA("a/core", time.Now()); err == nil {
		t.Error("cluster with a slash was accepted")
	}
}

func TestFilesAreReloadedAndBrokenOnesIgnored(t *testing.T) {
	dir := t.TempDir()
	ca := newCA(t, "c1")
	if err := ca.Write(filepath.Join(dir, "ca")); err != nil {
		t.Fatal(err)
	}
	ca, err := LoadCA(filepath.Join(dir, "ca"))
	if err != nil {
		t.Fatal(err)
	}
	issue := func(role Role, name string) {
		t.Helper()
		cert, err := ca.Issue(role, name, nil, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if err := cert.Write(dir); err != nil {
			t.Fatal(err)
		}
	}
	issue(Edge, "e1")
	for _, name := range []string{FileCert, FileKey, FileCA} {
		fi, err := os.Stat(filepath.Join(dir, name))
		if err != nil || fi.Mode().Perm() != 0o600 {
			t.Fatalf("%s: mode %v, %v", name, fi.Mode(), err)
		}
	}
	var logged bytes.Buffer
	c, err := Load(dir, slog.New(slog.NewTextHandler(&logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c.now = func() time.Time { return now }
	serial := func() string { return c.get().cert.Leaf.SerialNumber.String() }
	first := serial()

	if err := os.WriteFile(filepath.Join(dir, FileCert), []byte("not a certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * reloadEvery)
	if serial() != first || !strings.Contains(logged.String(), "keeping the old") {
		t.Fatalf("broken file was not ignored with a message: %s", logged.String())
	}

	issue(Operator, "mallory")
	now = now.Add(2 * reloadEvery)
	if serial() != first {
		t.Fatal("a certificate of another identity was taken over")
	}

	issue(Edge, "e1")
	if serial() != first {
		t.Fatal("files were looked at again within the second")
	}
	now = now.Add(2 * reloadEvery)
	if serial() == first {
		t.Fatal("new certificate was not taken over")
	}
}

func TestLoadNamesWhatIsMissing(t *testing.T) {
	if _, err := Load(t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), FileCA) {
		t.Fatalf("error %v does not name %s", err, FileCA)
	}
}

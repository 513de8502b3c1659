// Package pki is who a Barrage process is to the others: certificates whose URI
// names the cluster, the role and the name, and the mutual TLS 1.3 made from
// them. Host names decide nothing. What an identity may do is not decided here.
package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Role is what kind of process (or person) a certificate is for.
type Role string

// The roles.
const (
	Core     Role = "core"
	Edge     Role = "edge"
	Operator Role = "operator"
	Hook     Role = "hook" // an external check of messages: edges call it, and it may call nobody
)

// Identity is the URI of a certificate: spiffe://barrage/<cluster>/<role>/<name>.
type Identity struct {
	Cluster string
	Role    Role
	Name    string
}

// maxName bounds the cluster and the name of an identity, in bytes: a DNS label.
const maxName = 63

// ErrIdentity is wrapped by every refusal of a peer's identity.
var ErrIdentity = errors.New("peer identity")

func (id Identity) String() string {
	return "spiffe://barrage/" + id.Cluster + "/" + string(id.Role) + "/" + id.Name
}

func (id Identity) uri() *url.URL {
	return &url.URL{Scheme: "spiffe", Host: "barrage", Path: "/" + id.Cluster + "/" + string(id.Role) + "/" + id.Name}
}

func (id Identity) check() error {
	switch id.Role {
	case Core, Edge, Operator, Hook:
	default:
		return fmt.Errorf("role %q is none of core, edge, operator, hook", id.Role)
	}
	if err := checkName("cluster", id.Cluster); err != nil {
		return err
	}
	return checkName("name", id.Name)
}

// checkName keeps names to characters that mean themselves in a URI, a file
// name and a log line.
func checkName(what, name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("%s %q must have 1 to %d characters", what, name, maxName)
	}
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return fmt.Errorf("%s %q may hold letters, digits, '-', '_' and '.' only", what, name)
		}
	}
	if name == "." || name == ".." {
		return fmt.Errorf("%s must not be %q", what, name)
	}
	return nil
}

// certificateIdentity reads the one URI of a certificate.
func certificateIdentity(cert *x509.Certificate) (Identity, error) {
	if len(cert.URIs) != 1 {
		return Identity{}, fmt.Errorf("%w: certificate has %d URIs, not one", ErrIdentity, len(cert.URIs))
	}
	u := cert.URIs[0]
	parts := strings.Split(strings.TrimPrefix(u.Path, "/"), "/")
	if u.Scheme != "spiffe" || u.Host != "barrage" || len(parts) != 3 || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return Identity{}, fmt.Errorf("%w: %q is not spiffe://barrage/<cluster>/<role>/<name>", ErrIdentity, u)
	}
	id := Identity{Cluster: parts[0], Role: Role(parts[1]), Name: parts[2]}
	if err := id.check(); err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	return id, nil
}

// PeerIdentity is the identity that the other end of a finished handshake
// proved. It has been verified by the configurations of this package already.
func PeerIdentity(state tls.ConnectionState) (Identity, error) {
	if len(state.PeerCertificates) == 0 {
		return Identity{}, fmt.Errorf("%w: the peer showed no certificate", ErrIdentity)
	}
	return certificateIdentity(state.PeerCertificates[0])
}

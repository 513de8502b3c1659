package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// Files of a credentials directory.
const (
	FileCA    = "ca.crt" // the cluster's authority; may hold several while one replaces another
	FileCAKey = "ca.key" // only where certificates are issued
	FileCert  = "tls.crt"
	FileKey   = "tls.key"
)

const (
	// authorityLife is how long an authority is valid: a cluster should not
	// stop because nobody remembered; replacing it earlier needs no downtime.
	authorityLife = 10 * 365 * 24 * time.Hour
	// clockSkew is how far apart the clocks of two processes may be.
	clockSkew = 5 * time.Minute
)

// A CA issues the certificates of one cluster.
type CA struct {
	cluster string
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
}

// NewCA makes an authority for a cluster, valid from now on.
func NewCA(cluster string, now time.Time) (*CA, error) {
	if err := checkName("cluster", cluster); err != nil {
		return nil, fmt.Errorf("new authority: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("new authority: %w", err)
	}
	serial, err := serialNumber()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "barrage " + cluster},
		URIs:                  []*url.URL{{Scheme: "spiffe", Host: "barrage", Path: "/" + cluster}},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(authorityLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("new authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("new authority: %w", err)
	}
	return &CA{cluster: cluster, cert: cert, key: key}, nil
}

// LoadCA reads ca.crt and ca.key of a directory.
func LoadCA(dir string) (*CA, error) {
	certPEM, err := os.ReadFile(filepath.Join(dir, FileCA))
	if err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	keyPEM, err := os.ReadFile(filepath.Join(dir, FileCAKey))
	if err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	ca, err := parseCA(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("load authority %s: %w", dir, err)
	}
	return ca, nil
}

func parseCA(certPEM, keyPEM []byte) (*CA, error) {
	block, _ := pem.Decode(certPEM)
	if block == nil {
		return nil, errors.New("no PEM certificate in " + FileCA)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", FileCA, err)
	}
	if len(cert.URIs) != 1 || !cert.IsCA || len(cert.URIs[0].Path) < 2 {
		return nil, errors.New(FileCA + " is not an authority made by barrage cert")
	}
	block, _ = pem.Decode(keyPEM)
	if block == nil {
		return nil, errors.New("no PEM key in " + FileCAKey)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New(FileCAKey + " is not a PKCS #8 key")
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New(FileCAKey + " does not belong to " + FileCA)
	}
	return &CA{cluster: cert.URIs[0].Path[1:], cert: cert, key: key}, nil
}

// Cluster is the cluster whose certificates this authority issues.
func (ca *CA) Cluster() string { return ca.cluster }

// CertPEM is the authority's certificate, which every member needs.
func (ca *CA) CertPEM() []byte { return encodeCert(ca.cert.Raw) }

// Write stores ca.crt and ca.key in dir, readable by the owner only.
func (ca *CA) Write(dir string) error {
	keyPEM, err := encodeKey(ca.key)
	if err != nil {
		return fmt.Errorf("write authority: %w", err)
	}
	return writeFiles(dir, file{FileCAKey, keyPEM}, file{FileCA, ca.CertPEM()})
}

// Issue makes a certificate for a role and name, valid for ttl. hosts (names or
// IP addresses) are put in for tools that look at them; Barrage does not.
func (ca *CA) Issue(role Role, name string, hosts []string, ttl time.Duration) (*Certificate, error) {
	id := Identity{Cluster: ca.cluster, Role: role, Name: name}
	if err := id.check(); err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	serial, err := serialNumber()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: string(role) + " " + name},
		URIs:         []*url.URL{id.uri()},
		NotBefore:    now.Add(-clockSkew),
		NotAfter:     now.Add(ttl),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if role == Core || role == Hook { // the roles that others connect to
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		return nil, fmt.Errorf("issue certificate for %s: %w", id, err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, fmt.Errorf("issue certificate for %s: %w", id, err)
	}
	return &Certificate{CA: ca.CertPEM(), Cert: encodeCert(der), Key: keyPEM}, nil
}

// Certificate is what one process needs to prove who it is and to check the
// others, each part PEM encoded.
type Certificate struct {
	CA, Cert, Key []byte
}

// Write stores ca.crt, tls.crt and tls.key in dir, readable by the owner only.
func (c *Certificate) Write(dir string) error {
	return writeFiles(dir, file{FileCA, c.CA}, file{FileKey, c.Key}, file{FileCert, c.Cert})
}

// Credentials are for use in memory, without files and without reloading.
func (c *Certificate) Credentials() (*Credentials, error) {
	m, err := parseMaterial(c.CA, c.Cert, c.Key)
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	return &Credentials{current: m}, nil
}

func serialNumber() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("serial number: %w", err)
	}
	return n, nil
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

type file struct {
	name string
	data []byte
}

// writeFiles replaces each file in one step, so that a process that reloads
// never reads half of one.
func writeFiles(dir string, files ...file) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("write credentials: %w", err)
	}
	for _, f := range files {
		tmp, err := os.CreateTemp(dir, "."+f.name+"-*") // 0600
		if err != nil {
			return fmt.Errorf("write credentials: %w", err)
		}
		_, err = tmp.Write(f.data)
		err = errors.Join(err, tmp.Close())
		if err == nil {
			err = os.Rename(tmp.Name(), filepath.Join(dir, f.name))
		}
		if err != nil {
			return errors.Join(fmt.Errorf("write credentials: %w", err), os.Remove(tmp.Name()))
		}
	}
	return nil
}

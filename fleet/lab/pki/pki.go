// Package pki makes what a cluster's processes know each other by: its two
// authorities, serving and client certificates, the key that signs service
// account tokens, and a kubeconfig for each user.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/barrage-im/barrage/fleet/lab/plan"
)

// validity is long enough for any lab and short enough to be no asset.
const validity = 30 * 24 * time.Hour

// Ensure writes the region's files into dir unless they are there:
//
//	ca, front-proxy-ca                  .crt .key
//	apiserver, kubelet-NODE             .crt .key   serving
//	apiserver-kubelet, front-proxy      .crt .key   clients
//	service-account                     .pub .key
//	admin, controller-manager, scheduler, proxy, node-NODE   .kubeconfig
//
// The last file written says that all are there.
func Ensure(dir string, region plan.Region) error {
	done := filepath.Join(dir, "complete")
	if _, err := os.Stat(done); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	w := writer{dir: dir}
	ca := w.authority("ca", "lab-"+region.Name)
	front := w.authority("front-proxy-ca", "lab-front-proxy-"+region.Name)
	w.pair("apiserver", ca.serving("kube-apiserver", "", "localhost", "kubernetes", "kubernetes.default",
		"kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		"127.0.0.1", region.IP(), region.KubernetesIP()))
	w.pair("apiserver-kubelet", ca.client("kube-apiserver-kubelet-client", "system:masters"))
	w.pair("front-proxy", front.client("front-proxy-client", ""))
	w.signer("service-account")
	w.kubeconfig("admin", region, ca, "admin", "system:masters")
	w.kubeconfig("controller-manager", region, ca, "system:kube-controller-manager", "")
	w.kubeconfig("scheduler", region, ca, "system:kube-scheduler", "")
	w.kubeconfig("proxy", region, ca, "system:kube-proxy", "")
	for _, n := range region.All() {
		user := "system:node:" + n.Name()
		w.pair("kubelet-"+n.Name(), ca.serving(user, "system:nodes", n.Name(), n.IP()))
		w.kubeconfig("node-"+n.Name(), region, ca, user, "system:nodes")
	}
	w.file("complete", nil)
	if w.err != nil {
		return fmt.Errorf("certificates of region %s: %w", region.Name, w.err)
	}
	return nil
}

// A pair is a certificate and its key, both PEM.
type pair struct {
	cert, key []byte
	err       error
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func (a *authority) serving(name, group string, hosts ...string) pair {
	t := subject(name, group)
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	return a.sign(t)
}

func (a *authority) client(name, group string) pair {
	t := subject(name, group)
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return a.sign(t)
}

func (a *authority) sign(t *x509.Certificate) pair {
	if a == nil {
		return pair{} // the writer holds the reason
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{err: err}
	}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return pair{err: err}
	}
	encoded, err := encodeKey(key)
	return pair{cert: block("CERTIFICATE", der), key: encoded, err: err}
}

// subject is a certificate with Kubernetes' user (name) and group.
func subject(name, group string) *x509.Certificate {
	t := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(validity),
	}
	if group != "" {
		t.Subject.Organization = []string{group}
	}
	return t
}

// A writer writes files until the first error, which it keeps.
type writer struct {
	dir string
	err error
}

func (w *writer) file(name string, content []byte) {
	if w.err == nil {
		w.err = os.WriteFile(filepath.Join(w.dir, name), content, 0o600)
	}
}

func (w *writer) pair(name string, p pair) {
	if w.err == nil {
		w.err = p.err
	}
	w.file(name+".crt", p.cert)
	w.file(name+".key", p.key)
}

func (w *writer) authority(name, commonName string) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.err = err
		return nil
	}
	t := subject(commonName, "")
	t.IsCA, t.BasicConstraintsValid = true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		w.err = err
		return nil
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		w.err = err
		return nil
	}
	encoded, err := encodeKey(key)
	a := &authority{cert: cert, key: key, pem: block("CERTIFICATE", der)}
	w.pair(name, pair{cert: a.pem, key: encoded, err: err})
	return a
}

func (w *writer) signer(name string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.err = err
		return
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		w.err = err
		return
	}
	encoded, err := encodeKey(key)
	if err != nil {
		w.err = err
	}
	w.file(name+".key", encoded)
	w.file(name+".pub", block("PUBLIC KEY", public))
}

func (w *writer) kubeconfig(name string, region plan.Region, ca *authority, user, group string) {
	p := ca.client(user, group)
	if w.err == nil {
		w.err = p.err
	}
	if w.err != nil {
		return
	}
	b64 := base64.StdEncoding.EncodeToString
	w.file(name+".kubeconfig", fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: %[1]s
clusters:
- name: %[1]s
  cluster: {server: %[2]q, certificate-authority-data: %[3]s}
contexts:
- name: %[1]s
  context: {cluster: %[1]s, user: %[4]s}
users:
- name: %[4]s
  user: {client-certificate-data: %[5]s, client-key-data: %[6]s}
`, region.Name, region.Server(), b64(ca.pem), name, b64(p.cert), b64(p.key)))
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	return block("EC PRIVATE KEY", der), err
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err) // crypto/rand never fails on Linux
	}
	return n
}

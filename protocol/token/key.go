package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

const (
	// MinSecret bounds an HS256 secret from below, in bytes (RFC 7518, section 3.2).
	MinSecret = 32
	// MinRSA and MaxRSA bound an RSA modulus, in bits: below is forgeable
	// (RFC 7518, section 3.3), above makes checking a signature an attack.
	MinRSA = 2048
	MaxRSA = 8192
)

// NewKey makes a key for an algorithm. private is PEM (PKCS #8), or a text
// secret for HS256; public is PEM (PKIX), and nil for HS256.
func NewKey(algorithm string) (private, public []byte, err error) {
	var key crypto.Signer
	switch algorithm {
	case EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RS256:
		key, err = rsa.GenerateKey(rand.Reader, 3072)
	case HS256:
		secret := make([]byte, MinSecret)
		_, _ = rand.Read(secret) // never fails
		return []byte(base64.RawURLEncoding.EncodeToString(secret) + "\n"), nil, nil
	default:
		return nil, nil, fmt.Errorf("algorithm %q: use one of %v", algorithm, Algorithms())
	}
	if err != nil {
		return nil, nil, fmt.Errorf("make %s key: %w", algorithm, err)
	}
	priv, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode %s key: %w", algorithm, err)
	}
	pub, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, nil, fmt.Errorf("encode %s key: %w", algorithm, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: priv}),
		pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pub}), nil
}

// ParsePrivate reads a signing key as NewKey writes it and says which algorithm
// it is for. Text that is not PEM is an HS256 secret.
func ParsePrivate(text []byte) (key any, algorithm string, err error) {
	block, _ := pem.Decode(text)
	if block == nil {
		secret, err := parseSecret(text)
		return secret, HS256, err
	}
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, "", fmt.Errorf("PEM block is a %q, want a PRIVATE KEY", block.Type)
	}
	if err != nil {
		return nil, "", err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, "", fmt.Errorf("%T cannot sign", key)
	}
	algorithm, err = AlgorithmOf(signer.Public())
	return key, algorithm, err
}

// ParsePublic reads a key that checks signatures of the given algorithm: PEM
// (PKIX or a certificate), or for HS256 the text secret. A PEM key is never
// taken as a secret: whoever knows a public key could sign with it.
func ParsePublic(text []byte, algorithm string) (any, error) {
	block, _ := pem.Decode(text)
	if algorithm == HS256 {
		if block != nil || strings.Contains(string(text), "-----BEGIN") {
			return nil, errors.New("an HS256 secret must not be a PEM key: use the key's own algorithm")
		}
		return parseSecret(text)
	}
	if block == nil {
		return nil, errors.New("no PEM block; want a PUBLIC KEY")
	}
	var key any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "CERTIFICATE":
		var cert *x509.Certificate
		if cert, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = cert.PublicKey
		}
	default:
		return nil, fmt.Errorf("PEM block is a %q, want a PUBLIC KEY (private keys do not belong on an edge)", block.Type)
	}
	if err != nil {
		return nil, err
	}
	is, err := AlgorithmOf(key)
	if err != nil {
		return nil, err
	}
	if is != algorithm {
		return nil, fmt.Errorf("the key is for %s, not %s", is, algorithm)
	}
	return key, nil
}

// AlgorithmOf is the one algorithm that a public key is used with here.
func AlgorithmOf(key crypto.PublicKey) (string, error) {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return EdDSA, nil
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return "", fmt.Errorf("EC key on %s; only P-256 (ES256) is supported", k.Curve.Params().Name)
		}
		return ES256, nil
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < MinRSA || bits > MaxRSA {
			return "", fmt.Errorf("RSA key of %d bits; want %d to %d", bits, MinRSA, MaxRSA)
		}
		return RS256, nil
	}
	return "", fmt.Errorf("%T is not supported; use Ed25519, P-256 or RSA", key)
}

func parseSecret(text []byte) ([]byte, error) {
	secret := strings.TrimSpace(string(text))
	if len(secret) < MinSecret {
		return nil, fmt.Errorf("an HS256 secret needs at least %d bytes, this one has %d", MinSecret, len(secret))
	}
	return []byte(secret), nil
}

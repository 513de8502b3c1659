package bundle

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
)

// MaxKeys bounds the keys of one file.
const MaxKeys = 16

const keyIDSize = 8

// KeyID is the name of a key: the first 8 bytes of the SHA-256 of the public
// key, in hex.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:keyIDSize])
}

// MarshalPrivateKey writes a key as PKCS #8 in PEM.
func MarshalPrivateKey(key ed25519.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// MarshalPublicKey writes a key as PKIX in PEM.
func MarshalPublicKey(key ed25519.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// ParsePrivateKey reads a signing key.
func ParsePrivateKey(text []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(text)
	switch {
	case block == nil:
		return nil, errors.New("not a PEM file")
	case block.Type == "PUBLIC KEY":
		return nil, errors.New("this is the public key; signing takes the private one")
	case block.Type != "PRIVATE KEY":
		return nil, fmt.Errorf("a PEM block of type %.40q; want PRIVATE KEY", block.Type)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the private key cannot be read") // its bytes are no part of a message
	}
	signing, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the key is a %T; bundles are signed with Ed25519", key)
	}
	return signing, nil
}

// ParsePublicKeys reads the keys that may sign, one or more PEM blocks: while a
// key is changed for another both are trusted.
func ParsePublicKeys(text []byte) ([]ed25519.PublicKey, error) {
	var keys []ed25519.PublicKey
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "PUBLIC KEY" {
			return nil, fmt.Errorf("PEM block %d is of type %.40q; want PUBLIC KEY", len(keys)+1, block.Type)
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("public key %d: %w", len(keys)+1, err)
		}
		public, ok := key.(ed25519.PublicKey)
		if !ok {
			return nil, fmt.Errorf("public key %d is a %T; bundles are signed with Ed25519", len(keys)+1, key)
		}
		if keys = append(keys, public); len(keys) > MaxKeys {
			return nil, fmt.Errorf("more than %d public keys", MaxKeys)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("no public key in PEM: want a file such as filter.pub")
	}
	return keys, nil
}

package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"github.com/barrage-im/barrage/protocol/token"
)

const (
	// maxKeys bounds the keys of a set: a token without a key id is checked
	// against all of one algorithm.
	maxKeys = 16
	// maxKeyID bounds a key id, in bytes: SHA-256 thumbprints have 43.
	maxKeyID = 128
)

// jwk is one JSON Web Key (RFC 7517, 7518 and 8037), as far as we use it.
type jwk struct {
	Type      string `json:"kty"`
	ID        string `json:"kid"`
	Algorithm string `json:"alg"`
	Use       string `json:"use"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	Y         string `json:"y"`
	N         string `json:"n"`
	E         string `json:"e"`
	K         string `json:"k"`
}

// parseSet reads a JSON Web Key Set. Keys for other uses and algorithms are
// skipped, with the reasons in skipped. Secrets are taken from files only: a
// secret that anybody can fetch is none.
func parseSet(text []byte, secrets bool) (keys []key, skipped []string, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, nil, errors.New("not a JSON Web Key Set")
	}
	for n, raw := range set.Keys {
		k, err := parseKey(raw, secrets)
		if err != nil {
			skipped = append(skipped, fmt.Sprintf("key %d: %v", n+1, err))
			continue
		}
		keys = append(keys, k)
	}
	switch {
	case len(keys) == 0:
		return nil, skipped, fmt.Errorf("no usable key in it: %v", skipped)
	case len(keys) > maxKeys:
		return nil, skipped, fmt.Errorf("%d keys; at most %d are taken", len(keys), maxKeys)
	}
	return keys, skipped, nil
}

func parseKey(raw json.RawMessage, secrets bool) (key, error) {
	var j jwk
	if err := json.Unmarshal(raw, &j); err != nil {
		return key{}, errors.New("not a JSON Web Key")
	}
	if j.Use != "" && j.Use != "sig" {
		return key{}, errors.New("not for signatures")
	}
	if len(j.ID) > maxKeyID {
		return key{}, fmt.Errorf("its id has %d bytes; at most %d are taken", len(j.ID), maxKeyID)
	}
	material, err := j.material()
	if err != nil {
		return key{}, err
	}
	algorithm := token.HS256
	if _, secret := material.([]byte); !secret {
		if algorithm, err = token.AlgorithmOf(material); err != nil {
			return key{}, err
		}
	} else if !secrets {
		return key{}, errors.New("a secret that is published is none")
	}
	if j.Algorithm != "" && j.Algorithm != algorithm {
		return key{}, fmt.Errorf("its algorithm is not supported; use one of %v", token.Algorithms())
	}
	return key{j.ID, algorithm, material}, nil
}

// material decodes the key itself. No error holds any of it.
func (j *jwk) material() (any, error) {
	switch {
	case j.Type == "OKP" && j.Curve == "Ed25519":
		x, err := decode(j.X, ed25519.PublicKeySize)
		return ed25519.PublicKey(x), err
	case j.Type == "EC" && j.Curve == "P-256":
		x, errX := decode(j.X, 32)
		y, errY := decode(j.Y, 32)
		if err := errors.Join(errX, errY); err != nil {
			return nil, err
		}
		point := append(append([]byte{4}, x...), y...)
		k, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		if err != nil {
			return nil, errors.New("its point is not on the curve")
		}
		return k, nil
	case j.Type == "RSA":
		n, errN := decode(j.N, 0)
		e, errE := decode(j.E, 0)
		if err := errors.Join(errN, errE); err != nil {
			return nil, err
		}
		exponent := new(big.Int).SetBytes(e)
		if len(n) > token.MaxRSA/8 || !exponent.IsInt64() || exponent.Int64() < 3 || exponent.Int64() >= 1<<31 || exponent.Bit(0) == 0 {
			return nil, errors.New("its modulus or exponent is out of range")
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, nil
	case j.Type == "oct":
		k, err := decode(j.K, 0)
		if err == nil && len(k) < token.MinSecret {
			err = fmt.Errorf("a secret needs at least %d bytes", token.MinSecret)
		}
		return k, err
	}
	return nil, errors.New("its type is not supported; use Ed25519, P-256 or RSA")
}

// decode takes base64url without padding; size 0 means any but empty.
func decode(text string, size int) ([]byte, error) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) == 0 || size > 0 && len(b) != size {
		return nil, errors.New("one of its numbers is missing or malformed")
	}
	return b, nil
}

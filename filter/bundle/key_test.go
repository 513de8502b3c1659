package bundle_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/barrage-im/barrage/filter/bundle"
)

func TestKeysAreWrittenAndRead(t *testing.T) {
	key := keyOf("k")
	text, err := bundle.MarshalPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := bundle.ParsePrivateKey(text); err != nil || !got.Equal(key) {
		t.Errorf("private: %v", err)
	}
	one, err := bundle.MarshalPublicKey(public(key))
	if err != nil {
		t.Fatal(err)
	}
	two, err := bundle.MarshalPublicKey(public(keyOf("next")))
	if err != nil {
		t.Fatal(err)
	}
	got, err := bundle.ParsePublicKeys(append(append(one, "a comment\n"...), two...))
	if err != nil || len(got) != 2 || !got[0].Equal(public(key)) || !got[1].Equal(public(keyOf("next"))) {
		t.Errorf("public: %v %v", got, err)
	}
	if id := bundle.KeyID(public(key)); len(id) != 16 || id == bundle.KeyID(public(keyOf("next"))) {
		t.Errorf("key id %q", id)
	}
}

func TestOtherFilesAreNoKeys(t *testing.T) {
	private, err := bundle.MarshalPrivateKey(keyOf("k"))
	if err != nil {
		t.Fatal(err)
	}
	pub, err := bundle.MarshalPublicKey(public(keyOf("k")))
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	otherPrivate := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if der, err = x509.MarshalPKIXPublicKey(curve.Public()); err != nil {
		t.Fatal(err)
	}
	otherPublic := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	torn := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("torn")})

	for want, text := range map[string][]byte{
		"not a PEM": nil, "this is the public key": pub, "type \"CERTIFICATE\"": []byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"),
		"signed with Ed25519": otherPrivate, "cannot be read": torn,
	} {
		if _, err := bundle.ParsePrivateKey(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("private: got %v, want %s", err, want)
		}
	}
	for want, text := range map[string][]byte{
		"no public key": nil, "want PUBLIC KEY": private, "signed with Ed25519": otherPublic,
		"more than 16": bytes.Repeat(pub, 17), "public key 1": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("torn")}),
	} {
		if _, err := bundle.ParsePublicKeys(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("public: got %v, want %s", err, want)
		}
	}
}

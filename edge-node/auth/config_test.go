package auth

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/barrage-im/barrage/protocol/ops"
	"github.com/barrage-im/barrage/protocol/token"
)

// B43: a configuration that would make a forgery possible does not start.
func TestKeysThatAreRefused(t *testing.T) {
	ed, rs := newPair(t, token.EdDSA), newPair(t, token.RS256)
	private, _, err := token.NewKey(token.EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ key, want string }{
		"public key as secret":  {"HS256:" + rs.path, "must not be a PEM key"},
		"short secret":          {"HS256:" + file(t, []byte("password")), "at least 32 bytes"},
		"wrong algorithm":       {"RS256:" + ed.path, "the key is for EdDSA, not RS256"},
		"private key":           {"EdDSA:" + file(t, private), "PRIVATE KEY"},
		"unknown algorithm":     {"none:" + ed.path, "ALGORITHM:path"},
		"algorithm in capitals": {"EDDSA:" + ed.path, "ALGORITHM:path"},
		"no algorithm":          {ed.path, "ALGORITHM:path"},
		"no file":               {"EdDSA:" + filepath.Join(t.TempDir(), "nothing"), "no such file"},
		"not PEM":               {"EdDSA:" + file(t, []byte("hello")), "no PEM block"},
		"too large":             {"EdDSA:" + file(t, make([]byte, maxKeyFile+1)), "at most"},
	} {
		cfg := Default()
		cfg.Keys = []string{c.key}
		_, err := New(cfg, discard)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"large leeway": {func(c *Config) { c.Leeway = time.Hour }, "leeway"},
		"issuer alone": {func(c *Config) { c.Issuer.Issuer = "x" }, "without keys"},
		"issuer twice": {func(c *Config) {
			c.Issuers = []Issuer{{Issuer: "x", Keys: []string{"HS256:a"}}, {Issuer: "x", Keys: []string{"HS256:a"}}}
		}, "twice"},
		"no keys in a list": {func(c *Config) { c.Issuers = []Issuer{{Issuer: "x"}} }, "no keys"},
		"plain http":        {func(c *Config) { c.JWKSURL = "http://id.example.com/" }, "https"},
		"age below refresh": {func(c *Config) { c.JWKSURL = "https://x/"; c.JWKSMaxAge = time.Second }, "shorter"},
	} {
		cfg := Default()
		c.change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestConfigurationIsLoadedByFlagsAndFile(t *testing.T) {
	p := newPair(t, token.EdDSA)
	cfg := struct {
		Auth Config `yaml:"auth"`
	}{Default()}
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte("auth:\n  audience: [chat]\n  issuers:\n  - issuer: https://b\n    keys: ['EdDSA:"+p.path+"']\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ops.Load("edge-node", &cfg, []string{"--config", path, "--auth-keys", "EdDSA:" + p.path, "--auth-leeway=10s"}, nil); err != nil {
		t.Fatal(err)
	}
	v := verifier(t, cfg.Auth)
	if len(v.issuers) != 2 || v.Leeway() != 10*time.Second || len(v.issuers[""].fixed) != 1 {
		t.Errorf("got %+v", v.issuers)
	}
}

func TestKeySetFile(t *testing.T) {
	h, e := newPair(t, token.HS256), newPair(t, token.EdDSA)
	cfg := Default()
	cfg.JWKSFile = file(t, keySet(t, map[string]pair{"h": h, "e": e}))
	v := verifier(t, cfg)
	for id, p := range map[string]pair{"h": h, "e": e} {
		if _, err := v.Verify(t.Context(), p.sign(t, claims(), id)); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	if _, err := v.Verify(t.Context(), h.sign(t, claims(), "e")); err == nil {
		t.Error("a key was used under another one's id")
	}
}

package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/barrage-im/barrage/protocol/token"
)

const (
	// DefaultLeeway is how far the issuer's clock and ours may be apart.
	DefaultLeeway = 30 * time.Second
	maxLeeway     = 5 * time.Minute
	// defaultRefresh is how often key sets are fetched, defaultMaxAge how long
	// keys are used when fetching fails: an outage of the issuer over a weekend
	// day should not lock everybody out, a withdrawn key should not live longer.
	defaultRefresh = 15 * time.Minute
	defaultMaxAge  = 24 * time.Hour
	// maxKeyFile bounds a key file, in bytes.
	maxKeyFile = 256 << 10
)

// Config says whose tokens are accepted.
type Config struct {
	Issuer        `yaml:",inline"`
	Issuers       []Issuer      `yaml:"issuers" help:"further issuers, each with issuer, audience, keys, jwks_file, jwks_url"`
	Leeway        time.Duration `yaml:"leeway" help:"how far an issuer's clock may be off"`
	AllowNoExpiry bool          `yaml:"allow_no_expiry" help:"accept tokens that never expire"`
}

// Issuer is one signer of tokens, and where its keys are.
type Issuer struct {
	Issuer   string   `yaml:"issuer" help:"iss that tokens must have; empty: none"`
	Audience []string `yaml:"audience" help:"aud, one of which tokens must have; empty: none"`
	Keys     []string `yaml:"keys" help:"key files as ALGORITHM:path or ALGORITHM@KID:path; PEM public keys, or the secret of HS256"`
	JWKSFile string   `yaml:"jwks_file" help:"file with a JSON Web Key Set"`
	JWKSURL  string   `yaml:"jwks_url" help:"URL of the issuer's JSON Web Key Set; https, or http on loopback"`
	// JWKSAllow opens what the fetcher refuses to connect to otherwise.
	JWKSAllow   []string      `yaml:"jwks_allow" help:"networks (CIDR) inside which jwks_url may be, besides public addresses, such as a cluster's services"`
	JWKSRefresh time.Duration `yaml:"jwks_refresh" help:"how often jwks_url is fetched; 0s stands for 15m"`
	JWKSMaxAge  time.Duration `yaml:"jwks_max_age" help:"how long its keys are used when it cannot be fetched; 0s stands for 24h"`
}

// Default is a leeway and nobody to trust.
func Default() Config { return Config{Leeway: DefaultLeeway} }

// Configured says whether anybody's tokens are accepted.
func (c Config) Configured() bool { return len(c.all()) > 0 }

func (c Config) all() []Issuer {
	if c.hasKeys() {
		return append([]Issuer{c.Issuer}, c.Issuers...)
	}
	return c.Issuers
}

// Validate refuses what could not be used.
func (c Config) Validate() error {
	if c.Leeway > maxLeeway {
		return fmt.Errorf("leeway %s: at most %s; set the clocks right instead", c.Leeway, maxLeeway)
	}
	if !c.hasKeys() && (c.Issuer.Issuer != "" || len(c.Audience) > 0) {
		return errors.New("an issuer or audience without keys: set keys, jwks_file or jwks_url too")
	}
	seen := map[string]bool{}
	for _, i := range c.all() {
		if seen[i.Issuer] {
			return fmt.Errorf("issuer %q is configured twice", i.Issuer)
		}
		seen[i.Issuer] = true
		if err := i.validate(); err != nil {
			return fmt.Errorf("issuer %q: %w", i.Issuer, err)
		}
	}
	return nil
}

func (i Issuer) hasKeys() bool { return len(i.Keys) > 0 || i.JWKSFile != "" || i.JWKSURL != "" }

func (i Issuer) validate() error {
	if !i.hasKeys() {
		return errors.New("it has no keys: set keys, jwks_file or jwks_url")
	}
	for _, k := range i.Keys {
		if _, _, _, err := splitKey(k); err != nil {
			return err
		}
	}
	if i.JWKSURL == "" {
		return nil
	}
	if i.maxAge() < i.refresh() {
		return fmt.Errorf("jwks_max_age %s is shorter than jwks_refresh %s", i.maxAge(), i.refresh())
	}
	_, err := newFetcher(i.JWKSURL, i.JWKSAllow)
	return err
}

func (i Issuer) refresh() time.Duration {
	if i.JWKSRefresh == 0 {
		return defaultRefresh
	}
	return max(i.JWKSRefresh, minFetchGap)
}

func (i Issuer) maxAge() time.Duration {
	if i.JWKSMaxAge == 0 {
		return max(defaultMaxAge, i.refresh())
	}
	return i.JWKSMaxAge
}

// splitKey takes ALGORITHM[@KID]:path apart.
func splitKey(text string) (algorithm, id, path string, err error) {
	head, path, ok := strings.Cut(text, ":")
	algorithm, id, _ = strings.Cut(head, "@")
	if !ok || path == "" || !slices.Contains(token.Algorithms(), algorithm) {
		return "", "", "", fmt.Errorf("key %q: write ALGORITHM:path or ALGORITHM@KID:path with an algorithm of %v", text, token.Algorithms())
	}
	return algorithm, id, path, nil
}

// load reads the issuer's key files.
func (i Issuer) load(log *slog.Logger) ([]key, error) {
	var keys []key
	for _, text := range i.Keys {
		algorithm, id, path, err := splitKey(text)
		if err != nil {
			return nil, err
		}
		content, err := readFile(path)
		if err != nil {
			return nil, err
		}
		material, err := token.ParsePublic(content, algorithm)
		if err != nil {
			return nil, fmt.Errorf("key file %s: %w", path, err)
		}
		keys = append(keys, key{id, algorithm, material})
	}
	if i.JWKSFile != "" {
		content, err := readFile(i.JWKSFile)
		if err != nil {
			return nil, err
		}
		set, skipped, err := parseSet(content, true)
		if err != nil {
			return nil, fmt.Errorf("key set %s: %w", i.JWKSFile, err)
		}
		for _, why := range skipped {
			log.Warn("key not used", "file", i.JWKSFile, "reason", why)
		}
		keys = append(keys, set...)
	}
	return keys, nil
}

func readFile(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	if st.Size() > maxKeyFile {
		return nil, fmt.Errorf("key file %s has %d bytes; at most %d are read", path, st.Size(), maxKeyFile)
	}
	return os.ReadFile(path)
}

// parseNetworks reads CIDRs and single addresses.
func parseNetworks(list []string) ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, aerr := netip.ParseAddr(text)
			if aerr != nil {
				return nil, fmt.Errorf("jwks_allow: %q is not a network such as 10.96.0.0/12", text)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		networks = append(networks, p.Masked())
	}
	return networks, nil
}

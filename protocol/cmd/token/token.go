// Package token is the command "barrage token": it makes signing keys and
// tokens for trials, tests and scripts, and shows what is in a token. An
// application's server makes its users' tokens itself, with any JWT library.
package token

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/ops"
	"github.com/barrage-im/barrage/protocol/token"
)

const usage = `Usage: barrage token COMMAND [flags]

  new-key  make a signing key:           barrage token new-key --alg EdDSA --out key.pem
  sign     make a token with it:         barrage token sign --key key.pem --user ann --room 'lobby:*=join,publish'
           or one with a role:           barrage token sign --key key.pem --user mia --room 'lobby:*=moderator'
  show     print a token, NOT verified:  barrage token show TOKEN   (- reads it from standard input)
`

// maxInput bounds what is read as a key or a token, in bytes.
const maxInput = 64 << 10

// Run runs one of the subcommands.
func Run(_ context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 || args[0] == "-h" || args[0] == "--help" {
		return &ops.HelpRequested{Text: usage}
	}
	switch args[0] {
	case "new-key":
		return newKey(args[1:], stdout)
	case "sign":
		return sign(args[1:], stdout, time.Now())
	case "show":
		return show(args[1:], os.Stdin, stdout, stderr, time.Now())
	}
	return ops.Usagef("token %s: use new-key, sign or show", args[0])
}

func newKey(args []string, stdout io.Writer) error {
	o := struct {
		Alg string `yaml:"alg" help:"EdDSA, ES256, RS256 or HS256"`
		Out string `yaml:"out" help:"file for the private key; the public one goes to a file beside it, with .pub before the ending"`
	}{Alg: token.EdDSA, Out: "key.pem"}
	if err := noArguments(ops.Flags("token new-key [--alg ALG] [--out FILE]", &o, args)); err != nil {
		return err
	}
	private, public, err := token.NewKey(o.Alg)
	if err != nil {
		return &ops.UsageError{Err: err}
	}
	if err := writeNew(o.Out, private, 0o600); err != nil {
		return err
	}
	if public == nil {
		_, err = fmt.Fprintf(stdout, "secret: %s\nnext: barrage edge-node --auth-keys %s:%s …\n", o.Out, o.Alg, o.Out)
		return err
	}
	pub := publicPath(o.Out)
	if err := writeNew(pub, public, 0o644); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "private key: %s\npublic key:  %s\nnext: barrage edge-node --auth-keys %s:%s …\n", o.Out, pub, o.Alg, pub)
	return err
}

func publicPath(private string) string {
	if base, ok := strings.CutSuffix(private, ".pem"); ok {
		return base + ".pub.pem"
	}
	return private + ".pub"
}

// writeNew never replaces a key: tokens signed with the old one would be lost.
func writeNew(path string, content []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s exists already; choose another --out", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

func sign(args []string, stdout io.Writer, now time.Time) error {
	o := struct {
		Key  string        `yaml:"key" help:"file with the private key, or the secret of HS256"`
		ID   string        `yaml:"kid" help:"key id to put in"`
		User string        `yaml:"user" help:"user id (sub)"`
		Name string        `yaml:"name" help:"display name"`
		Room roomList      `yaml:"room" help:"grant as PATTERN=VERB,VERB; may be repeated; verbs: join, publish, history, members, moderate; or a role, which implies verbs: owner, moderator, member, muted"`
		TTL  time.Duration `yaml:"ttl" help:"how long it is valid; 0: for ever"`
		Aud  []string      `yaml:"aud" help:"audience (aud)"`
		Iss  string        `yaml:"iss" help:"issuer (iss)"`
	}{Key: "key.pem", TTL: time.Hour}
	if err := noArguments(ops.Flags("token sign --key FILE --user USER [flags]", &o, args)); err != nil {
		return err
	}
	if o.User == "" {
		return ops.Usagef("--user: say whose token it is")
	}
	text, err := readFile(o.Key)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w; make a key with: barrage token new-key --out %s", err, o.Key)
	}
	if err != nil {
		return err
	}
	key, algorithm, err := token.ParsePrivate(text)
	if err != nil {
		return fmt.Errorf("key %s: %w", o.Key, err)
	}
	grants, err := o.Room.grants()
	if err != nil {
		return &ops.UsageError{Err: err}
	}
	c := token.Claims{Name: o.Name, Rooms: grants}
	c.Subject, c.Issuer, c.Audience = o.User, o.Iss, o.Aud
	c.IssuedAt = jwt.NewNumericDate(now)
	if o.TTL > 0 {
		c.ExpiresAt = jwt.NewNumericDate(now.Add(o.TTL))
	}
	signed, err := token.Sign(c, algorithm, key, o.ID)
	if err != nil {
		return &ops.UsageError{Err: err}
	}
	_, err = fmt.Fprintln(stdout, signed)
	return err
}

// roomList holds --room values. They contain commas, so that the values of
// repeated flags are told apart by their '='.
type roomList []string

func (l roomList) grants() ([]token.Grant, error) {
	var grants []token.Grant
	for _, part := range l {
		verb := part
		if i := strings.LastIndexByte(part, '='); i >= 0 { // room names may have one too
			grants = append(grants, token.Grant{Pattern: part[:i]})
			verb = part[i+1:]
		}
		if len(grants) == 0 {
			return nil, fmt.Errorf("--room %q: write PATTERN=VERB,VERB or PATTERN=ROLE", part)
		}
		last := &grants[len(grants)-1]
		if token.Implied(verb) != nil {
			if last.Role != "" {
				return nil, fmt.Errorf("--room %s: one grant gives one role, not %s and %s", last.Pattern, last.Role, verb)
			}
			last.Role = verb
			continue
		}
		if !slices.Contains(token.Verbs(), verb) {
			return nil, fmt.Errorf("--room: %q is no verb (%s) and no role (%s)", verb,
				strings.Join(token.Verbs(), ", "), strings.Join(protocol.Roles(), ", "))
		}
		last.Verbs = append(last.Verbs, verb)
	}
	return grants, nil
}

func show(args []string, stdin io.Reader, stdout, stderr io.Writer, now time.Time) error {
	var o struct{}
	rest, err := ops.Flags("token show TOKEN", &o, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return ops.Usagef("usage: barrage token show TOKEN")
	}
	raw := rest[0]
	if raw == "-" {
		text, err := io.ReadAll(io.LimitReader(stdin, maxInput))
		if err != nil {
			return err
		}
		raw = string(text)
	}
	parts := strings.Split(strings.TrimSpace(raw), ".")
	if len(parts) != 3 {
		return fmt.Errorf("this is not a token: it has %d parts between dots, not 3. Give the token itself, or - and the token on standard input", len(parts))
	}
	var decoded [2]map[string]any
	for i, what := range []string{"header", "claims"} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			return fmt.Errorf("%s: not base64url", what)
		}
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.UseNumber()
		if err := d.Decode(&decoded[i]); err != nil {
			return fmt.Errorf("%s: not a JSON object", what)
		}
	}
	e := json.NewEncoder(stdout)
	e.SetIndent("", "  ")
	if err := e.Encode(map[string]any{"header": decoded[0], "claims": decoded[1]}); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stderr, "The signature was NOT verified: anybody can have written this.%s\n", validity(decoded[1], now))
	return err
}

// validity says when the token ends, for people.
func validity(claims map[string]any, now time.Time) string {
	n, ok := claims["exp"].(json.Number)
	if !ok {
		return " It has no expiry."
	}
	seconds, err := n.Float64()
	if err != nil || seconds < 0 || seconds > 253402300799 {
		return " Its expiry is not a date."
	}
	at := time.Unix(int64(seconds), 0)
	if left := at.Sub(now); left > 0 {
		return fmt.Sprintf(" It expires in %s, at %s.", left.Round(time.Second), at.UTC().Format(time.DateTime))
	}
	return fmt.Sprintf(" It expired at %s.", at.UTC().Format(time.DateTime))
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, maxInput))
}

func noArguments(rest []string, err error) error {
	if err == nil && len(rest) > 0 {
		return ops.Usagef("unexpected argument %q", rest[0])
	}
	return err
}

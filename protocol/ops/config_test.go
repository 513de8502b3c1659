package ops_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/barrage-im/barrage/protocol/ops"
)

type limits struct {
	Frame ops.Bytes     `yaml:"frame" help:"largest frame"`
	Rate  float64       `yaml:"rate"`
	Rooms int           `yaml:"rooms"`
	Idle  time.Duration `yaml:"idle"`
	Shift time.Duration `yaml:"shift" negative:"ok"`
}

func (l limits) Validate() error {
	if l.Rooms > 256 {
		return errors.New("rooms: at most 256")
	}
	return nil
}

type peer struct {
	Name string   `yaml:"name"`
	Tags []string `yaml:"tags"`
}

type testConfig struct {
	Listen  string            `yaml:"listen" short:"l"`
	Public  bool              `yaml:"public"`
	Limits  limits            `yaml:"limits"`
	Origins []string          `yaml:"origins"`
	Labels  map[string]string `yaml:"labels"`
	Peers   []peer            `yaml:"peers"`
	Secret  ops.Secret        `yaml:"secret"`
	Auth    struct {
		Password ops.Secret `yaml:"password"`
	} `yaml:"auth"`
	Injected func()
}

func defaults() *testConfig {
	return &testConfig{Listen: ":8080", Limits: limits{Frame: 64 << 10, Rooms: 10, Idle: time.Minute}}
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPrecedenceAndOrigins(t *testing.T) {
	file := write(t, "c.yaml", `
listen: from-file
limits:
  frame: 1MiB
  rooms: 20
  idle: 30s
origins: [https://a.example, https://b.example]
peers:
  - name: p1
    tags: [x]
  - name: p2
`)
	cfg := defaults()
	origins, rest, err := ops.Load("test", cfg,
		[]string{"lobby", "--config=" + file, "--limits-rooms", "40", "--public", "--labels", "a=1,b=2", "--", "--not-a-flag"},
		[]string{"BARRAGE_LIMITS_ROOMS=30", "BARRAGE_LIMITS_IDLE=45s", "PATH=/bin", "BARRAGE_UNRELATED=1"})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Listen != "from-file" || cfg.Limits.Frame != 1<<20 || cfg.Limits.Rooms != 40 || cfg.Limits.Idle != 45*time.Second ||
		!cfg.Public || !slices.Equal(cfg.Origins, []string{"https://a.example", "https://b.example"}) ||
		cfg.Labels["b"] != "2" || len(cfg.Peers) != 2 || cfg.Peers[0].Tags[0] != "x" || cfg.Peers[1].Name != "p2" {
		t.Errorf("wrong configuration: %+v", cfg)
	}
	if want := []string{"lobby", "--not-a-flag"}; !slices.Equal(rest, want) {
		t.Errorf("rest is %q, want %q", rest, want)
	}
	for key, want := range map[string]string{
		"listen": file + ":2", "limits.frame": file + ":4", "limits.rooms": "--limits-rooms", "limits.idle": "BARRAGE_LIMITS_IDLE",
		"limits.rate": "default", "peers": file + ":8", "labels": "--labels",
	} {
		if origins[key] != want {
			t.Errorf("%s is from %q, want %q", key, origins[key], want)
		}
	}
}

// B83: each of these refuses to start and says where and what.
func TestBadConfigurationIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		args []string
		env  []string
		want []string // all of them in the message
	}{
		"unknown key":          {file: "listen: x\nlissten: y\n", want: []string{":2: lissten: unknown key", "did you mean listen?"}},
		"unknown nested key":   {file: "limits:\n  frames: 1\n", want: []string{":2: limits.frames: unknown key"}},
		"unknown key in list":  {file: "peers:\n- name: a\n  nam: b\n", want: []string{":3: peers[0].nam: unknown key"}},
		"duplicate":            {file: "listen: x\npublic: true\nlisten: y\n", want: []string{":3: listen: given twice, first on line 1"}},
		"duplicate section":    {file: "limits: {rooms: 1}\nlimits: {rooms: 2}\n", want: []string{":2: limits: given twice"}},
		"duplicate in map":     {file: "labels:\n  a: 1\n  a: 2\n", want: []string{":3: labels.a: given twice"}},
		"duration no unit":     {file: "limits:\n  idle: 10\n", want: []string{":2: limits.idle:", `"10" has no unit: write 10s`}},
		"duration nonsense":    {file: "limits: {idle: soon}", want: []string{":1: limits.idle:", "not a duration"}},
		"negative limit":       {file: "limits:\n  rooms: -1\n", want: []string{":2: limits.rooms: -1 must not be negative"}},
		"negative duration":    {file: "limits: {idle: -1s}", want: []string{"limits.idle: -1s must not be negative"}},
		"negative size":        {file: "limits: {frame: -1KiB}", want: []string{"must not be negative"}},
		"negative rate":        {file: "limits: {rate: -0.5}", want: []string{"must not be negative"}},
		"not a number":         {file: "limits: {rate: .nan}", want: []string{"not a number"}},
		"size nonsense":        {file: "limits: {frame: 64kb}", want: []string{"limits.frame", "not a size"}},
		"size overflow":        {file: "limits: {frame: 9000000000GiB}", want: []string{"too large"}},
		"number with unit":     {file: "limits: {rooms: 10k}", want: []string{"not a whole number"}},
		"bool nonsense":        {file: "public: yes", want: []string{`"yes" is not true or false`}},
		"empty value":          {file: "listen:\n", want: []string{":1: listen: has no value"}},
		"scalar for section":   {file: "limits: 7", want: []string{"want keys and values"}},
		"section for scalar":   {file: "listen: {a: b}", want: []string{"want one value"}},
		"scalar for list":      {file: "origins: x", want: []string{"want a list"}},
		"alias":                {file: "labels: &l {a: b}\norigins: *l\n", want: []string{":2:", "aliases are not supported"}},
		"merge":                {file: "limits:\n  <<: {rooms: 3}\n", want: []string{"unknown key"}},
		"two documents":        {file: "listen: x\n---\nlisten: y\n", want: []string{"more than one YAML document"}},
		"not YAML":             {file: "listen: [", want: []string{"c.yaml:"}},
		"validation":           {file: "limits: {rooms: 300}", want: []string{"limits: rooms: at most 256"}},
		"several at once":      {file: "a: 1\nb: 2\n", want: []string{":1: a: unknown key", ":2: b: unknown key"}},
		"unknown flag":         {args: []string{"--lissten", "x"}, want: []string{"unknown flag --lissten; did you mean --listen?"}},
		"flag without value":   {args: []string{"--listen"}, want: []string{"--listen needs a value"}},
		"flag twice":           {args: []string{"--listen=a", "--listen=b"}, want: []string{"--listen is given more than once"}},
		"flag no unit":         {args: []string{"--limits-idle=10"}, want: []string{"--limits-idle", "has no unit"}},
		"flag bad map":         {args: []string{"--labels=a"}, want: []string{"write key=value"}},
		"secret as flag":       {args: []string{"--secret=x"}, want: []string{"--secret is a secret", "--secret-file"}},
		"two config files":     {args: []string{"--config=a", "--config=b"}, want: []string{"--config is given more than once"}},
		"config file missing":  {args: []string{"--config=nowhere.yaml"}, want: []string{"nowhere.yaml"}},
		"env negative":         {env: []string{"BARRAGE_LIMITS_ROOMS=-1"}, want: []string{"BARRAGE_LIMITS_ROOMS: -1 must not be negative"}},
		"env unknown":          {env: []string{"BARRAGE_LIMITS_ROMS=1"}, want: []string{"BARRAGE_LIMITS_ROMS names no key", "BARRAGE_LIMITS_ROOMS?"}},
		"env service link":     {env: []string{"BARRAGE_AUTH_PORT=tcp://10.0.0.1"}, want: []string{"enableServiceLinks: false"}},
		"secret twice":         {env: []string{"BARRAGE_SECRET=a", "BARRAGE_SECRET_FILE=b"}, want: []string{"both set"}},
		"secret file missing":  {env: []string{"BARRAGE_SECRET_FILE=nowhere"}, want: []string{"BARRAGE_SECRET_FILE", "nowhere"}},
		"_FILE of no secret":   {env: []string{"BARRAGE_LIMITS_ROOMS_FILE=x"}, want: []string{"names no key"}},
		"wrong YAML in a flag": {args: []string{"--peers=[{nme: x}]"}, want: []string{"--peers", "unknown key"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := c.args
			if c.file != "" {
				args = append(args, "--config", write(t, "c.yaml", c.file))
			}
			_, _, err := ops.Load("test", defaults(), args, c.env)
			var usage *ops.UsageError
			if !errors.As(err, &usage) || usage.ExitCode() != 2 {
				t.Fatalf("got %v, want a usage error", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("message does not say %q:\n%v", want, err)
				}
			}
		})
	}
}

func TestValuesThatAreFine(t *testing.T) {
	file := write(t, "c.yaml", "limits:\n  idle: 0\n  shift: -5s\n  frame: 0\nauth:\norigins: []\nlisten: 0123\n")
	cfg := defaults()
	cfg.Origins = []string{"default"}
	if _, _, err := ops.Load("test", cfg, []string{"-l", "short", "--origins=a", "--origins=b,c", "--peers=[{name: n}]"},
		[]string{"BARRAGE_CONFIG=" + file}); err != nil {
		t.Fatal(err)
	}
	if cfg.Limits.Idle != 0 || cfg.Limits.Shift != -5*time.Second || cfg.Listen != "short" ||
		!slices.Equal(cfg.Origins, []string{"a", "b", "c"}) || cfg.Peers[0].Name != "n" {
		t.Errorf("wrong configuration: %+v", cfg)
	}
	if _, _, err := ops.Load("test", defaults(), []string{"--config", write(t, "empty.yaml", "# nothing\n")}, nil); err != nil {
		t.Errorf("an empty file: %v", err)
	}
}

// B84: a secret is read from every place but a flag, and is seen in none.
func TestSecretsAreReadAndNotShown(t *testing.T) {
	const value = "hunter2-hunter2"
	secret := write(t, "secret", value+"\n")
	for name, c := range map[string]struct {
		args []string
		env  []string
		want string
	}{
		"variable":      {env: []string{"BARRAGE_AUTH_PASSWORD=" + value}, want: "BARRAGE_AUTH_PASSWORD"},
		"variable file": {env: []string{"BARRAGE_AUTH_PASSWORD_FILE=" + secret}, want: "BARRAGE_AUTH_PASSWORD_FILE"},
		"flag file":     {args: []string{"--auth-password-file", secret}, want: "--auth-password-file"},
		"file":          {args: []string{"--config", write(t, "c.yaml", "auth: {password: "+value+"}\n")}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := defaults()
			origins, _, err := ops.Load("test", cfg, c.args, c.env)
			if err != nil {
				t.Fatal(err)
			}
			if cfg.Auth.Password.Reveal() != value {
				t.Errorf("the secret is %q", cfg.Auth.Password.Reveal())
			}
			if c.want != "" && origins["auth.password"] != c.want {
				t.Errorf("origin is %q", origins["auth.password"])
			}
			shown := fmt.Sprintf("%v %+v %#v", cfg.Auth, ops.Settings(cfg, origins), cfg.Auth)
			if strings.Contains(shown, value) {
				t.Errorf("the secret is seen: %s", shown)
			}
		})
	}
}

func TestRefusedByValidationIsStillShown(t *testing.T) {
	cfg := defaults()
	origins, _, err := ops.Load("test", cfg, []string{"--limits-rooms=300"}, nil)
	if err == nil || origins["limits.rooms"] != "--limits-rooms" || cfg.Limits.Rooms != 300 {
		t.Errorf("got %v %v %+v", err, origins, cfg)
	}
}

func TestSettingsAreInOrder(t *testing.T) {
	cfg := defaults()
	cfg.Labels = map[string]string{"b": "2", "a": "1"}
	origins, _, err := ops.Load("test", cfg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range ops.Settings(cfg, origins) {
		got = append(got, s.Key+"="+s.Value)
	}
	want := []string{
		"listen=:8080", "public=false", "limits.frame=64KiB", "limits.rate=0", "limits.rooms=10", "limits.idle=1m0s",
		"limits.shift=0s", "origins=[]", "labels={a: 1, b: 2}", "peers=[]", "secret=", "auth.password=",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	_, _, err := ops.Load("test", defaults(), []string{"--help"}, nil)
	var help *ops.HelpRequested
	if !errors.As(err, &help) {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Usage: barrage test", "--config FILE", "-l, --listen TEXT", "(default :8080)", "--limits-frame SIZE", "largest frame",
		"--auth-password-file FILE", "BARRAGE_LIMITS_FRAME",
	} {
		if !strings.Contains(help.Text, want) {
			t.Errorf("help does not hold %q:\n%s", want, help.Text)
		}
	}
}

func TestSecretWithAFileKeyOfItsOwnHasAFlag(t *testing.T) {
	o := struct {
		Token ops.Secret `yaml:"token"`
		File  string     `yaml:"token_file"`
	}{}
	if _, err := ops.Flags("chat", &o, []string{"--token", "t", "--token-file", "f"}); err != nil || o.Token.Reveal() != "t" || o.File != "f" {
		t.Errorf("got %q %q %v", o.Token.Reveal(), o.File, err)
	}
}

func TestFlagsOfACommand(t *testing.T) {
	o := struct {
		Limit uint32 `yaml:"limit" short:"n"`
	}{Limit: 5}
	rest, err := ops.Flags("room list [flags]", &o, []string{"a", "-n", "7", "b"})
	if err != nil || o.Limit != 7 || !slices.Equal(rest, []string{"a", "b"}) {
		t.Errorf("got %v %v %v", o, rest, err)
	}
	if _, err := ops.Flags("room list [flags]", &o, []string{"--config=x"}); err == nil || !strings.Contains(err.Error(), "usage: barrage room list") {
		t.Errorf("got %v", err)
	}
	if _, err := ops.Flags("room list", &o, []string{"-n=-1"}); err == nil {
		t.Error("a negative uint was taken")
	}
}

func FuzzConfigFile(f *testing.F) {
	f.Add("listen: x\nlimits:\n  idle: 10s\n")
	f.Add("peers: [{name: a, tags: [b]}]\nlabels: {a: b}\n")
	f.Add("a: &a [*a]\n")
	path := filepath.Join(f.TempDir(), "c.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := defaults()
		_, _, err := ops.Load("test", cfg, []string{"--config", path}, nil)
		var usage *ops.UsageError
		if err != nil && !errors.As(err, &usage) {
			t.Errorf("not a usage error: %v", err)
		}
		if err == nil && (cfg.Limits.Rooms < 0 || cfg.Limits.Idle < 0 || cfg.Limits.Rooms > 256) {
			t.Errorf("taken: %+v", cfg)
		}
	})
}

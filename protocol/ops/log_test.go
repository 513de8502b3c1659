package ops_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/barrage-im/barrage/protocol/ops"
)

// hostile values that peers may send as user, room or client name.
var hostile = []string{
	"a\nlevel=ERROR msg=forged",
	"a\r\nb",
	"\x1b[31mred\x1b[0m",
	"\u009b31m C1",
	"\u202egnp.exe",
	"\u2028line\u2029paragraph",
	"%n%s%d",
	"\x00\x7f",
	"\xff\xfe not UTF-8",
	"\U000e0001 tag",
	`" injected="1`,
	"日本語 and é stay",
}

// B80: whatever a value holds, a record is one line of printable characters.
func TestOneRecordIsOnePrintableLine(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		for _, value := range hostile {
			var out bytes.Buffer
			log := ops.NewLogger(&out, ops.LogConfig{Format: format})
			log.With("user", value).WithGroup("g").Info("msg "+value, //nolint:sloglint // a message that is not constant is the case
				"room", value, value, 1, "err", errors.New(value), "any", []string{value})
			line := out.String()
			if strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") {
				t.Errorf("%s: %q made several lines: %q", format, value, line)
			}
			for _, r := range strings.TrimSuffix(line, "\n") {
				if !unicode.IsPrint(r) && r != utf8.RuneError {
					t.Errorf("%s: %q left %U in %q", format, value, r, line)
				}
			}
			if format == "json" {
				var record map[string]any
				if err := json.Unmarshal(out.Bytes(), &record); err != nil {
					t.Fatalf("not JSON: %v: %s", err, line)
				}
				if utf8.ValidString(value) && record["user"] != value {
					t.Errorf("JSON changed the value: %q became %q", value, record["user"])
				}
			}
		}
	}
}

func TestReadableTextStaysReadable(t *testing.T) {
	var out bytes.Buffer
	ops.NewLogger(&out, ops.LogConfig{Format: "json"}).Info("日本語")
	if !strings.Contains(out.String(), "日本語") {
		t.Errorf("got %s", out.String())
	}
}

func TestLongValuesAreCut(t *testing.T) {
	var out bytes.Buffer
	long := strings.Repeat("é", ops.MaxLogValue)
	ops.NewLogger(&out, ops.LogConfig{}).Info("m", "v", long, "e", fmt.Errorf("read: %w", errors.New(long)))
	if out.Len() > 3*ops.MaxLogValue || !strings.Contains(out.String(), "(8192 bytes)") {
		t.Errorf("a line of %d bytes", out.Len())
	}
}

func TestLevels(t *testing.T) {
	var out bytes.Buffer
	log := ops.NewLogger(&out, ops.LogConfig{Level: "warn"})
	log.Info("hidden")
	log.Warn("seen")
	if s := out.String(); strings.Contains(s, "hidden") || !strings.Contains(s, "seen") {
		t.Errorf("got %s", s)
	}
	for _, bad := range []ops.LogConfig{{Level: "loud"}, {Format: "xml"}} {
		if bad.Validate() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

// B84: no way of printing shows a secret.
func TestSecretIsRedactedEverywhere(t *testing.T) {
	const value = "hunter2"
	s := ops.Secret(value)
	var out bytes.Buffer
	ops.NewLogger(&out, ops.LogConfig{}).Info("m", "s", s, "in", struct{ S ops.Secret }{s})
	ops.NewLogger(&out, ops.LogConfig{Format: "json"}).Info("m", "s", s, "in", struct{ S ops.Secret }{s})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+" "+verb+"\n", s, struct{ S *ops.Secret }{&s})
		fmt.Fprintf(&out, verb+"\n", struct{ S ops.Secret }{s})
	}
	b, err := json.Marshal(map[string]any{"s": s, "p": &s})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(b)
	func() {
		defer func() { fmt.Fprint(&out, recover()) }()
		panic(fmt.Sprint("bad secret ", s))
	}()
	for _, form := range []string{value, fmt.Sprintf("%x", value), fmt.Sprintf("%X", value)} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the secret is seen as %s:\n%s", form, out.String())
		}
	}
	if !strings.Contains(out.String(), "[redacted]") || s.Reveal() != value || ops.Secret("").String() != "" {
		t.Errorf("wrong placeholder:\n%s", out.String())
	}
}

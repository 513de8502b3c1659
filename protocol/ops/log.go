package ops

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxLogValue bounds one string in a log line, in bytes: what a peer sent may
// be in it, and a line should stay readable.
const MaxLogValue = 4 << 10

// LogConfig says how a process logs.
type LogConfig struct {
	Level  string `yaml:"level" help:"debug, info, warn or error"`
	Format string `yaml:"format" help:"text or json"`
}

// DefaultLog is info as text.
func DefaultLog() LogConfig { return LogConfig{Level: "info", Format: "text"} }

// Validate refuses levels and formats that do not exist.
func (c LogConfig) Validate() error {
	var level slog.Level
	if c.Level != "" && level.UnmarshalText([]byte(c.Level)) != nil {
		return fmt.Errorf("level %q: use debug, info, warn or error", c.Level)
	}
	switch c.Format {
	case "", "text", "json":
		return nil
	}
	return fmt.Errorf("format %q: use text or json", c.Format)
}

// NewLogger makes the process's logger. One record is one line whatever peers
// put into its values: line breaks, terminal sequences, direction overrides and
// other unprintable characters are written as escapes.
func NewLogger(w io.Writer, c LogConfig) *slog.Logger {
	var level slog.Level
	if c.Level != "" {
		_ = level.UnmarshalText([]byte(c.Level)) // stays info; Validate has refused it before
	}
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: cutLong}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(printable{w}, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts)) // quotes whatever is not printable
}

// cutLong bounds strings, and what errors say.
func cutLong(_ []string, a slog.Attr) slog.Attr {
	text := ""
	switch v := a.Value.Any().(type) {
	case string:
		text = v
	case error:
		if v != nil {
			text = v.Error()
		}
	}
	if len(text) > MaxLogValue {
		cut := strings.ToValidUTF8(text[:MaxLogValue], "")
		a.Value = slog.StringValue(fmt.Sprintf("%s… (%d bytes)", cut, len(text)))
	}
	return a
}

// printable writes the unprintable characters that JSON allows inside strings
// (C1 controls, direction overrides) as \u escapes. The JSON handler writes one
// record per call, and outside of strings JSON is printable ASCII.
type printable struct{ w io.Writer }

func (p printable) Write(record []byte) (int, error) {
	clean := true
	for _, c := range record {
		if c >= 0x7f {
			clean = false
			break
		}
	}
	if clean {
		return p.w.Write(record)
	}
	var out bytes.Buffer
	out.Grow(len(record) + 64)
	for i := 0; i < len(record); {
		r, n := utf8.DecodeRune(record[i:])
		switch {
		case r < 0x7f || unicode.IsPrint(r):
			out.Write(record[i : i+n])
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
		i += n
	}
	if _, err := p.w.Write(out.Bytes()); err != nil {
		return 0, err
	}
	return len(record), nil
}

package ops

import (
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a configuration value that must not be seen: every way of printing
// it (fmt verbs, logs, JSON, YAML) gives "[redacted]", so that neither a panic
// message nor a debug page can hold it. Reveal is the one way to the value.
type Secret string

// Reveal returns the value itself, for the one place that uses it.
func (s Secret) Reveal() string { return string(s) }

// Format prints a placeholder for every verb; an empty secret prints as "".
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.shown())) }

func (s Secret) String() string { return s.shown() }

// LogValue keeps the value out of logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.shown()) }

// MarshalText keeps the value out of JSON and other encodings.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.shown()), nil }

// MarshalYAML keeps the value out of YAML.
func (s Secret) MarshalYAML() (any, error) { return s.shown(), nil }

// UnmarshalText sets the value.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}

func (s Secret) shown() string {
	if s == "" {
		return ""
	}
	return redacted
}

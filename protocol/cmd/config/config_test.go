package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/barrage-im/barrage/protocol/ops"
)

type sample struct {
	Listen string `yaml:"listen"`
	Limits struct {
		Idle time.Duration `yaml:"idle"`
	} `yaml:"limits"`
	Secret ops.Secret `yaml:"secret"`
}

var known = Prototypes{"core": func() any { return &sample{Listen: ":7000"} }}

func TestShowNamesOrigins(t *testing.T) {
	file := filepath.Join(t.TempDir(), "core.yaml")
	if err := os.WriteFile(file, []byte("limits:\n  idle: 10s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err := run(known, []string{"show", "--for", "core", "-f", file, "-o", "json", "--", "--listen=:1"}, []string{"BARRAGE_SECRET=hunter2"}, &out)
	if err != nil {
		t.Fatal(err)
	}
	var settings []ops.Setting
	if err := json.Unmarshal(out.Bytes(), &settings); err != nil {
		t.Fatal(err)
	}
	want := []ops.Setting{
		{Key: "listen", Value: ":1", Origin: "--listen"},
		{Key: "limits.idle", Value: "10s", Origin: file + ":2"},
		{Key: "secret", Value: "[redacted]", Origin: "BARRAGE_SECRET"},
	}
	for i, s := range settings {
		if i >= len(want) || s != want[i] {
			t.Errorf("setting %d is %+v", i, s)
		}
	}
	out.Reset()
	if err := run(known, []string{"show", "--for", "core"}, nil, &out); err != nil || !strings.Contains(out.String(), "default") {
		t.Errorf("got %v:\n%s", err, out.String())
	}
}

func TestCheckRefusesWhatTheProcessWould(t *testing.T) {
	file := filepath.Join(t.TempDir(), "core.yaml")
	if err := os.WriteFile(file, []byte("limits:\n  idle: 10\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"check", "--for", "core", "-f", file},
		{"check", "--for", "cor"},
		{"check"},
		{"verify", "--for", "core"},
		{"check", "--for", "core", "--", "extra"},
	} {
		err := run(known, args, nil, &bytes.Buffer{})
		var usage *ops.UsageError
		if !errors.As(err, &usage) {
			t.Errorf("%q: got %v, want a usage error", args, err)
		}
	}
	var out bytes.Buffer
	if err := run(known, []string{"check", "--for", "core"}, nil, &out); err != nil || !strings.Contains(out.String(), "valid") {
		t.Errorf("got %v: %s", err, out.String())
	}
}

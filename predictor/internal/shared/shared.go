// Package shared reads the public forecasting set for tests and studies. The set
// is not part of the project; without it the tests that need it are skipped.
package shared

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/barrage-im/barrage/predictor/sim"
)

// Dir is the folder of the set: below BARRAGE_SHARED, or in ../shared of a
// folder above this one. ok is false when there is none.
func Dir() (dir string, ok bool) {
	const inside = "data/forecast"
	if root := os.Getenv("BARRAGE_SHARED"); root != "" {
		dir = filepath.Join(root, inside)
		_, err := os.Stat(dir)
		return dir, err == nil
	}
	at, err := os.Getwd()
	for err == nil {
		dir = filepath.Join(at, "shared", inside)
		if _, err := os.Stat(dir); err == nil {
			return dir, true
		}
		up := filepath.Dir(at)
		if up == at {
			break
		}
		at = up
	}
	return "", false
}

// Config is the part of the set's config.json about autoscaling.
type Config struct {
	Settings struct {
		Startup []int `json:"startup_s"`
		Drain   int   `json:"drain_s"`
		Min     int   `json:"min"`
	} `json:"autoscale_settings"`
	Traces map[string]TraceConfig `json:"autoscale"`
}

// TraceConfig is one trace of it.
type TraceConfig struct {
	Step int `json:"step_s"`
	Day  int `json:"m"` // steps
	Week int `json:"w"`
	Test int `json:"test"`
}

// ReadConfig reads a config.json.
func ReadConfig(path string) (Config, error) {
	var c Config
	b, err := os.ReadFile(path)
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(b, &c)
}

// Values reads the second column of a CSV file with a header.
func Values(path string) ([]float64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var values []float64
	lines := bufio.NewScanner(f)
	for n := 0; lines.Scan(); n++ {
		if n == 0 {
			continue
		}
		_, field, ok := strings.Cut(lines.Text(), ",")
		if !ok {
			return nil, fmt.Errorf("%s:%d: one column", path, n+1)
		}
		v, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n+1, err)
		}
		values = append(values, v)
	}
	return values, lines.Err()
}

// Trace reads one trace of the set.
func Trace(dir, name string, c TraceConfig) (*sim.Trace, error) {
	values, err := Values(filepath.Join(dir, name+".csv"))
	if err != nil {
		return nil, err
	}
	return sim.NewTrace(name, values, c.Step, c.Test, []int{c.Day, c.Week})
}

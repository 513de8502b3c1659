package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/barrage-im/barrage/fleet/lab/plan"
	"github.com/barrage-im/barrage/fleet/lab/wan"
)

// wanCommand is the subcommand that routes between regions; its one argument
// is the state directory.
const wanCommand = "wan-route"

func serveWAN(ctx context.Context, dir string) error {
	var lab plan.Lab
	if err := readJSON(filepath.Join(dir, "lab.json"), &lab); err != nil {
		return err
	}
	return wan.Run(ctx, dir, lab)
}

// parseRule reads a link's rule as people write it: loss as 1% or 0.01, rate
// as bits a second with kbit, mbit or gbit.
func parseRule(delay, jitter time.Duration, loss, rate string) (wan.Rule, error) {
	r := wan.Rule{Delay: delay, Jitter: jitter}
	number, percent := strings.CutSuffix(loss, "%")
	share, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return r, fmt.Errorf("loss %q: want a share like 1%% or 0.01", loss)
	}
	if percent {
		share /= 100
	}
	r.Loss = share
	if rate != "" {
		bits, err := parseRate(rate)
		if err != nil {
			return r, err
		}
		r.Rate = bits / 8
	}
	return r, r.Check()
}

func parseRate(rate string) (float64, error) {
	for unit, scale := range map[string]float64{"kbit": 1e3, "mbit": 1e6, "gbit": 1e9} {
		if number, ok := strings.CutSuffix(strings.ToLower(rate), unit); ok {
			if v, err := strconv.ParseFloat(number, 64); err == nil && v > 0 {
				return v * scale, nil
			}
		}
	}
	return 0, fmt.Errorf("rate %q: want a number and kbit, mbit or gbit", rate)
}

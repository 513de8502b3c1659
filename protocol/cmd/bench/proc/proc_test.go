package proc

import (
	"testing"
	"time"
)

func TestParseStatWithHostileName(t *testing.T) {
	cpu, err := parseStat([]byte("17 (a) b ) (c) S 1 17 17 0 -1 4194560 100 0 0 0 150 25 0 0 20 0 8 0 100 1 1"))
	if err != nil || cpu != 1750*time.Millisecond {
		t.Errorf("got %v, %v; want 1.75s", cpu, err)
	}
	if _, err := parseStat([]byte("17 (a) S 1")); err == nil {
		t.Error("a stat without times was accepted")
	}
}

func TestParseRollup(t *testing.T) {
	rss, err := parseRollup([]byte("00400000-7fff [rollup]\nRss:   2048 kB\nPss:  1 kB\n"))
	if err != nil || rss != 2<<20 {
		t.Errorf("got %d, %v; want 2 MiB", rss, err)
	}
	if _, err := parseRollup([]byte("Pss: 1 kB\n")); err == nil {
		t.Error("a rollup without Rss was accepted")
	}
}

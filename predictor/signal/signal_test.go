package signal_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/barrage-im/barrage/predictor/signal"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func TestAForecastAges(t *testing.T) {
	a := signal.Ageing{Fresh: 2 * time.Minute, Fade: 10 * time.Minute}
	f := signal.Forecast{Load: 1000, At: noon}
	for _, c := range []struct {
		after       time.Duration
		load, share float64
	}{
		{0, 1000, 1},
		{2 * time.Minute, 1000, 1},
		{3 * time.Minute, 900, 0.9},
		{7 * time.Minute, 500, 0.5},
		{12 * time.Minute, 0, 0},
		{time.Hour, 0, 0},
		{-30 * time.Second, 1000, 1}, // a clock is a little late
		{-time.Hour, 0, 0},           // a clock is wrong
	} {
		load, share := a.Value(f, noon.Add(c.after))
		if math.Abs(load-c.load) > 1e-9 || math.Abs(share-c.share) > 1e-12 {
			t.Errorf("after %v: %v, %v; want %v, %v", c.after, load, share, c.load, c.share)
		}
	}
	if load, share := a.Value(signal.Forecast{}, noon); load != 0 || share != 0 {
		t.Errorf("no forecast: %v, %v", load, share)
	}
}

func TestWhatIsNoLoadIsNotTold(t *testing.T) {
	for _, load := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1} {
		f := signal.Forecast{Load: load, At: noon}
		if got, _ := signal.Default().Value(f, noon); got != 0 {
			t.Errorf("%v is told as %v", load, got)
		}
		if err := f.Check(); !errors.Is(err, signal.ErrLoad) {
			t.Errorf("%v: error %v", load, err)
		}
	}
}

// While nothing new comes what is told never rises and falls by no more than the
// fade allows.
func TestFadingIsSlow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := signal.Ageing{
			Fresh: time.Duration(rapid.Int64Range(1, 3600).Draw(t, "fresh")) * time.Second,
			Fade:  time.Duration(rapid.Int64Range(60, 7200).Draw(t, "fade")) * time.Second,
		}
		if err := a.Validate(); err != nil {
			t.Fatal(err)
		}
		f := signal.Forecast{Load: rapid.Float64Range(0, 1e9).Draw(t, "load"), At: noon}
		early := time.Duration(rapid.Int64Range(0, 20000).Draw(t, "early")) * time.Second
		later := time.Duration(rapid.Int64Range(0, 600).Draw(t, "later")) * time.Second
		before, _ := a.Value(f, noon.Add(early))
		after, _ := a.Value(f, noon.Add(early+later))
		if slope := f.Load * later.Seconds() / a.Fade.Seconds(); after > before || before-after > slope+1e-6*(1+f.Load) {
			t.Fatalf("%v, then %v after %v", before, after, later)
		}
	})
}

func TestAgeingIsBounded(t *testing.T) {
	if err := signal.Default().Validate(); err != nil {
		t.Error(err)
	}
	for _, a := range []signal.Ageing{{Fresh: 0, Fade: time.Hour}, {Fresh: time.Minute}, {Fresh: 48 * time.Hour, Fade: time.Hour}, {Fresh: time.Minute, Fade: time.Second}} {
		if a.Validate() == nil {
			t.Errorf("%+v is taken", a)
		}
	}
}

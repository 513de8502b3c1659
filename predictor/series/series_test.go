package series_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/barrage-im/barrage/predictor/series"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func at(seconds float64, value float64) series.Point {
	return series.Point{At: noon.Add(time.Duration(seconds * float64(time.Second))), Value: value}
}

// same compares values, NaN being itself.
func same(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return x == y || math.IsNaN(x) && math.IsNaN(y) })
}

var nan = math.NaN()

func TestPointsComeOntoAGrid(t *testing.T) {
	for _, c := range []struct {
		name    string
		points  []series.Point
		want    []float64
		repairs series.Repairs
	}{
		{"none", nil, []float64{nan, nan, nan, nan}, series.Repairs{Missing: 4}},
		{"all", []series.Point{at(0, 1), at(60, 2), at(120, 3), at(180, 4)}, []float64{1, 2, 3, 4}, series.Repairs{}},
		{"a little late or early", []series.Point{at(2, 1), at(89, 2), at(91, 3), at(179.9, 4)}, []float64{1, 2, 3, 4}, series.Repairs{}},
		{"a gap", []series.Point{at(0, 1), at(180, 4)}, []float64{1, nan, nan, 4}, series.Repairs{Missing: 2}},
		{"twice", []series.Point{at(0, 1), at(60, 2), at(61, 7), at(120, 3), at(180, 4)}, []float64{1, 7, 3, 4}, series.Repairs{Duplicate: 1}},
		{"out of order", []series.Point{at(60, 2), at(0, 1), at(180, 4), at(120, 3)}, []float64{1, 2, 3, 4}, series.Repairs{Unordered: 2}},
		{"negative", []series.Point{at(0, 1), at(60, -2), at(120, 0), at(180, 4)}, []float64{1, nan, 0, 4}, series.Repairs{Negative: 1, Missing: 1}},
		{"not finite", []series.Point{at(0, nan), at(60, math.Inf(1)), at(120, math.Inf(-1)), at(180, 4)}, []float64{nan, nan, nan, 4}, series.Repairs{NotFinite: 3, Missing: 3}},
		{"outside", []series.Point{at(-31, 9), at(-29, 1), at(60, 2), at(120, 3), at(180, 4), at(211, 9)}, []float64{1, 2, 3, 4}, series.Repairs{Outside: 2}},
	} {
		got, repairs := series.Grid(c.points, noon, time.Minute, 4)
		if !same(got, c.want) || repairs != c.repairs {
			t.Errorf("%s: %v, %+v; want %v, %+v", c.name, got, repairs, c.want, c.repairs)
		}
	}
}

func TestCSV(t *testing.T) {
	for _, c := range []struct {
		name, text string
		step       time.Duration
		want       []float64
		repairs    series.Repairs
	}{
		{"with a header", "timestamp,value\n2026-03-04T12:00:00Z,1\n2026-03-04T12:01:00Z,2\n", time.Minute, []float64{1, 2}, series.Repairs{}},
		{"without", "2026-03-04 12:00:00,1\n2026-03-04 12:05:00,2\n", 5 * time.Minute, []float64{1, 2}, series.Repairs{}},
		{"seconds", "1772625600,1\n1772625615,2\n1772625645,4", 15 * time.Second, []float64{1, 2, nan, 4}, series.Repairs{Missing: 1}},
		{"days and missing values", "2026-03-04,1\n2026-03-05,\n2026-03-06,NA\n2026-03-07,4\n", 24 * time.Hour, []float64{1, nan, nan, 4}, series.Repairs{Missing: 2, NotFinite: 2}},
		{"further columns", "t,v,w\n2026-03-04T12:00:00Z,1,9\n2026-03-04T12:01:00Z, 2,9\n", time.Minute, []float64{1, 2}, series.Repairs{}},
		{"beyond any load", "1772625600,1e16\n1772625615,2\n", 15 * time.Second, []float64{nan, 2}, series.Repairs{Missing: 1, TooLarge: 1}},
		{"too large a number", "1772625600,1e999\n1772625615,2\n", 15 * time.Second, []float64{nan, 2}, series.Repairs{Missing: 1, NotFinite: 1}},
	} {
		s, repairs, err := series.ReadCSV(strings.NewReader(c.text))
		if err != nil || !same(s.Values, c.want) || s.Step != c.step || repairs != c.repairs {
			t.Errorf("%s: %+v, %+v, %v; want %v every %v, %+v", c.name, s, repairs, err, c.want, c.step, c.repairs)
		}
	}
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "0 samples"},
		{"a header alone", "timestamp,value\n", "0 samples"},
		{"one sample", "1772625600,1\n", "1 samples"},
		{"one time", "1772625600,1\n1772625600,2\n", "times have to differ"},
		{"no number", "t,v\n1772625600,1\n1772625660,many\n", `line 3: value "many": write a number`},
		{"no time", "t,v\n1772625600,1\nyesterday,1\n", `line 3: time "yesterday"`},
		{"one column", "t,v\n1772625600,1\n5\n", "line 3:"},
		{"too long", "1,1\n2,1\n3,1\n99999999999,1\n", "at most"},
		{"quotes", "t,v\n\"1,2\n", "quote"},
	} {
		_, _, err := series.ReadCSV(strings.NewReader(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}

func FuzzReadCSV(f *testing.F) {
	f.Add("timestamp,value\n2026-03-04T12:00:00Z,1\n2026-03-04T12:01:00Z,2\n")
	f.Add("1,NaN\n2,-1\n2,1e400\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, _, err := series.ReadCSV(strings.NewReader(text))
		if err != nil {
			return
		}
		if s.Step <= 0 || len(s.Values) == 0 || len(s.Values) > series.MaxSamples {
			t.Fatalf("%d samples every %v", len(s.Values), s.Step)
		}
		for i, v := range s.Values {
			if v < 0 || v > series.MaxLoad {
				t.Fatalf("sample %d is %v", i, v)
			}
		}
	})
}

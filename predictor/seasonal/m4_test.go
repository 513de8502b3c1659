package seasonal_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/barrage-im/barrage/predictor/seasonal"
)

// The hourly set of the M4 competition: 414 series, 48 hours each to forecast.
// The bars are those of the best published entry, rounded down.
const (
	m4Horizon  = 48
	m4BarMASE  = 0.80
	m4BarSMAPE = 8.9
	m4BarMSIS  = 6.1
)

// TestM4Hourly prints our figures beside the published ones.
func TestM4Hourly(t *testing.T) {
	dir := sharedForecast(t)
	if testing.Short() {
		t.Skip("SKIPPED: the M4 set takes many seconds; run it without -short")
	}
	train := readSeries(t, filepath.Join(dir, "m4", "m4_hourly_train.csv"))
	test := readSeries(t, filepath.Join(dir, "m4", "m4_hourly_test.csv"))
	if len(train) != 414 || len(test) != 414 {
		t.Fatalf("%d and %d series, want 414", len(train), len(test))
	}
	var ours, naive m4Score
	for i, y := range train {
		r, err := seasonal.Forecast(y, hourly, m4Horizon, []float64{0.025, 0.975})
		if err != nil {
			t.Fatalf("series %d: %v", i+1, err)
		}
		ours.add(y, test[i], r.Median, r.Quantiles[0], r.Quantiles[1])
		again := make([]float64, m4Horizon)
		for k := range again {
			again[k] = y[len(y)-24+k%24]
		}
		naive.add(y, test[i], again, again, again)
	}
	rows := append(publishedM4(t, filepath.Join(dir, "m4", "m4_hourly_published.json")), ours.row("Barrage, seasonal"))
	slices.SortStableFunc(rows, func(a, b m4Row) int { return int(math.Copysign(1, a.MASE-b.MASE)) })
	t.Logf("%-20s %7s %7s %7s", "M4 hourly", "MASE", "sMAPE", "MSIS")
	for _, r := range rows {
		t.Log(r)
	}
	t.Logf("95 %% intervals cover %.4f", ours.covered/ours.n)

	// The scorer is the competition's: it gives seasonal naive the official figures.
	if n := naive.row(""); math.Abs(n.MASE-1.1932) > 0.00005 || math.Abs(n.SMAPE-13.912) > 0.0005 {
		t.Errorf("seasonal naive scores MASE %.4f, sMAPE %.3f: want 1.1932 and 13.912", n.MASE, n.SMAPE)
	}
	if r := ours.row(""); r.MASE > m4BarMASE || r.SMAPE > m4BarSMAPE || r.MSIS > m4BarMSIS {
		t.Errorf("MASE %.4f, sMAPE %.3f, MSIS %.3f: want at most %v, %v, %v", r.MASE, r.SMAPE, r.MSIS, m4BarMASE, m4BarSMAPE, m4BarMSIS)
	}
}

// An m4Score sums the measures of the competition over series.
type m4Score struct {
	n, mase, smape, msis, covered float64
}

func (s *m4Score) add(past, actual, f, low, high []float64) {
	const season, alpha = 24, 0.05
	scale := 0.0
	for t := season; t < len(past); t++ {
		scale += math.Abs(past[t] - past[t-season])
	}
	scale /= float64(len(past) - season)
	h := float64(len(actual))
	s.n++
	for i, a := range actual {
		err := math.Abs(a - f[i])
		s.mase += err / scale / h
		if err > 0 {
			s.smape += 200 * err / (math.Abs(a) + math.Abs(f[i])) / h
		}
		width := high[i] - low[i] + 2/alpha*(max(0, low[i]-a)+max(0, a-high[i]))
		s.msis += width / scale / h
		if low[i] <= a && a <= high[i] {
			s.covered += 1 / h
		}
	}
}

func (s *m4Score) row(method string) m4Row {
	return m4Row{Method: method, MASE: s.mase / s.n, SMAPE: s.smape / s.n, MSIS: s.msis / s.n}
}

type m4Row struct {
	Method            string
	MASE, SMAPE, MSIS float64
}

func (r m4Row) String() string {
	msis := "–"
	if r.MSIS > 0 {
		msis = strconv.FormatFloat(r.MSIS, 'f', 3, 64)
	}
	return fmt.Sprintf("%-20s %7.3f %7.3f %7s", r.Method, r.MASE, r.SMAPE, msis)
}

// publishedM4 is the best eight entries and the benchmarks worth knowing.
func publishedM4(t *testing.T, path string) (rows []m4Row) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var published struct {
		Point    []m4Row `json:"hourly_point"`
		Interval []m4Row `json:"hourly_MSIS_best"`
	}
	if err := json.Unmarshal(text, &published); err != nil {
		t.Fatal(err)
	}
	for i, r := range published.Point {
		if i >= 8 && !slices.Contains([]string{"sNaive", "Theta", "Com"}, r.Method) {
			continue
		}
		for _, interval := range published.Interval {
			if interval.Method == r.Method {
				r.MSIS = interval.MSIS
			}
		}
		rows = append(rows, r)
	}
	return rows
}

// readSeries reads one series a row, after a header and behind its name.
func readSeries(t *testing.T, path string) (series [][]float64) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		var y []float64
		for _, cell := range row[1:] {
			if cell = strings.TrimSpace(cell); cell == "" || cell == "NA" {
				continue // shorter than the longest
			}
			v, err := strconv.ParseFloat(cell, 64)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			y = append(y, v)
		}
		series = append(series, y)
	}
	return series
}

// sharedForecast is the directory of the forecasting set: below BARRAGE_SHARED,
// or below a folder "shared" beside the project.
func sharedForecast(t *testing.T) string {
	t.Helper()
	var tried []string
	if root := os.Getenv("BARRAGE_SHARED"); root != "" {
		tried = append(tried, filepath.Join(root, "data", "forecast"))
	} else {
		dir, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
			tried = append(tried, filepath.Join(dir, "shared", "data", "forecast"))
		}
	}
	for _, dir := range tried {
		if _, err := os.Stat(dir); err == nil {
			return dir
		}
	}
	t.Skipf("SKIPPED: the shared forecasting set is not there; looked for %s", strings.Join(tried, ", "))
	return ""
}

package arima_test

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// sharedDir is the folder of the forecasting sets beside the project; the test is
// skipped when there is none.
func sharedDir(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("BARRAGE_SHARED"); dir != "" {
		return filepath.Join(dir, "data", "forecast")
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		at := filepath.Join(dir, "shared", "data", "forecast")
		if _, err := os.Stat(at); err == nil {
			return at
		}
		if filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	t.Skip("SKIPPED: shared/data/forecast is not beside the project and BARRAGE_SHARED is not set; only the small reference files are compared")
	return ""
}

func readJSON(t testing.TB, path string, to any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, to); err != nil {
		t.Fatal(err)
	}
}

// readValues is the last column of a file; what is not a number is missing.
func readValues(t testing.TB, path string) []float64 {
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
	var out []float64
	for _, row := range rows[1:] {
		v, err := strconv.ParseFloat(row[len(row)-1], 64)
		if err != nil {
			v = nan
		}
		out = append(out, v)
	}
	return out
}

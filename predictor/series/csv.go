package series

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// maxProblems bounds the mistakes that one reading tells.
const maxProblems = 10

// ReadCSV reads "timestamp,value" lines, with or without a header, as RFC 4180
// has them. Times are RFC 3339, "2006-01-02 15:04:05" or "2006-01-02T15:04:05"
// in UTC, "2006-01-02", or seconds since 1970; an empty value, NA or NaN is a
// missing one. Further columns are not read. Errors name their line.
func ReadCSV(r io.Reader) (Series, Repairs, error) {
	in := csv.NewReader(r)
	in.FieldsPerRecord, in.ReuseRecord, in.TrimLeadingSpace = -1, true, true
	var points []Point
	var problems []error
	for first := true; ; first = false {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Series{}, Repairs{}, err
		}
		line, _ := in.FieldPos(0)
		p, err := point(record)
		switch {
		case err == nil:
			points = append(points, p)
		case first:
			// a header
		default:
			problems = append(problems, fmt.Errorf("line %d: %w", line, err))
		}
		if len(problems) == maxProblems || len(points) > MaxSamples {
			break
		}
	}
	if len(points) > MaxSamples {
		problems = append(problems, fmt.Errorf("more than %d samples", MaxSamples))
	}
	if len(problems) > 0 {
		return Series{}, Repairs{}, errors.Join(problems...)
	}
	return FromPoints(points)
}

func point(record []string) (Point, error) {
	if len(record) < 2 {
		return Point{}, fmt.Errorf("%.40q: write a time, a comma and a value", strings.Join(record, ","))
	}
	at, err := instant(record[0])
	if err != nil {
		return Point{}, err
	}
	switch v := strings.TrimSpace(record[1]); v {
	case "", "NA", "NaN", "nan":
		return Point{at, math.NaN()}, nil
	default:
		x, err := strconv.ParseFloat(v, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return Point{}, fmt.Errorf("value %.40q: write a number", v)
		}
		return Point{at, x}, nil
	}
}

// Times of seconds since 1970 that can be: years 1 to 9999.
const minUnix, maxUnix = -62135596800, 253402300799

func instant(s string) (time.Time, error) {
	s = strings.TrimSpace(s)
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	if x, err := strconv.ParseFloat(s, 64); err == nil && x >= minUnix && x <= maxUnix {
		whole, part := math.Modf(x)
		return time.Unix(int64(whole), int64(part*1e9)).UTC(), nil
	}
	return time.Time{}, fmt.Errorf("time %.40q: write 2006-01-02T15:04:05Z or seconds since 1970", s)
}

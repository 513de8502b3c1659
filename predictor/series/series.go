// Package series holds demand as equally spaced samples, and repairs what comes
// in otherwise. It is pure: what it reads from is handed to it.
package series

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// A Point is one sample as it was read.
type Point struct {
	At    time.Time
	Value float64
}

// A Series is samples at Start, Start+Step and so on. NaN is a missing one.
type Series struct {
	Start  time.Time
	Step   time.Duration
	Values []float64
}

// At is when sample i was taken.
func (s *Series) At(i int) time.Time { return s.Start.Add(time.Duration(i) * s.Step) }

// Repairs counts what was wrong with points. Points that cannot be used count
// as missing too, unless another one has their place.
type Repairs struct {
	Missing   int // no point for a place of the grid
	Duplicate int // several points for one place: the last one given counts
	Unordered int // points before the one given before them
	Negative  int // demand is not negative: not used
	NotFinite int // NaN or infinite: not used
	TooLarge  int // above MaxLoad: not used
	Outside   int // before the beginning or behind the end
}

// Any says whether anything was wrong.
func (r Repairs) Any() bool { return r != Repairs{} }

// String lists what was wrong, for people.
func (r Repairs) String() string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{
		{r.Missing, "missing"},
		{r.Duplicate, "twice or more"},
		{r.Unordered, "out of order"},
		{r.Negative, "negative"},
		{r.NotFinite, "not finite"},
		{r.TooLarge, "too large"},
		{r.Outside, "outside"},
	} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if len(parts) == 0 {
		return "nothing to repair"
	}
	return strings.Join(parts, ", ")
}

// MaxSamples bounds a series: 28 days of minutes are 40,320.
const MaxSamples = 1 << 21

// MaxLoad bounds a sample; what is larger is no load.
const MaxLoad = 1e15

// Grid puts points onto n places that begin at start: each at the place that is
// nearest to it. step is positive.
func Grid(points []Point, start time.Time, step time.Duration, n int) ([]float64, Repairs) {
	values := make([]float64, n)
	for i := range values {
		values[i] = math.NaN()
	}
	taken := make([]bool, n)
	var r Repairs
	var last time.Time
	for i, p := range points {
		if i > 0 && p.At.Before(last) {
			r.Unordered++
		}
		last = p.At
		place := nearest(p.At.Sub(start), step)
		switch {
		case place < 0 || place >= int64(n):
			r.Outside++
			continue
		case math.IsNaN(p.Value) || math.IsInf(p.Value, 0):
			r.NotFinite++
			continue
		case p.Value < 0:
			r.Negative++
			continue
		case p.Value > MaxLoad:
			r.TooLarge++
			continue
		}
		if taken[place] {
			r.Duplicate++
		}
		taken[place], values[place] = true, p.Value
	}
	for _, ok := range taken {
		if !ok {
			r.Missing++
		}
	}
	return values, r
}

// nearest is the number of whole steps that come nearest to a time.
func nearest(after, step time.Duration) int64 {
	n := int64(after / step)
	switch rest := after % step; {
	case rest >= step-rest:
		n++
	case -rest > step+rest:
		n--
	}
	return n
}

// FromPoints makes a series of points whose step is not known: it is the most
// frequent distance between neighbours. One point, or none, have no step.
func FromPoints(points []Point) (Series, Repairs, error) {
	if len(points) < 2 {
		return Series{}, Repairs{}, fmt.Errorf("%d samples: two or more are needed to know their distance", len(points))
	}
	var r Repairs
	sorted := slices.Clone(points)
	for i := 1; i < len(points); i++ {
		if points[i].At.Before(points[i-1].At) {
			r.Unordered++
		}
	}
	slices.SortStableFunc(sorted, func(a, b Point) int { return a.At.Compare(b.At) })
	step, err := frequentStep(sorted)
	if err != nil {
		return Series{}, r, err
	}
	first, last := sorted[0].At, sorted[len(sorted)-1].At
	n := nearest(last.Sub(first), step) + 1
	if n > MaxSamples {
		return Series{}, r, fmt.Errorf("from %s to %s there are %d steps of %v: at most %d are taken", first.Format(time.RFC3339), last.Format(time.RFC3339), n, step, MaxSamples)
	}
	values, more := Grid(sorted, first, step, int(n))
	more.Unordered = r.Unordered
	return Series{Start: first, Step: step, Values: values}, more, nil
}

// frequentStep is the most frequent distance between sorted points; of equally
// frequent ones the shortest.
func frequentStep(sorted []Point) (time.Duration, error) {
	counts := map[time.Duration]int{}
	for i := 1; i < len(sorted); i++ {
		if d := sorted[i].At.Sub(sorted[i-1].At); d > 0 {
			counts[d]++
		}
	}
	var step time.Duration
	for d, n := range counts {
		if step == 0 || n > counts[step] || n == counts[step] && d < step {
			step = d
		}
	}
	if step == 0 {
		return 0, fmt.Errorf("all %d samples are of %s: times have to differ", len(sorted), sorted[0].At.Format(time.RFC3339))
	}
	return step, nil
}

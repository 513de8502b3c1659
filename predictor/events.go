package predictor

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"time"

	"github.com/barrage-im/barrage/predictor/forecast"
	"github.com/barrage-im/barrage/protocol/ops"
)

// An Event is a stream that is scheduled.
type Event struct {
	Name  string    `yaml:"name" help:"for people"`
	Start time.Time `yaml:"start" help:"RFC 3339, such as 2026-03-04T20:00:00Z"`
	End   time.Time `yaml:"end" help:"likewise, later"`
	Size  float64   `yaml:"size" help:"load that is expected of it, such as connections"`
}

// Limits of a schedule. The file itself is bounded by ops.
const (
	maxEvents = 10_000
	maxEvent  = 31 * day
)

// schedule is the events of a file. The zero schedule has none.
type schedule struct{ events []Event }

// readSchedule reads a YAML or JSON file with a key events.
func readSchedule(path string) (schedule, error) {
	var file struct {
		Events []Event `yaml:"events"`
	}
	if err := ops.ReadYAML(path, &file); err != nil {
		return schedule{}, err
	}
	if len(file.Events) > maxEvents {
		return schedule{}, fmt.Errorf("%s: %d events; keep %d at most: those that are over need not stay", path, len(file.Events), maxEvents)
	}
	var errs []error
	for i, e := range file.Events {
		if err := e.validate(); err != nil {
			errs = append(errs, fmt.Errorf("%s: events[%d] %q: %w", path, i, e.Name, err))
		}
	}
	return schedule{file.Events}, errors.Join(errs...)
}

func (e Event) validate() error {
	switch {
	case e.Start.IsZero() || e.End.IsZero():
		return errors.New("give start and end, such as 2026-03-04T20:00:00Z")
	case !e.End.After(e.Start) || e.End.Sub(e.Start) > maxEvent:
		return fmt.Errorf("end %s: use a time after the start, %s at most", e.End.Format(time.RFC3339), maxEvent)
	case !(e.Size > 0 && e.Size <= forecast.MaxLoad):
		return fmt.Errorf("size %v: use the load that is expected, above 0", e.Size)
	}
	return nil
}

// at is the load that is scheduled for a time.
func (s schedule) at(t time.Time) (sum float64) {
	for _, e := range s.events {
		if !t.Before(e.Start) && t.Before(e.End) {
			sum += e.Size
		}
	}
	return math.Min(sum, forecast.MaxLoad)
}

// appendRows appends what is scheduled for n steps.
func (s schedule) appendRows(rows []float64, from time.Time, step time.Duration, n int) []float64 {
	for i := range n {
		rows = append(rows, s.at(from.Add(time.Duration(i)*step)))
	}
	return rows
}

// calendar follows a file. What is wrong with it is said once, and the schedule
// before it stays in force.
type calendar struct {
	path     string
	schedule schedule
	seen     fileMark
}

type fileMark struct {
	at      time.Time
	size    int64
	missing bool
}

// look reads the file again if it is another one; changed says that it was read.
func (c *calendar) look() (changed bool, err error) {
	if c.path == "" {
		return false, nil
	}
	var mark fileMark
	switch st, err := os.Stat(c.path); {
	case errors.Is(err, fs.ErrNotExist):
		mark.missing = true
	case err != nil:
		return false, err
	default:
		mark.at, mark.size = st.ModTime(), st.Size()
	}
	if mark == c.seen {
		return false, nil
	}
	c.seen = mark
	if mark.size == 0 && !mark.missing { // somebody may be writing it
		return false, fmt.Errorf("%s is empty: what was scheduled before stays so; write events: [] for none", c.path)
	}
	if mark.missing {
		return false, fmt.Errorf("%s is not there: what was scheduled before stays so", c.path)
	}
	next, err := readSchedule(c.path)
	if err != nil {
		return false, err
	}
	c.schedule = next
	return true, nil
}

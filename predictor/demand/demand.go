// Package demand reads how much load there is: from Prometheus, or from the
// edges themselves. Whoever cannot be read in whole gives no sample, never a
// part of one: an autoscaler would take a part for a fleet that is too large.
package demand

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/barrage-im/barrage/predictor/series"
)

// A Source is where samples of demand come from. Calls may overlap. Errors are
// an *Error, or of the context.
type Source interface {
	// History reads the samples from start on, one a step, up to end and
	// including it. Samples that are not there are left away.
	History(ctx context.Context, start, end time.Time, step time.Duration) ([]series.Point, error)
	// Now reads the sample of a time that is now, or nearly.
	Now(ctx context.Context, at time.Time) (float64, error)
	// String says what is read from, for people and to know a stored history by.
	String() string
	// Close ends idle connections.
	Close()
}

// Kind is a kind of error, as a label of a metric.
type Kind string

// The kinds of errors.
const (
	Unreachable Kind = "unreachable" // nobody answers
	Slow        Kind = "slow"        // nobody answers in time
	Refused     Kind = "refused"     // the answer is an error
	Garbage     Kind = "garbage"     // the answer cannot be understood, or is no load
	TooLarge    Kind = "too_large"   // the answer is larger than anything that is expected
	Several     Kind = "several"     // several series, where one is needed
	Empty       Kind = "empty"       // no series at all
	Partial     Kind = "partial"     // something of the answer is missing
	Setup       Kind = "setup"       // a file of the configuration cannot be read
)

// Kinds are all kinds.
var Kinds = []Kind{Unreachable, Slow, Refused, Garbage, TooLarge, Several, Empty, Partial, Setup}

// ErrNoHistory is the error of History where the past is not kept.
var ErrNoHistory = errors.New("edges do not keep what they had: history begins now, or with a stored state")

// An Error says why there is no sample.
type Error struct {
	Kind Kind
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

func errorf(kind Kind, format string, args ...any) error {
	return &Error{kind, fmt.Errorf(format, args...)}
}

// KindOf is the kind of an error of a Source.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, context.DeadlineExceeded):
		return Slow
	}
	return Unreachable
}

// Open opens the configured source.
func Open(cfg Config) (Source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Prometheus != "" {
		p, err := newPrometheus(cfg)
		if err != nil {
			return nil, err // and no Source, which a nil pointer would be
		}
		return p, nil
	}
	e, err := newEdges(cfg)
	if err != nil {
		return nil, err
	}
	return e, nil
}

package rollout

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// PausedFile stops every rollout while it is there; what is in it is the reason.
const PausedFile = "fleet/paused"

// Errors of Run.
var (
	// ErrUnderWay says that another rollout has not ended.
	ErrUnderWay = errors.New("another rollout is under way")
	// ErrReverted says that the rollout was brought back.
	ErrReverted = errors.New("the rollout was brought back")
)

// A Job is one rollout from its beginning, or from where somebody left it.
type Job struct {
	Repo    *Repo
	Waves   []Wave
	Timeout time.Duration
	Files   map[string][]byte // of all clusters, as they are to be
	Folders func(cluster string) string
	Version string // of Files: the same files have the same
	Title   string // for people, such as an image's tag
	// Look sees clusters; moved are the waves that have been moved.
	Look  func(ctx context.Context, moved []Moved) map[string]Observation
	Say   func(format string, args ...any)
	Every time.Duration // between two looks
	Now   func() time.Time
}

// Run goes on until every wave has the version and is well, or it was brought
// back (ErrReverted). It may be stopped at any time, and begun again.
func (j *Job) Run(ctx context.Context) error {
	var wellSince time.Time
	said := ""
	for {
		next, err := j.step(ctx, &wellSince)
		switch {
		case ctx.Err() != nil && (err != nil || next != ""):
			return fmt.Errorf("stopped; the same command goes on from here: %w", ctx.Err())
		case errors.Is(err, ErrConflict):
			j.Say("somebody else has pushed meanwhile; looking again")
			continue
		case errors.Is(err, ErrUnreachable):
			next = err.Error()
		case err != nil:
			return err
		case next == "":
			return nil
		}
		if next != said {
			j.Say("%s", next)
			said = next
		}
		select {
		case <-ctx.Done():
		case <-time.After(j.Every):
		}
	}
}

// step looks and acts once. It returns what it waits for; empty: done.
func (j *Job) step(ctx context.Context, wellSince *time.Time) (waits string, err error) {
	if err := j.Repo.Fetch(ctx); err != nil {
		return "", err
	}
	if why, err := os.ReadFile(filepath.Join(j.Repo.Dir(), PausedFile)); err == nil {
		return "paused: " + strings.TrimSpace(string(why)) + " (barrage fleet resume)", nil
	}
	rec, err := j.record(ctx)
	if err != nil {
		return "", err
	}
	var moved []Moved
	if rec != nil {
		if rec.Reverted != "" {
			return "", fmt.Errorf("%w by %s", ErrReverted, rec.Reverted)
		}
		moved = rec.Moved
	}
	for i := range moved {
		if moved[i].Wave >= len(j.Waves) {
			return "", fmt.Errorf("rollout %s has moved wave %d; the description has %d: put the waves back, or bring the rollout back (barrage fleet rollback)", rec.ID, moved[i].Wave+1, len(j.Waves))
		}
		if moved[i].Revisions, err = j.Repo.Revisions(ctx, moved[i].Commit, j.folders(moved[i].Wave)); err != nil {
			return "", err
		}
	}
	now := j.Now()
	act := Decide(Plan{Waves: j.Waves, Timeout: j.Timeout}, moved, j.Look(ctx, moved), *wellSince, now)
	*wellSince = act.WellSince
	switch act.Kind {
	case Wait:
		return act.Reason, nil
	case Done:
		j.Say("%s", act.Reason)
		return "", nil
	case Revert:
		return "", j.revert(ctx, rec, act)
	case Move:
	}
	id := fmt.Sprintf("%s-%s", now.UTC().Format("20060102T150405Z"), short(j.Version))
	if rec != nil {
		id = rec.ID
	}
	commit, err := j.Repo.Move(ctx, Change{
		Folders: j.folders(act.Wave), Files: j.within(act.Wave), Empty: true,
		Subject: fmt.Sprintf("fleet: %s for wave %d of %d (%s)", j.Title, act.Wave+1, len(j.Waves), strings.Join(j.Waves[act.Wave].Clusters, ", ")),
		Rollout: id, Version: j.Version, Wave: act.Wave, Waves: len(j.Waves),
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s: moved by %s", act.Reason, short(commit)), nil
}

// record is what the repository says of this rollout; nil before its first wave.
func (j *Job) record(ctx context.Context) (*Record, error) {
	records, err := j.Repo.Rollouts(ctx)
	if err != nil || len(records) == 0 {
		return nil, err
	}
	newest := records[0]
	switch {
	case newest.Version == j.Version:
		return newest, nil
	case newest.UnderWay():
		return nil, fmt.Errorf("%w: %s has moved %d of %d waves to another description; let it end, or bring it back (barrage fleet rollback)", ErrUnderWay, newest.ID, len(newest.Moved), newest.Waves)
	}
	return nil, nil //nolint:nilnil // nothing has been moved
}

func (j *Job) revert(ctx context.Context, rec *Record, act Action) error {
	var folders, regions []string
	for _, m := range rec.Moved {
		folders = append(folders, j.folders(m.Wave)...)
		regions = append(regions, j.Waves[m.Wave].Clusters...)
	}
	commit, err := j.Repo.Restore(ctx, rec.Base, Change{
		Folders: folders, Empty: true, Subject: fmt.Sprintf("fleet: %s is brought back from %s", j.Title, strings.Join(regions, ", ")),
		Body: strings.Join(act.Evidence, "\n"), Rollout: rec.ID, Version: rec.Version,
	})
	if err != nil {
		return err
	}
	return fmt.Errorf("%w by %s:\n%s", ErrReverted, short(commit), strings.Join(act.Evidence, "\n"))
}

// folders of a wave.
func (j *Job) folders(wave int) (list []string) {
	for _, c := range j.Waves[wave].Clusters {
		list = append(list, j.Folders(c))
	}
	return list
}

// within are the files of a wave.
func (j *Job) within(wave int) map[string][]byte {
	folders := j.folders(wave)
	files := map[string][]byte{}
	for name, b := range j.Files {
		if inside(folders, name) {
			files[name] = b
		}
	}
	return files
}

func short(s string) string {
	s = strings.TrimPrefix(s, "sha256:")
	return s[:min(len(s), 12)]
}

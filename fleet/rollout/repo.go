package rollout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Trailers of commits: what a rollout has done is what the repository says.
const (
	trailerRollout  = "Fleet-Rollout"
	trailerWave     = "Fleet-Wave"
	trailerVersion  = "Fleet-Version"
	trailerReverted = "Fleet-Reverted"
)

// Errors of a Repo.
var (
	// ErrConflict says that somebody else has pushed meanwhile: nothing of ours is
	// there. Fetch, look, and decide again.
	ErrConflict = errors.New("somebody else has pushed meanwhile")
	// ErrRefused says that the remote does not take the push.
	ErrRefused = errors.New("the remote refuses the push")
	// ErrUnreachable says that the remote does not answer, or knows no such
	// repository or branch.
	ErrUnreachable = errors.New("the repository cannot be read")
	// ErrNothing says that a commit would change nothing.
	ErrNothing = errors.New("there is nothing to change")
)

// A Repo is a clone of the fleet's repository, in a folder of its own. One
// goroutine at a time may use it. It runs git, whose settings for credentials
// hold.
type Repo struct {
	dir, branch string
	sign        string // file of an SSH key; empty: commits are signed as git is set up to
}

// Clone makes a clone in dir, which must be empty or not there.
func Clone(ctx context.Context, url, branch, dir, sign string) (*Repo, error) {
	r := &Repo{dir: dir, branch: branch, sign: sign}
	if _, err := git(ctx, "", "clone", "--quiet", "--branch", branch, "--single-branch", "--", url, dir); err != nil {
		return nil, fmt.Errorf("%w: %s, branch %s: %w", ErrUnreachable, url, branch, err)
	}
	return r, nil
}

// git runs a command; its error has what git said.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_TERMINAL_PROMPT=0", "LC_ALL=C")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return "", errors.New("git is not installed")
		}
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(said.String()))
	}
	return strings.TrimRight(out.String(), "\n"), nil
}

func (r *Repo) git(ctx context.Context, args ...string) (string, error) {
	return git(ctx, r.dir, args...)
}

// Fetch makes the clone what the remote has; what was not pushed is dropped.
func (r *Repo) Fetch(ctx context.Context) error {
	if _, err := r.git(ctx, "fetch", "--quiet", "origin", r.branch); err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if _, err := r.git(ctx, "reset", "--quiet", "--hard", "FETCH_HEAD"); err != nil {
		return err
	}
	_, err := r.git(ctx, "clean", "-qfd")
	return err
}

// Dir is the work tree.
func (r *Repo) Dir() string { return r.dir }

// Head is the commit of the work tree.
func (r *Repo) Head(ctx context.Context) (string, error) { return r.git(ctx, "rev-parse", "HEAD") }

// A Record is what the repository says of one rollout.
type Record struct {
	ID, Version string
	Base        string // commit before the first wave
	Moved       []Moved
	Waves       int    // how many there are in all
	Reverted    string // commit that brought them back; empty: none
}

// UnderWay says that waves are still to come, and nothing was brought back.
func (r *Record) UnderWay() bool { return r != nil && r.Reverted == "" && len(r.Moved) < r.Waves }

// maxHistory is how many commits are looked at.
const maxHistory = 2000

// Rollouts reads the repository's history, the newest rollout first.
func (r *Repo) Rollouts(ctx context.Context) ([]*Record, error) {
	const field = "%x1f"
	format := "%H" + field + "%P" + field + "%ct" + field
	for _, t := range []string{trailerRollout, trailerWave, trailerVersion, trailerReverted} {
		format += "%(trailers:key=" + t + ",valueonly,separator=%x2c)" + field
	}
	out, err := r.git(ctx, "log", "--max-count="+strconv.Itoa(maxHistory), "--format="+format+"%x1e")
	if err != nil {
		return nil, err
	}
	var records []*Record
	byID := map[string]*Record{}
	for entry := range strings.SplitSeq(out, "\x1e") {
		f := strings.Split(strings.TrimSpace(entry), "\x1f")
		if len(f) < 7 || f[3] == "" {
			continue
		}
		rec := byID[f[3]]
		if rec == nil {
			rec = &Record{ID: f[3]}
			byID[f[3]] = rec
			records = append(records, rec)
		}
		if f[6] != "" {
			rec.Reverted = f[0]
			continue
		}
		var wave, waves int
		if _, err := fmt.Sscanf(f[4], "%d/%d", &wave, &waves); err != nil || wave < 1 || wave > waves {
			return nil, fmt.Errorf("commit %s of rollout %s names wave %q; want such as 1/3: was it written by hand?", f[0], f[3], f[4])
		}
		seconds, err := strconv.ParseInt(f[2], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("commit %s has no time: %w", f[0], err)
		}
		rec.Version, rec.Waves = f[5], waves
		rec.Base, _, _ = strings.Cut(f[1], " ")
		rec.Moved = append([]Moved{{Wave: wave - 1, Commit: f[0], At: time.Unix(seconds, 0).UTC()}}, rec.Moved...)
	}
	return records, nil
}

// Revisions are the revisions, as Flux names them, from a commit on at which
// folders are as in that commit: from the commit itself up to the work tree's.
func (r *Repo) Revisions(ctx context.Context, commit string, folders []string) ([]string, error) {
	out, err := r.git(ctx, "rev-list", "--first-parent", "--reverse", commit+"..HEAD")
	if err != nil {
		return nil, err
	}
	of := func(c string) string { return r.branch + "@sha1:" + c }
	list := []string{of(commit)}
	for c := range strings.FieldsSeq(out) {
		if _, err := r.git(ctx, append([]string{"diff", "--quiet", commit, c, "--"}, folders...)...); err == nil {
			list = append(list, of(c))
		}
	}
	return list, nil
}

// A Change is the files of some folders, in whole.
type Change struct {
	Folders []string          // what is in them and not in Files goes
	Files   map[string][]byte // by path
	Subject string
	Body    string
	// Trailers of the commit.
	Rollout, Version string
	Wave, Waves      int // Wave counts from 0
	Reverts          bool
	Empty            bool // commit although nothing changes: the wave is on record
}

// Move writes a wave, commits and pushes it.
func (r *Repo) Move(ctx context.Context, c Change) (commit string, err error) {
	for _, folder := range c.Folders {
		if err := os.RemoveAll(filepath.Join(r.dir, filepath.FromSlash(folder))); err != nil {
			return "", err
		}
	}
	for name, b := range c.Files {
		if !inside(c.Folders, name) {
			return "", fmt.Errorf("%s is in none of %s", name, strings.Join(c.Folders, ", "))
		}
		at := filepath.Join(r.dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(at, b, 0o644); err != nil {
			return "", err
		}
	}
	return r.commit(ctx, c)
}

// Restore makes folders what they were at a commit, commits and pushes that.
func (r *Repo) Restore(ctx context.Context, base string, c Change) (commit string, err error) {
	for _, folder := range c.Folders {
		if err := os.RemoveAll(filepath.Join(r.dir, filepath.FromSlash(folder))); err != nil {
			return "", err
		}
		if _, err := r.git(ctx, "cat-file", "-e", base+":"+folder); err != nil {
			continue // it was not there
		}
		if _, err := r.git(ctx, "checkout", "--quiet", base, "--", folder); err != nil {
			return "", err
		}
	}
	c.Reverts = true
	return r.commit(ctx, c)
}

func inside(folders []string, name string) bool {
	return path.Clean(name) == name && slices.ContainsFunc(folders, func(f string) bool { return strings.HasPrefix(name, f+"/") })
}

// commit commits what the folders have become, and pushes. When the push fails
// the clone is as before.
func (r *Repo) commit(ctx context.Context, c Change) (string, error) {
	if _, err := r.git(ctx, append([]string{"add", "--all", "--"}, c.Folders...)...); err != nil {
		return "", err
	}
	if _, err := r.git(ctx, "diff", "--cached", "--quiet"); err == nil && !c.Empty {
		return "", ErrNothing
	}
	trailers := fmt.Sprintf("%s: %s\n%s: %s\n", trailerRollout, c.Rollout, trailerVersion, c.Version)
	if c.Reverts {
		trailers += trailerReverted + ": yes\n"
	} else {
		trailers += fmt.Sprintf("%s: %d/%d\n", trailerWave, c.Wave+1, c.Waves)
	}
	body := ""
	if c.Body != "" {
		body = strings.TrimSpace(c.Body) + "\n\n"
	}
	args := []string{"commit", "--quiet", "--allow-empty", "--message", c.Subject + "\n\n" + body + trailers}
	if r.sign != "" {
		args = append([]string{"-c", "gpg.format=ssh", "-c", "user.signingkey=" + r.sign}, append(args, "--gpg-sign")...)
	}
	before, err := r.Head(ctx)
	if err != nil {
		return "", err
	}
	undo := func(err error) (string, error) {
		if _, e := git(context.WithoutCancel(ctx), r.dir, "reset", "--quiet", "--hard", before); e != nil {
			err = errors.Join(err, e)
		}
		return "", err
	}
	if _, err := r.git(ctx, args...); err != nil {
		return undo(err)
	}
	made, err := r.Head(ctx)
	if err != nil {
		return undo(err)
	}
	if _, err := r.git(ctx, "push", "--quiet", "origin", "HEAD:"+r.branch); err != nil {
		switch text := err.Error(); {
		case strings.Contains(text, "fetch first") || strings.Contains(text, "non-fast-forward") || strings.Contains(text, "cannot lock ref"):
			return undo(fmt.Errorf("%w: %w", ErrConflict, err))
		case strings.Contains(text, "rejected") || strings.Contains(text, "denied") || strings.Contains(text, "403"):
			return undo(fmt.Errorf("%w: %w", ErrRefused, err))
		default:
			// The remote may have it, although the answer was lost: look.
			return undo(fmt.Errorf("%w: %w", ErrUnreachable, err))
		}
	}
	return made, nil
}

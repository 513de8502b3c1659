// Package gitserver serves Git repositories over smart HTTP through git's own
// http-backend, at plan.Git. Anyone in the lab may read and push.
package gitserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/barrage-im/barrage/fleet/lab/daemon"
	"github.com/barrage-im/barrage/fleet/lab/plan"
)

// Command is the lab's subcommand that serves; its one argument is the folder.
const Command = "git-serve"

const name = "git"

// Up starts the server unless it runs. Repositories are below dir/repositories.
func Up(self, dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "repositories"), 0o755); err != nil {
		return err
	}
	_, err := daemon.Ensure(daemon.Spec{
		Dir: dir, Name: name, Netns: plan.World, Args: []string{self, Command, dir},
	})
	return err
}

// Running says whether it runs.
func Running(dir string) bool { return daemon.Alive(dir, name) }

// Down stops it.
func Down(dir string) error { return daemon.Stop(dir, name, time.Second) }

var repository = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Create makes an empty repository, with branch main, unless it is there, and
// gives its URL in the lab.
func Create(ctx context.Context, dir, repo string) (string, error) {
	if !repository.MatchString(repo) {
		return "", fmt.Errorf("repository %q: want lower-case letters, digits and dashes", repo)
	}
	path := filepath.Join(dir, "repositories", repo+".git")
	for _, args := range [][]string{
		{"init", "--quiet", "--bare", "--initial-branch=main", path},
		{"-C", path, "config", "http.receivepack", "true"},
	} {
		if out, err := exec.CommandContext(ctx, "git", args...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
		}
	}
	return URL(repo), nil
}

// URL is a repository's in the lab.
func URL(repo string) string { return "http://" + plan.Git + "/" + repo + ".git" }

// Serve serves the repositories below dir until ctx is done.
func Serve(ctx context.Context, dir string) error {
	backend, err := exec.CommandContext(ctx, "git", "--exec-path").Output()
	if err != nil {
		return fmt.Errorf("git --exec-path: %w", err)
	}
	handler := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(backend)), "git-http-backend"),
		Env: []string{
			"GIT_PROJECT_ROOT=" + filepath.Join(dir, "repositories"), "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=lab",
			// The repositories may belong to another user than the server's.
			"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
		},
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", plan.Git)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() }) //nolint:errcheck // it ends anyway
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

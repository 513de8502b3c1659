// Package build makes the lab's binaries and images once and keeps them under
// a name made from all they depend on, so that a second build costs nothing.
// The first build of the Kubernetes binary takes ten minutes of one core.
package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/barrage-im/barrage/fleet/lab/image"
)

// KubernetesVersion is that of k8s.io/kubernetes in go.mod, which the API
// server must be linked with to know its own.
const KubernetesVersion = "v1.35.4"

// Images that every node has from the start.
const (
	PauseImage = "lab.local/pause:v1"
	DNSImage   = "lab.local/coredns:v1"
	ProbeImage = "lab.local/probe:v1"
)

// A target is a main package; in a module of its own if module is set.
type target struct {
	module string // below the lab's folder
	source string // below the module's
	name   string
	image  string // also packed as this
}

var targets = []target{
	{".", "kube", "kube", ""},
	{"coredns", ".", "coredns", DNSImage},
	{".", "pause", "pause", PauseImage},
	{".", "probe", "probe", ProbeImage},
}

// An Output is where the results are.
type Output struct {
	Kube   string // the combined Kubernetes binary
	Images string // folder of image archives
}

// Cache is the folder where results are kept.
func Cache() (string, error) {
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "barrage-lab"), err
}

// All builds what the cache does not have, from the lab's sources in dir, and
// says what it does on log.
func All(ctx context.Context, dir, cache string, log io.Writer) (Output, error) {
	out := Output{Images: filepath.Join(cache, "images")}
	sums := sha256.New()
	for _, t := range targets {
		key, err := t.key(dir)
		if err != nil {
			return Output{}, fmt.Errorf("sources of %s: %w", t.name, err)
		}
		binary := filepath.Join(cache, key, t.name)
		if err := t.build(ctx, dir, binary, log); err != nil {
			return Output{}, err
		}
		if t.name == "kube" {
			out.Kube = binary
		}
		fmt.Fprintln(sums, t.image, key)
	}
	// Nodes load all archives of one folder: it is made new when one changes.
	out.Images = filepath.Join(cache, "images-"+hex.EncodeToString(sums.Sum(nil))[:16])
	return out, out.pack(dir, cache)
}

func (o Output) pack(dir, cache string) error {
	if _, err := os.Stat(o.Images); err == nil {
		return nil
	}
	part, err := os.MkdirTemp(cache, "images-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(part) //nolint:errcheck // gone if all went well
	for _, t := range targets {
		if t.image == "" {
			continue
		}
		key, err := t.key(dir)
		if err != nil {
			return err
		}
		if err := image.Pack(filepath.Join(part, t.name+".tar"), t.image, filepath.Join(cache, key, t.name)); err != nil {
			return fmt.Errorf("image of %s: %w", t.name, err)
		}
	}
	return os.Rename(part, o.Images)
}

func (t target) build(ctx context.Context, dir, binary string, log io.Writer) error {
	if _, err := os.Stat(binary); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(binary), 0o755); err != nil {
		return err
	}
	fmt.Fprintf(log, "building %s\n", t.name)
	began := time.Now()
	part := binary + ".part"
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags(), "-o", part, "./"+t.source)
	cmd.Dir = filepath.Join(dir, t.module)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s: %w", t.name, err)
	}
	fmt.Fprintf(log, "built %s in %.1f s\n", t.name, time.Since(began).Seconds())
	return os.Rename(part, binary)
}

// key is a hash of the module's versions, the sources and the compiler.
func (t target) key(dir string) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.Version(), runtime.GOARCH, flags())
	module := filepath.Join(dir, t.module)
	files, err := filepath.Glob(filepath.Join(module, t.source, "*.go"))
	if err != nil {
		return "", err
	}
	if len(files) == 0 {
		return "", fmt.Errorf("%s has no Go files: %w", filepath.Join(module, t.source), fs.ErrNotExist)
	}
	for _, f := range append(files, filepath.Join(module, "go.mod"), filepath.Join(module, "go.sum")) {
		b, err := os.ReadFile(f)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		fmt.Fprintln(sum, filepath.Base(f), len(b))
		sum.Write(b)
	}
	return t.name + "-" + hex.EncodeToString(sum.Sum(nil))[:16], nil
}

// flags are the same for all, so that packages compiled for one serve another.
func flags() string {
	version := strings.SplitN(strings.TrimPrefix(KubernetesVersion, "v"), ".", 3)
	set := func(name, value string) string { return " -X k8s.io/component-base/version." + name + "=" + value }
	return "-s -w" + set("gitVersion", KubernetesVersion) + set("gitMajor", version[0]) + set("gitMinor", version[1]) +
		set("gitTreeState", "clean") + set("buildDate", "1970-01-01T00:00:00Z")
}

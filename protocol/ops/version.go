package ops

import (
	"runtime"
	"runtime/debug"
	"sync"
)

// Build says which program this is.
type Build struct {
	Version  string // module version, else the commit in short, else Unreleased
	Revision string // commit, with "+dirty" when the tree had changes; empty if unknown
	Time     string // of the commit, RFC 3339; empty if unknown
	Go       string // toolchain
}

// Unreleased is the version of a build that carries neither a module version nor
// a commit.
const Unreleased = "unreleased"

// Version reads what the Go toolchain put into the binary.
var Version = sync.OnceValue(func() Build {
	b := Build{Version: Unreleased, Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	named, dirty := b.Version != Unreleased, false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			dirty = s.Value == "true"
		}
	}
	if !named && b.Revision != "" {
		b.Version = b.Revision[:min(12, len(b.Revision))]
	}
	if dirty && b.Revision != "" {
		b.Revision += "+dirty"
	}
	return b
})

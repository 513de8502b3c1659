package screen

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/filter/bundle"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// A copy is one file: copyMagic, the SHA-256 of what follows, the length of the
// set with its one stage as a uvarint, the set, the bundle. It is replaced as a
// whole, so a set and its bundle always fit together.
const (
	copyMagic  = "barrage filter copy 1\n"
	copySuffix = ".filter"
	tempSuffix = ".new"
	maxCopy    = bundle.MaxBundle + 1<<16
	maxCopies  = 1024 // files that are looked at; sets are far fewer
)

var errCopy = errors.New("the copy is damaged")

// copies are the last good sets on disk.
type copies struct{ dir string }

func openCopies(dir string) (*copies, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &copies{dir}, nil
}

// path is where a set's copy lies: names may hold what file names may not.
func (c *copies) path(name string) string {
	return filepath.Join(c.dir, url.PathEscape(name)+copySuffix)
}

// write replaces a set's copy, or leaves it as it was.
func (c *copies) write(of *rpc.FilterSet, data []byte) error {
	head, err := proto.Marshal(of)
	if err != nil {
		return err
	}
	rest := binary.AppendUvarint(nil, uint64(len(head)))
	rest = append(append(rest, head...), data...)
	sum := sha256.Sum256(rest)
	path := c.path(of.GetName())
	f, err := os.OpenFile(path+tempSuffix, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	for _, part := range [][]byte{[]byte(copyMagic), sum[:], rest} {
		if err == nil {
			_, err = f.Write(part)
		}
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(path+tempSuffix, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(path+tempSuffix))
	}
	return c.sync()
}

func (c *copies) remove(name string) error {
	return c.discard(c.path(name))
}

func (c *copies) discard(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, c.sync())
}

// sync makes renames and removals last.
func (c *copies) sync() error {
	d, err := os.Open(c.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// files lists the copies and removes what a crash left of unfinished ones.
func (c *copies) files() (list []string, err error) {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		path := filepath.Join(c.dir, e.Name())
		switch {
		case strings.HasSuffix(e.Name(), copySuffix+tempSuffix):
			_ = os.Remove(path) // nothing of it was in force
		case strings.HasSuffix(e.Name(), copySuffix) && len(list) < maxCopies:
			list = append(list, path)
		}
	}
	return list, nil
}

// readCopy reads a copy as write made it.
func readCopy(path string) (of *rpc.FilterSet, data []byte, err error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if st.Size() > maxCopy {
		return nil, nil, fmt.Errorf("%w: it has %d bytes", errCopy, st.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	rest, ok := bytes.CutPrefix(b, []byte(copyMagic))
	if !ok || len(rest) < sha256.Size {
		return nil, nil, fmt.Errorf("%w: it is none", errCopy)
	}
	sum, rest := rest[:sha256.Size], rest[sha256.Size:]
	if now := sha256.Sum256(rest); !bytes.Equal(now[:], sum) {
		return nil, nil, fmt.Errorf("%w: its checksum is another", errCopy)
	}
	size, n := binary.Uvarint(rest)
	if n <= 0 || size > uint64(len(rest)-n) {
		return nil, nil, fmt.Errorf("%w: it is cut", errCopy)
	}
	of = &rpc.FilterSet{}
	if err := proto.Unmarshal(rest[n:n+int(size)], of); err != nil || len(of.GetStages()) != 1 || of.GetName() == "" {
		return nil, nil, fmt.Errorf("%w: it names no set", errCopy)
	}
	return of, rest[n+int(size):], nil
}

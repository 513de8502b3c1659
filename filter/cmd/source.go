package cmd

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/filter/bundle"
	"github.com/barrage-im/barrage/protocol/ops"
)

// maxKeyFile bounds what is read as a key, in bytes.
const maxKeyFile = 64 << 10

// set is the lists of one invocation: files of lists, or a bundle.
type set struct {
	lists    []*filter.List
	files    []string // of each list, as problems name it
	entries  []filter.Entry
	problems []string // "file:line: what"
	fatal    int      // how many of those are
	bundle   *bundle.Bundle
}

// load reads the files. An error is about a file as a whole; what is wrong
// inside a list is in problems.
func load(paths []string, pub string) (*set, error) {
	s := &set{}
	for _, path := range paths {
		data, err := readFile(path, max(filter.MaxSource, bundle.MaxBundle))
		if err != nil {
			return nil, err
		}
		if !bundle.Is(data) {
			l, problems := filter.ParseList(listName(path), data)
			s.lists, s.files = append(s.lists, l), append(s.files, path)
			for _, p := range problems {
				s.problem(path, p)
			}
			continue
		}
		if len(paths) > 1 {
			return nil, ops.Usagef("%s is a bundle: give it alone, or lists", path)
		}
		if s.bundle, err = openBundle(data, pub); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, l := range s.bundle.Lists {
			s.lists, s.files = append(s.lists, l), append(s.files, path+"("+l.Name+")")
		}
	}
	if s.bundle == nil && pub != "" {
		return nil, ops.Usagef("--pub: lists have no signature, bundles have")
	}
	for _, l := range s.lists {
		s.entries = append(s.entries, l.Entries...)
	}
	return s, nil
}

func (s *set) problem(file string, p filter.Problem) {
	text := p.String()
	if p.Line > 0 {
		text = fmt.Sprintf("%d: %s", p.Line, strings.TrimPrefix(text, fmt.Sprintf("line %d: ", p.Line)))
	} else {
		text = " " + text
	}
	s.problems = append(s.problems, file+":"+text)
	if p.Fatal {
		s.fatal++
	}
}

// of is the list that an entry came from, and the file that it stands in.
func (s *set) of(entry uint32) (*filter.List, string) {
	i := int(entry)
	for n, l := range s.lists {
		if i < len(l.Entries) {
			return l, s.files[n]
		}
		i -= len(l.Entries)
	}
	return nil, "" // the filter has only our entries
}

// where is file:line of an entry. Lines of a bundle's lists are those of
// "barrage filter show --list".
func (s *set) where(entry uint32) string {
	_, file := s.of(entry)
	return fmt.Sprintf("%s:%d", file, s.entries[entry].Line)
}

// listName is the name of a list that gives itself none.
func listName(path string) string {
	base := filepath.Base(path)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// openBundle checks the signature if there is a key to check it with.
func openBundle(data []byte, pub string) (*bundle.Bundle, error) {
	if pub == "" {
		return bundle.Unverified(data)
	}
	keys, err := publicKeys(pub)
	if err != nil {
		return nil, err
	}
	return bundle.Open(data, keys)
}

func publicKeys(path string) ([]ed25519.PublicKey, error) {
	text, err := readFile(path, maxKeyFile)
	if err != nil {
		return nil, err
	}
	keys, err := bundle.ParsePublicKeys(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

func readFile(path string, limit int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, err
	}
	if len(data) > limit {
		return nil, fmt.Errorf("%s has more than %s, too much for what it should be", path, size(limit))
	}
	return data, nil
}

// writeNew never replaces a file.
func writeNew(path string, content []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s exists already; choose another --out", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

// replace writes a file in one step: nobody reads half of it, and a crash
// leaves the old one.
func replace(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

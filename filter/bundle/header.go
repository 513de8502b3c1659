package bundle

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/barrage-im/barrage/filter"
)

// The header is the manifest: strings behind their size as a uvarint, numbers
// as uvarints, in this order: name, version, created_ms, mode, key id; the
// number of lists, and of each its name, language, license, number of entries,
// and how many of those are allowed words.

// check says whether a manifest can be put into a bundle.
func (m *Manifest) check() error {
	if err := filter.CheckName(m.Name); err != nil {
		return fmt.Errorf("name of the bundle: %w", err)
	}
	switch {
	case m.Version == 0:
		return fmt.Errorf("version of the bundle: 0 means none; begin with 1")
	case m.CreatedMS < 0:
		return fmt.Errorf("the bundle's time of creation is before 1970")
	case m.Mode != "" && m.Mode != Enforce && m.Mode != Report:
		return fmt.Errorf("mode %.40q of the bundle: use %s or %s", m.Mode, Enforce, Report)
	case len(m.Lists) == 0 || len(m.Lists) > MaxLists:
		return fmt.Errorf("the bundle has %d lists; it can have 1 to %d", len(m.Lists), MaxLists)
	}
	entries, names := 0, map[string]bool{}
	for _, l := range m.Lists {
		if names[l.Name] {
			return fmt.Errorf("two lists of the bundle are named %s; give each its own %%name", l.Name)
		}
		names[l.Name] = true
		entries += l.Entries
	}
	if entries == 0 || entries > filter.MaxEntries {
		return fmt.Errorf("the lists of the bundle have %d entries; use 1 to %d", entries, filter.MaxEntries)
	}
	return nil
}

func appendHeader(b []byte, m *Manifest) []byte {
	b = appendString(b, m.Name)
	b = binary.AppendUvarint(b, m.Version)
	b = binary.AppendUvarint(b, uint64(m.CreatedMS))
	b = appendString(b, m.Mode)
	b = appendString(b, m.KeyID)
	b = binary.AppendUvarint(b, uint64(len(m.Lists)))
	for _, l := range m.Lists {
		b = appendString(appendString(appendString(b, l.Name), l.Language), l.License)
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(l.Entries)), uint64(l.Allowed))
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func parseHeader(b []byte) (m Manifest, err error) {
	r := reader{rest: b}
	m = Manifest{Name: r.string(), Version: r.uint(1<<64 - 1), CreatedMS: int64(r.uint(1<<63 - 1)), Mode: r.string(), KeyID: r.string()}
	for range r.uint(MaxLists) {
		m.Lists = append(m.Lists, ListInfo{
			Name: r.string(), Language: r.string(), License: r.string(),
			Entries: int(r.uint(filter.MaxEntries)), Allowed: int(r.uint(filter.MaxEntries)),
		})
	}
	if r.bad || len(r.rest) > 0 {
		return Manifest{}, fmt.Errorf("%w: its header cannot be read", ErrCorrupt)
	}
	if err := m.check(); err != nil {
		return Manifest{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if id, err := hex.DecodeString(m.KeyID); err != nil || m.KeyID != "" && len(id) != keyIDSize {
		return Manifest{}, fmt.Errorf("%w: its key id cannot be read", ErrCorrupt)
	}
	return m, nil
}

// reader takes a header apart. Once bad it gives only zeros.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) uint(most uint64) uint64 {
	v, n := binary.Uvarint(r.rest)
	// Only the shortest form: the same manifest has the same bytes.
	if n <= 0 || v > most || n > 1 && r.rest[n-1] == 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) string() string {
	n := r.uint(uint64(len(r.rest)))
	if r.bad || n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}

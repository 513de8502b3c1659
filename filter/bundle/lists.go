package bundle

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/barrage-im/barrage/filter"
)

// appendLists appends the canonical form of lists and describes them in the
// manifest. A list that would not be read back is refused here rather than on
// every edge.
func appendLists(b []byte, m *Manifest, lists []*filter.List) ([]byte, error) {
	for _, l := range lists {
		text := filter.AppendList(nil, l)
		again, problems := filter.ParseList(l.Name, text)
		for _, p := range problems {
			if p.Fatal {
				return nil, fmt.Errorf("list %s, in its canonical form: %s", l.Name, p)
			}
		}
		m.Lists = append(m.Lists, infoOf(again))
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
		if len(b) > filter.MaxSource {
			return nil, fmt.Errorf("%w: its lists have more than %d bytes: make several sets of them", ErrTooLarge, filter.MaxSource)
		}
	}
	return b, nil
}

func infoOf(l *filter.List) ListInfo {
	info := ListInfo{Name: l.Name, Language: l.Language, License: l.License, Entries: len(l.Entries)}
	for i := range l.Entries {
		if l.Entries[i].Allow {
			info.Allowed++
		}
	}
	return info
}

func parseLists(plain []byte, m *Manifest) ([]*filter.List, error) {
	lists := make([]*filter.List, 0, len(m.Lists))
	for _, info := range m.Lists {
		size, n := binary.Uvarint(plain)
		if n <= 0 || size > uint64(len(plain)-n) {
			return nil, fmt.Errorf("%w: list %s is cut off", ErrCorrupt, info.Name)
		}
		l, problems := filter.ParseList(info.Name, plain[n:n+int(size)])
		plain = plain[n+int(size):]
		for _, p := range problems {
			if p.Fatal {
				return nil, fmt.Errorf("%w: list %s: %s", ErrCorrupt, info.Name, p)
			}
		}
		if infoOf(l) != info {
			return nil, fmt.Errorf("%w: list %s is not what the manifest says", ErrCorrupt, info.Name)
		}
		lists = append(lists, l)
	}
	if len(plain) > 0 {
		return nil, fmt.Errorf("%w: %d bytes behind the last list", ErrCorrupt, len(plain))
	}
	return lists, nil
}

func deflate(plain []byte) ([]byte, error) {
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

// inflate never makes more than size bytes, which split has bounded. The buffer
// grows with what comes: a small bundle cannot ask for a large one.
func inflate(packed []byte, size int) ([]byte, error) {
	source := bytes.NewReader(packed)
	var plain bytes.Buffer
	n, err := io.Copy(&plain, io.LimitReader(flate.NewReader(source), int64(size)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: its lists cannot be decompressed: %w", ErrCorrupt, err)
	case n != int64(size) || source.Len() > 0:
		return nil, fmt.Errorf("%w: its lists do not have the %d bytes that it says", ErrCorrupt, size)
	}
	return plain.Bytes(), nil
}

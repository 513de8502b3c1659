// Package bundle makes signed, versioned bundles of word lists, and opens them.
// It is pure: keys, bytes and times come as arguments.
//
// A bundle is, with integers in big endian:
//
//	 0  8  magic "brgrules"
//	 8  2  format version: 1
//	10  4  size of the header
//	14  4  size of the compressed lists
//	18  4  their size before compression
//	22     header (see header.go)
//	       lists in their canonical form (filter.AppendList), each behind its
//	       size as a uvarint; DEFLATE (RFC 1951)
//	    4  CRC-32C of everything before it: tells damage from forgery
//	    1  0: not signed, nothing follows; 1: Ed25519 (RFC 8032)
//	   64  signature over everything before it
//
// The signature is checked before anything is decompressed.
package bundle

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/barrage-im/barrage/filter"
)

// Limits of bundles.
const (
	// MaxBundle bounds a bundle, in bytes: every edge fetches it, and every
	// core node stores it. 100,000 words take about 1 MiB.
	MaxBundle = 16 << 20
	// MaxLists bounds the lists of a bundle.
	MaxLists = 64
)

// Errors of Open, for errors.Is.
var (
	ErrUnsigned  = errors.New("the bundle is not signed")
	ErrUntrusted = errors.New("no trusted key signed the bundle")
	ErrCorrupt   = errors.New("the bundle is damaged")
	ErrNewer     = errors.New("the bundle has a newer format than this program knows")
	ErrTooLarge  = errors.New("the bundle is too large")
)

// Modes that a manifest may suggest.
const (
	Enforce = "enforce"
	Report  = "report" // verdicts are only reported
)

// Manifest says what a bundle is.
type Manifest struct {
	Name      string // of the set, as filter.CheckName wants it
	Version   uint64 // grows with each bundle of a name; not 0
	CreatedMS int64  // Unix time in milliseconds
	Mode      string // suggested: Enforce (also when empty) or Report
	KeyID     string // of the key that signed it; Make sets it; empty: none
	Lists     []ListInfo
}

// ListInfo describes one of a bundle's lists. Make sets it.
type ListInfo struct {
	Name, Language, License string
	Entries                 int // Allowed ones included
	Allowed                 int
}

// Bundle is an open bundle.
type Bundle struct {
	Manifest
	Lists  []*filter.List
	Digest [sha256.Size]byte // of the bundle's bytes
	Size   int               // in bytes
}

// Entries are the entries of all lists, in their order: what filter.Compile
// takes.
func (b *Bundle) Entries() []filter.Entry {
	n := 0
	for _, l := range b.Lists {
		n += len(l.Entries)
	}
	all := make([]filter.Entry, 0, n)
	for _, l := range b.Lists {
		all = append(all, l.Entries...)
	}
	return all
}

// List is the list that the entry at a place of Entries came from.
func (b *Bundle) List(entry uint32) *filter.List {
	i := int(entry)
	for _, l := range b.Lists {
		if i < len(l.Entries) {
			return l
		}
		i -= len(l.Entries)
	}
	return nil
}

const (
	magic     = "brgrules"
	format    = 1
	fixed     = 22 // before the header
	unsigned  = 0
	signed    = 1 // Ed25519
	maxHeader = 64 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Make makes a bundle and signs it. The same arguments make the same bytes, as
// long as the program is built with the same Go. Without a key the bundle is
// not signed, and Open refuses it.
func Make(m Manifest, lists []*filter.List, key ed25519.PrivateKey) ([]byte, error) {
	m.KeyID, m.Lists = "", nil
	if key != nil {
		if len(key) != ed25519.PrivateKeySize {
			return nil, fmt.Errorf("the signing key has %d bytes; an Ed25519 key has %d", len(key), ed25519.PrivateKeySize)
		}
		m.KeyID = KeyID(key.Public().(ed25519.PublicKey))
	}
	plain, err := appendLists(nil, &m, lists)
	if err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	header := appendHeader(nil, &m)
	packed, err := deflate(plain)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, fixed+len(header)+len(packed)+4+1+ed25519.SignatureSize)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint16(b, format)
	for _, n := range []int{len(header), len(packed), len(plain)} {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	b = append(append(b, header...), packed...)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if key == nil {
		b = append(b, unsigned)
	} else {
		b = append(b, signed)
		b = append(b, ed25519.Sign(key, b)...)
	}
	if len(b) > MaxBundle {
		return nil, fmt.Errorf("%w: it has %d bytes, and at most %d are allowed: make several sets of the lists", ErrTooLarge, len(b), MaxBundle)
	}
	return b, nil
}

// Open opens a bundle that one of the keys signed.
func Open(data []byte, keys []ed25519.PublicKey) (*Bundle, error) {
	p, err := split(data)
	if err != nil {
		return nil, err
	}
	if p.signature == nil {
		return nil, ErrUnsigned
	}
	for _, key := range keys {
		if len(key) == ed25519.PublicKeySize && KeyID(key) == p.manifest.KeyID {
			if !ed25519.Verify(key, p.body, p.signature) {
				return nil, fmt.Errorf("%w: it names key %s, but its signature is not of that key", ErrUntrusted, p.manifest.KeyID)
			}
			return p.open(data)
		}
	}
	return nil, fmt.Errorf("%w: it names key %s, which is none of the %d given", ErrUntrusted, p.manifest.KeyID, len(keys))
}

// Unverified opens a bundle whoever made it: to show it, never to use it.
func Unverified(data []byte) (*Bundle, error) {
	p, err := split(data)
	if err != nil {
		return nil, err
	}
	return p.open(data)
}

// Is says whether data begins as a bundle does.
func Is(data []byte) bool { return bytes.HasPrefix(data, []byte(magic)) }

// parts are a bundle's, checked for damage; lists are still compressed.
type parts struct {
	manifest  Manifest
	packed    []byte
	plain     int
	body      []byte // what is signed
	signature []byte // nil: none
}

func split(data []byte) (p parts, err error) {
	if len(data) > MaxBundle {
		return p, fmt.Errorf("%w: it has %d bytes, and at most %d are allowed", ErrTooLarge, len(data), MaxBundle)
	}
	if !Is(data) {
		return p, fmt.Errorf("%w: it does not begin as a bundle does", ErrCorrupt)
	}
	if len(data) < fixed+4+1 {
		return p, fmt.Errorf("%w: it is cut off", ErrCorrupt)
	}
	if v := binary.BigEndian.Uint16(data[8:]); v > format {
		return p, fmt.Errorf("%w: version %d, and this one knows %d", ErrNewer, v, format)
	} else if v == 0 {
		return p, fmt.Errorf("%w: format version 0", ErrCorrupt)
	}
	header, packed, plain := int64(binary.BigEndian.Uint32(data[10:])), int64(binary.BigEndian.Uint32(data[14:])), int64(binary.BigEndian.Uint32(data[18:]))
	if header > maxHeader || plain > filter.MaxSource {
		return p, fmt.Errorf("%w: a header of %d bytes, lists of %d; at most %d and %d are allowed", ErrTooLarge, header, plain, maxHeader, filter.MaxSource)
	}
	end := fixed + header + packed // of what the checksum covers
	tail := int64(len(data)) - end - 4 - 1
	if tail < 0 {
		return p, fmt.Errorf("%w: it is cut off", ErrCorrupt)
	}
	if crc32.Checksum(data[:end], castagnoli) != binary.BigEndian.Uint32(data[end:]) {
		return p, fmt.Errorf("%w: wrong checksum", ErrCorrupt)
	}
	switch kind := data[end+4]; {
	case kind == unsigned && tail == 0:
	case kind == signed && tail == ed25519.SignatureSize:
		p.signature = data[end+4+1:]
	default:
		return p, fmt.Errorf("%w: %d bytes where the signature should be", ErrCorrupt, tail)
	}
	p.body = data[:end+4+1]
	p.packed, p.plain = data[fixed+header:end], int(plain)
	if p.manifest, err = parseHeader(data[fixed : fixed+header]); err != nil {
		return p, err
	}
	if (p.signature == nil) != (p.manifest.KeyID == "") {
		return p, fmt.Errorf("%w: key %q, but a signature of %d bytes", ErrCorrupt, p.manifest.KeyID, len(p.signature))
	}
	return p, nil
}

func (p *parts) open(data []byte) (*Bundle, error) {
	plain, err := inflate(p.packed, p.plain)
	if err != nil {
		return nil, err
	}
	lists, err := parseLists(plain, &p.manifest)
	if err != nil {
		return nil, err
	}
	return &Bundle{Manifest: p.manifest, Lists: lists, Digest: sha256.Sum256(data), Size: len(data)}, nil
}

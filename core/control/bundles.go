package control

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/barrage-im/barrage/core/machine"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// Limits of stored bundles of rules.
const (
	// MaxBundle bounds one bundle, in bytes: 100,000 words are about 4 MiB.
	MaxBundle = 16 << 20
	// MaxChunk is the size of every chunk but a bundle's last, in bytes. A log
	// entry holds one: what else control has to do waits a few milliseconds for
	// it, not for the bundle.
	MaxChunk = 256 << 10
	// MaxBundles bounds all stored bundles together, in bytes: every core node
	// holds them, and a snapshot carries them.
	MaxBundles = 256 << 20

	digestBytes = 32 // SHA-256

	// maxUploads bounds the bundles that no set names yet.
	maxUploads = 16
	// uploadTTL is how long after its last chunk an upload is forgotten that no
	// set names, in ms.
	uploadTTL = 10 * 60 * 1000
)

// bundle is what memory holds of a stored bundle; its chunks are in the key
// space only.
type bundle struct {
	digest   []byte
	size     uint32
	received uint32 // <= size
	last     int64  // when its last chunk came
	refs     int    // stages that name it; derived
}

func (b *bundle) complete() bool { return b.received == b.size }

// until is the last moment of a bundle that no set names.
func (b *bundle) until() int64 { return b.last + uploadTTL }

func (c *Control) findBundle(digest []byte) (int, bool) {
	return slices.BinarySearchFunc(c.bundles, digest, func(b *bundle, d []byte) int { return bytes.Compare(b.digest, d) })
}

// putChunk takes the next chunk of a bundle. Chunks that are there already are
// taken for what they were: whoever proposes them has checked them against the
// digest.
func (c *Control) putChunk(in *rpc.PutChunk) *protocol.Error {
	switch size, n := in.GetSize(), uint32(len(in.GetData())); {
	case len(in.GetDigest()) != digestBytes:
		return protocol.Errorf(protocol.BadArgument, "a bundle's digest has %d bytes, SHA-256", digestBytes)
	case size == 0 || size > MaxBundle:
		return protocol.Errorf(protocol.TooLarge, "a bundle of %d bytes: it must have 1 to %d", size, MaxBundle)
	case in.Offset >= size || in.Offset%c.chunk != 0 || n != min(c.chunk, size-in.Offset):
		return protocol.Errorf(protocol.BadArgument,
			"%d bytes at offset %d: chunks have %d bytes, but for the last of a bundle's %d", n, in.Offset, c.chunk, size)
	}
	i, ok := c.findBundle(in.Digest)
	if !ok {
		if err := c.beginUpload(i, in); err != nil {
			return err
		}
	}
	b := c.bundles[i]
	switch {
	case b.size != in.Size:
		return protocol.Errorf(protocol.BadArgument, "bundle %x has %d bytes, not %d", b.digest[:4], b.size, in.Size)
	case in.Offset > b.received:
		return protocol.Errorf(protocol.BadArgument, "bundle %x: chunks come in order, the next is at offset %d", b.digest[:4], b.received)
	case in.Offset == b.received:
		c.put(chunkKey(b.digest, in.Offset), in.Data)
		b.received += uint32(len(in.Data))
	case b.refs > 0:
		return nil // nothing to keep alive
	}
	b.last = c.time
	c.nextLapse = min(c.nextLapse, b.until())
	c.storeBundle(b)
	return nil
}

// beginUpload makes a bundle of which nothing is there yet.
func (c *Control) beginUpload(i int, in *rpc.PutChunk) *protocol.Error {
	uploads, total := 0, uint64(in.Size)
	for _, b := range c.bundles {
		total += uint64(b.size)
		if b.refs == 0 {
			uploads++
		}
	}
	switch {
	case in.Offset != 0:
		return protocol.Errorf(protocol.BadArgument, "bundle %x: nothing of it is here, the next chunk is at offset 0", in.Digest[:4])
	case uploads >= maxUploads:
		return protocol.Errorf(protocol.Overloaded,
			"%d bundles are here that no set names, the most there may be: name them, or wait %d minutes", uploads, uploadTTL/60_000)
	case total > MaxBundles:
		return protocol.Errorf(protocol.Overloaded,
			"all bundles together may have %d bytes: remove sets, or push for all regions, which ends earlier stages", MaxBundles)
	}
	c.bundles = slices.Insert(c.bundles, i, &bundle{digest: in.Digest, size: in.Size})
	return nil
}

// refer counts the stages of a set up (by 1) or down (by -1). Bundles that
// nothing names are dropped by dropUnnamed, after both.
func (c *Control) refer(set *rpc.FilterSet, by int) {
	for _, s := range set.GetStages() {
		if i, ok := c.findBundle(s.Digest); ok {
			c.bundles[i].refs += by
		}
	}
}

// dropUnnamed deletes the bundles of stages that are gone, if nothing else
// names them.
func (c *Control) dropUnnamed(was *rpc.FilterSet) {
	for _, s := range was.GetStages() {
		if i, ok := c.findBundle(s.Digest); ok && c.bundles[i].refs == 0 {
			c.dropBundle(i)
		}
	}
}

func (c *Control) dropBundle(i int) {
	digest := c.bundles[i].digest
	c.bundles = slices.Delete(c.bundles, i, i+1)
	c.batch.Delete(bundleKey(digest))
	c.batch.DeleteRange(chunkKey(digest, 0), machine.PrefixEnd(append([]byte{keyChunk}, digest...)))
}

// lapseUploads drops what nobody has named in time.
func (c *Control) lapseUploads() {
	for i := len(c.bundles) - 1; i >= 0; i-- {
		switch b := c.bundles[i]; {
		case b.refs > 0:
		case c.time > b.until():
			c.dropBundle(i)
		default:
			c.nextLapse = min(c.nextLapse, b.until())
		}
	}
}

// Bundle says how large a bundle is, and whether all of it is stored and a set
// names it.
func (c *Control) Bundle(digest []byte) (size uint32, complete, named bool) {
	i, ok := c.findBundle(digest)
	if !ok {
		return 0, false, false
	}
	return c.bundles[i].size, c.bundles[i].complete(), c.bundles[i].refs > 0
}

// ReadChunk returns the chunk of a bundle that begins at offset; ok is false if
// there is none. r reads what a Control has stored.
func ReadChunk(r machine.Reader, digest []byte, offset uint32) (data []byte, ok bool, err error) {
	if len(digest) != digestBytes {
		return nil, false, nil
	}
	key := chunkKey(digest, offset)
	value, ok, err := r.Get(key)
	if !ok || err != nil {
		return nil, false, err
	}
	data, err = machine.OpenSeal(key, value)
	return data, err == nil, err
}

func bundleKey(digest []byte) []byte { return append([]byte{keyBundle}, digest...) }

func chunkKey(digest []byte, offset uint32) []byte {
	return binary.BigEndian.AppendUint32(append([]byte{keyChunk}, digest...), offset)
}

func (c *Control) storeBundle(b *bundle) {
	content := binary.AppendUvarint(nil, uint64(b.size))
	content = binary.AppendUvarint(content, uint64(b.received))
	c.put(bundleKey(b.digest), binary.AppendUvarint(content, uint64(b.last)))
}

// loadBundle takes up what storeBundle stored.
func (c *Control) loadBundle(key, content []byte) bool {
	var v [3]uint64
	for i := range v {
		n := 0
		if v[i], n = binary.Uvarint(content); n <= 0 {
			return false
		}
		content = content[n:]
	}
	b := &bundle{digest: bytes.Clone(key[1:]), size: uint32(v[0]), received: uint32(v[1]), last: int64(v[2])}
	c.bundles = append(c.bundles, b)
	return len(b.digest) == digestBytes && len(content) == 0 && v[0] <= MaxBundle && v[1] <= v[0] && v[2] <= maxTime
}

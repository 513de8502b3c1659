package replica

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/pebble/v2"
)

// A snapshot stream carries one shard's key space between two nodes:
//
//	magic "brgsnap" schema (1) shard (4) marker (8) applied (8) term (8) crc (4)
//	length (4, > 0) crc (4) pairs…            a chunk, repeated
//	0 (4) pairs (8) bytes (8) crc (4)         the end
//
// A pair is key and value, each with its length as a uvarint. Every part is
// summed by CRC-32C and the end says how much there was, so that a stream that
// was cut or damaged anywhere is known to be.
const (
	streamMagic  = "brgsnap"
	streamSchema = 1
	headerLen    = len(streamMagic) + 1 + 4 + 8 + 8 + 8 + 4
	endLen       = 8 + 8 + 4
)

// streamHeader says what a stream holds. The state may be newer than marker,
// the index that raft knows the snapshot by: it holds everything up to applied.
type streamHeader struct {
	shard                 uint32
	marker, applied, term uint64
}

func (h streamHeader) append(dst []byte) []byte {
	start := len(dst)
	dst = append(append(dst, streamMagic...), streamSchema)
	dst = binary.BigEndian.AppendUint32(dst, h.shard)
	dst = binary.BigEndian.AppendUint64(dst, h.marker)
	dst = binary.BigEndian.AppendUint64(dst, h.applied)
	dst = binary.BigEndian.AppendUint64(dst, h.term)
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

func parseStreamHeader(b []byte) (h streamHeader, err error) {
	if len(b) < headerLen || string(b[:len(streamMagic)]) != streamMagic {
		return h, fmt.Errorf("snapshot header: %w", ErrCorrupt)
	}
	if schema := b[len(streamMagic)]; schema > streamSchema {
		return h, fmt.Errorf("snapshot of schema %d, this version knows %d: %w; upgrade this node", schema, streamSchema, ErrNewerSchema)
	}
	sum := headerLen - 4
	if binary.BigEndian.Uint32(b[sum:]) != crc32.Checksum(b[:sum], castagnoli) {
		return h, fmt.Errorf("snapshot header: %w", ErrCorrupt)
	}
	b = b[len(streamMagic)+1:]
	h.shard = binary.BigEndian.Uint32(b)
	h.marker = binary.BigEndian.Uint64(b[4:])
	h.applied = binary.BigEndian.Uint64(b[12:])
	h.term = binary.BigEndian.Uint64(b[20:])
	return h, nil
}

// writeStream writes the pairs below prefix. The same reader gives the same
// bytes again.
func writeStream(w io.Writer, h streamHeader, r pebble.Reader, prefix []byte) (n int64, err error) {
	out := &counter{w: w}
	if _, err := out.Write(h.append(nil)); err != nil {
		return out.n, err
	}
	var pairs, bytes uint64
	chunk := make([]byte, 8, snapshotChunk+4096)
	flush := func() error {
		if len(chunk) == 8 {
			return nil
		}
		binary.BigEndian.PutUint32(chunk, uint32(len(chunk)-8))
		binary.BigEndian.PutUint32(chunk[4:], crc32.Checksum(chunk[8:], castagnoli))
		bytes += uint64(len(chunk) - 8)
		_, err := out.Write(chunk)
		chunk = chunk[:8]
		return err
	}
	var failed error
	err = reader{r, prefix}.Scan(nil, nil, false, func(key, value []byte) bool {
		chunk = append(binary.AppendUvarint(chunk, uint64(len(key))), key...)
		chunk = append(binary.AppendUvarint(chunk, uint64(len(value))), value...)
		pairs++
		if len(chunk) >= snapshotChunk {
			failed = flush()
		}
		return failed == nil
	})
	if err = errors.Join(err, failed); err != nil {
		return out.n, err
	}
	if err := flush(); err != nil {
		return out.n, err
	}
	end := binary.BigEndian.AppendUint32(nil, 0)
	end = binary.BigEndian.AppendUint64(end, pairs)
	end = binary.BigEndian.AppendUint64(end, bytes)
	end = binary.BigEndian.AppendUint32(end, crc32.Checksum(end[4:], castagnoli))
	_, err = out.Write(end)
	return out.n, err
}

// readStream reads a stream whose header was read already, gives every pair to
// set and returns nil only if the whole of it was there and sound.
func readStream(src io.Reader, set func(key, value []byte) error) error {
	r := bufio.NewReaderSize(src, 64<<10)
	var pairs, bytes uint64
	var chunk []byte
	for {
		var head [8]byte
		if _, err := io.ReadFull(r, head[:4]); err != nil {
			return cut(err)
		}
		n := binary.BigEndian.Uint32(head[:])
		if n == 0 {
			break
		}
		if n > maxSnapshotChunk {
			return fmt.Errorf("snapshot chunk of %d bytes: %w", n, ErrCorrupt)
		}
		if _, err := io.ReadFull(r, head[4:]); err != nil {
			return cut(err)
		}
		if uint32(cap(chunk)) < n {
			chunk = make([]byte, n)
		}
		chunk = chunk[:n]
		if _, err := io.ReadFull(r, chunk); err != nil {
			return cut(err)
		}
		if crc32.Checksum(chunk, castagnoli) != binary.BigEndian.Uint32(head[4:]) {
			return fmt.Errorf("snapshot chunk: %w", ErrCorrupt)
		}
		bytes += uint64(n)
		for rest := chunk; len(rest) > 0; pairs++ {
			var key, value []byte
			var ok1, ok2 bool
			key, rest, ok1 = cutBytes(rest)
			value, rest, ok2 = cutBytes(rest)
			if !ok1 || !ok2 {
				return fmt.Errorf("snapshot pair: %w", ErrCorrupt)
			}
			if err := set(key, value); err != nil {
				return err
			}
		}
	}
	var end [endLen]byte
	if _, err := io.ReadFull(r, end[:]); err != nil {
		return cut(err)
	}
	if crc32.Checksum(end[:16], castagnoli) != binary.BigEndian.Uint32(end[16:]) ||
		binary.BigEndian.Uint64(end[:]) != pairs || binary.BigEndian.Uint64(end[8:]) != bytes {
		return fmt.Errorf("snapshot end: %w", ErrCorrupt)
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("bytes behind the snapshot's end: %w", ErrCorrupt)
	}
	return nil
}

func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("snapshot ends too early: %w", ErrCorrupt)
	}
	return fmt.Errorf("read snapshot: %w", err)
}

func cutBytes(b []byte) (head, rest []byte, ok bool) {
	n, k := binary.Uvarint(b)
	if k <= 0 || n > uint64(len(b)-k) {
		return nil, nil, false
	}
	return b[k : k+int(n)], b[k+int(n):], true
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

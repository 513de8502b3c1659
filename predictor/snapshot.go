package predictor

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/barrage-im/barrage/predictor/forecast"
	"github.com/barrage-im/barrage/predictor/series"
)

// A snapshot is one file: snapshotMagic, the SHA-256 of what follows, and then,
// little-endian: the length of the text that says what the history is of (uint16),
// the text, the time of the step after the last (int64, nanoseconds since 1970),
// the step (int64, nanoseconds), the number of steps (uint32), the inputs a step
// (uint32), the loads and the inputs (float64). Another version has another magic.
const (
	snapshotMagic = "barrage predictor history 1\n"
	snapshotHead  = 8 + 8 + 4 + 4
	maxSource     = 16 << 10 // bytes
	maxSnapshot   = len(snapshotMagic) + sha256.Size + 2 + maxSource + snapshotHead + 8*series.MaxSamples*2
)

var (
	errSnapshot = errors.New("the stored state is damaged")
	errOther    = errors.New("the stored state is of something else")
)

// encode gives the file of a history.
func (h *history) encode(of string) []byte {
	of = of[:min(len(of), maxSource)]
	inputs := 0
	if len(h.load) > 0 {
		inputs = len(h.known) / len(h.load)
	}
	rest := binary.LittleEndian.AppendUint16(nil, uint16(len(of)))
	rest = append(rest, of...)
	rest = binary.LittleEndian.AppendUint64(rest, uint64(h.next.UnixNano()))
	rest = binary.LittleEndian.AppendUint64(rest, uint64(h.step))
	rest = binary.LittleEndian.AppendUint32(rest, uint32(len(h.load)))
	rest = binary.LittleEndian.AppendUint32(rest, uint32(inputs))
	for _, column := range [][]float64{h.load, h.known} {
		for _, v := range column {
			rest = binary.LittleEndian.AppendUint64(rest, math.Float64bits(v))
		}
	}
	sum := sha256.Sum256(rest)
	return append(append([]byte(snapshotMagic), sum[:]...), rest...)
}

// decodeHistory reads what encode gave. What is not of the same source and step
// is errOther: it would be learnt from as if it were this demand.
func decodeHistory(b []byte, of string, step time.Duration, inputs int) (*history, error) {
	rest, ok := bytes.CutPrefix(b, []byte(snapshotMagic))
	if !ok || len(rest) < sha256.Size {
		return nil, fmt.Errorf("%w: it is none of this version", errSnapshot)
	}
	sum, rest := rest[:sha256.Size], rest[sha256.Size:]
	if now := sha256.Sum256(rest); !bytes.Equal(now[:], sum) {
		return nil, fmt.Errorf("%w: its checksum is another; was it cut?", errSnapshot)
	}
	if len(rest) < 2 {
		return nil, fmt.Errorf("%w: it is cut", errSnapshot)
	}
	n := int(binary.LittleEndian.Uint16(rest))
	if rest = rest[2:]; len(rest) < n+snapshotHead {
		return nil, fmt.Errorf("%w: it is cut", errSnapshot)
	}
	stored := string(rest[:n])
	rest = rest[n:]
	next := time.Unix(0, int64(binary.LittleEndian.Uint64(rest))).UTC()
	h := &history{step: time.Duration(binary.LittleEndian.Uint64(rest[8:])), next: next}
	steps, columns := int(binary.LittleEndian.Uint32(rest[16:])), int(binary.LittleEndian.Uint32(rest[20:]))
	rest = rest[snapshotHead:]
	if steps > series.MaxSamples || columns > forecast.MaxInputs || len(rest) != 8*steps*(1+columns) {
		return nil, fmt.Errorf("%w: %d bytes are not %d steps of %d inputs", errSnapshot, len(rest), steps, columns)
	}
	if stored != of[:min(len(of), maxSource)] || h.step != step {
		return nil, fmt.Errorf("%w: %q, every %s", errOther, stored, h.step)
	}
	if !next.Equal(next.Truncate(step)) {
		return nil, fmt.Errorf("%w: its steps are not on the grid", errSnapshot)
	}
	for i := range steps * (1 + columns) {
		v := math.Float64frombits(binary.LittleEndian.Uint64(rest[8*i:]))
		switch {
		case math.IsInf(v, 0) || v < 0 || v > forecast.MaxLoad:
			return nil, fmt.Errorf("%w: %v is no load", errSnapshot, v)
		case i < steps:
			h.load = append(h.load, v)
		case math.IsNaN(v):
			return nil, fmt.Errorf("%w: an input is missing", errSnapshot)
		default:
			h.known = append(h.known, v)
		}
	}
	if columns != inputs { // a schedule was added or taken away: the loads still are what they were
		h.known = nil
	}
	return h, nil
}

// readSnapshot reads a file. os.ErrNotExist: there is none.
func readSnapshot(path, of string, step time.Duration, inputs int) (*history, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, int64(maxSnapshot)+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxSnapshot {
		return nil, fmt.Errorf("%w: it has more than %d bytes", errSnapshot, maxSnapshot)
	}
	return decodeHistory(b, of, step, inputs)
}

// writeSnapshot replaces a file, or leaves it as it was.
func writeSnapshot(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	d, err := os.Open(filepath.Dir(path)) // the new name lasts, too
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

package emd_test

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/barrage-im/barrage/predictor/emd"
)

// FuzzDecompose reads samples of 8 bytes, or, where the first byte is odd, of one
// byte: plateaus, steps and outliers come about much sooner that way.
func FuzzDecompose(f *testing.F) {
	f.Add([]byte{0})
	f.Add([]byte{1, 0, 5, 5, 0, 250, 3, 3, 9, 0, 0, 0, 1, 2, 1})
	f.Add([]byte{3, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 128, 0, 0, 0, 1, 0})
	wild := []byte{0}
	for _, v := range []float64{1e300, -1e300, 0, 1, 5e-324, -1e-300, 3, 1e299, -7, 1e10, -2} {
		wild = binary.LittleEndian.AppendUint64(wild, math.Float64bits(v))
	}
	f.Add(wild)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 || len(data) > 3000 {
			return
		}
		x := []float64{}
		kind, data := data[0], data[1:]
		if kind&1 == 1 {
			for _, b := range data {
				x = append(x, float64(int8(b)))
			}
		} else {
			for ; len(data) >= 8; data = data[8:] {
				x = append(x, math.Float64frombits(binary.LittleEndian.Uint64(data)))
			}
		}
		bad := false
		for _, v := range x {
			bad = bad || !(math.Abs(v) <= emd.MaxMagnitude)
		}
		o := emd.Options{Trials: 4, Sifts: int(kind >> 1 & 1 * 10), NoExtension: kind&4 != 0, MaxSifts: int(kind >> 3 & 1 * 50)}
		modes, residue, err := emd.Decompose(x, o)
		if bad != errors.Is(err, emd.ErrInput) || bad != (err != nil) {
			t.Fatalf("error %v, bad input: %v", err, bad)
		}
		if bad {
			return
		}
		check(t, x, modes, residue)
		modes, residue, err = emd.CEEMDAN(x, o, uint64(kind))
		if err != nil {
			t.Fatal(err)
		}
		checkSum(t, x, modes, residue)
	})
}

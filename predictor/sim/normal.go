package sim

import (
	"math"
	"math/bits"
)

// noise draws what numpy.random.default_rng(seed).standard_normal() draws, so
// that traces are those of the yardstick: a SeedSequence, PCG64 (O'Neill 2014,
// XSL-RR, 128 bits of state) and the ziggurat of Marsaglia and Tsang (2000) in
// 256 layers.
type noise struct {
	stateHi, stateLo uint64
	incHi, incLo     uint64
}

func newNoise(seed uint32) *noise {
	words := seedSequence(seed)
	n := &noise{
		incHi: words[2]<<1 | words[3]>>63,
		incLo: words[3]<<1 | 1,
	}
	n.step()
	var carry uint64
	n.stateLo, carry = bits.Add64(n.stateLo, words[1], 0)
	n.stateHi, _ = bits.Add64(n.stateHi, words[0], carry)
	n.step()
	return n
}

// seedSequence mixes a seed of 32 bits into four words of 64, as numpy's
// SeedSequence does with a pool of four.
func seedSequence(seed uint32) [4]uint64 {
	const (
		initA, multA = 0x43b0d7e5, 0x931e8875
		initB, multB = 0x8b51f9dd, 0x58f38ded
		mixL, mixR   = 0xca01f9dd, 0x4973f715
	)
	hashA := uint32(initA)
	hash := func(v uint32) uint32 {
		v ^= hashA
		hashA *= multA
		v *= hashA
		return v ^ v>>16
	}
	mix := func(x, y uint32) uint32 {
		r := mixL*x - mixR*y
		return r ^ r>>16
	}
	pool := [4]uint32{hash(seed), hash(0), hash(0), hash(0)}
	for from := range pool {
		for to := range pool {
			if from != to {
				pool[to] = mix(pool[to], hash(pool[from]))
			}
		}
	}
	var words [4]uint64
	hashB := uint32(initB)
	for i := range 8 {
		v := pool[i%4] ^ hashB
		hashB *= multB
		v *= hashB
		v ^= v >> 16
		words[i/2] |= uint64(v) << (32 * (i % 2))
	}
	return words
}

func (n *noise) step() {
	const multHi, multLo = 2549297995355413924, 4865540595714422341
	hi, lo := bits.Mul64(n.stateLo, multLo)
	hi += n.stateHi*multLo + n.stateLo*multHi
	var carry uint64
	n.stateLo, carry = bits.Add64(lo, n.incLo, 0)
	n.stateHi, _ = bits.Add64(hi, n.incHi, carry)
}

func (n *noise) uint64() uint64 {
	n.step()
	return bits.RotateLeft64(n.stateHi^n.stateLo, -int(n.stateHi>>58))
}

func (n *noise) float64() float64 { return float64(n.uint64()>>11) / (1 << 53) }

func (n *noise) normal() float64 {
	for {
		r := n.uint64()
		layer := r & 0xff
		r >>= 8
		negative := r&1 != 0
		mantissa := r >> 1 & (1<<52 - 1)
		x := float64(mantissa) * ziggurat.width[layer]
		if negative {
			x = -x
		}
		if mantissa < ziggurat.inside[layer] {
			return x
		}
		if layer == 0 {
			for {
				far := -math.Log1p(-n.float64()) / zigguratTail
				y := -math.Log1p(-n.float64())
				if y+y <= far*far {
					continue
				}
				if mantissa>>8&1 != 0 {
					return -(zigguratTail + far)
				}
				return zigguratTail + far
			}
		}
		top, bottom := ziggurat.density[layer-1], ziggurat.density[layer]
		if (top-bottom)*n.float64()+bottom < math.Exp(-0.5*x*x) {
			return x
		}
	}
}

// Where the ziggurat's tail begins, and the area of each of its layers.
const (
	zigguratTail = 3.6541528853610087963519472518
	zigguratArea = 0.0049286732339746519
)

type zigguratTable struct {
	width   [256]float64 // of a layer, for each unit of the mantissa
	inside  [256]uint64  // mantissas below this lie under the curve
	density [256]float64
}

var ziggurat = makeZiggurat()

func makeZiggurat() *zigguratTable {
	const unit = 1 << 52
	var t zigguratTable
	density := func(x float64) float64 { return math.Exp(-0.5 * x * x) }
	x := zigguratTail
	q := zigguratArea / density(x)
	t.inside[0] = uint64(x / q * unit)
	t.inside[1] = 0
	t.width[0], t.width[255] = q/unit, x/unit
	t.density[0], t.density[255] = 1, density(x)
	for i := 254; i >= 1; i-- {
		next := math.Sqrt(-2 * math.Log(zigguratArea/x+density(x)))
		t.inside[i+1] = uint64(next / x * unit)
		t.width[i] = next / unit
		t.density[i] = density(next)
		x = next
	}
	return &t
}

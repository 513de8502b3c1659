package filter

// The prefilter says at which letters of a text a word may begin. It is a
// shift-and automaton over neighbouring letters, in the manner of Hyperscan's
// FDR (Wang et al., NSDI 2019): words are shared out among 16 buckets, and for
// each two letters in a row the table says, by a bit for each bucket and each of
// 4 places, whether one of the bucket's words has them there. Where a word has
// fewer places, the bit is set for all.
type prefilter struct {
	table []uint64 // by hash of two classes; the 16 bits from 16*k are place k
	heads []uint64 // bitmap by hash of the words' heads
}

const (
	places  = 4
	buckets = 16
	reach   = places + 1 // letters that the automaton has seen when it speaks of a word

	minTable, maxTable = 9, 17  // bits of the table: at most 1 MiB
	minHeads, maxHeads = 12, 21 // bits of the bitmap: at most 256 KiB
)

// Odd numbers near 2^64 and 2^32 divided by the golden ratio (Knuth, TAOCP 6.4).
const (
	spread64 = 0x9e3779b97f4a7c15
	spread32 = 0x9e3779b1
)

// twoLetters is the hash of two classes in one number, the last one lowest:
// maxTable bits.
func twoLetters(k uint32) uint64 { return uint64(k) * spread64 >> (64 - maxTable) }

// newPrefilter takes the class sequences, and of each whether it is of patterns
// only that begin where a word does.
func newPrefilter(sequences [][]uint16, begins []bool) prefilter {
	n := 0
	for _, s := range sequences {
		if len(s) > 1 {
			n++
		}
	}
	p := prefilter{
		table: make([]uint64, 1<<bitsFor(2*n, minTable, maxTable)),
		heads: make([]uint64, 1<<bitsFor(20*n, minHeads, maxHeads)/64),
	}
	always := uint64(0)
	for i, s := range sequences {
		if len(s) > 1 {
			always |= p.add(s, begins[i])
		}
	}
	for i := range p.table {
		p.table[i] |= always
	}
	return p
}

func bitsFor(n, least, most int) int {
	for 1<<least < n && least < most {
		least++
	}
	return least
}

// add adds a sequence and returns the places that any letters may take.
func (p *prefilter) add(s []uint16, begins bool) (always uint64) {
	n := min(len(s)-1, places)
	bucket := bucketOf(s)
	for i := range n {
		h := twoLetters(uint32(s[i])<<16 | uint32(s[i+1]))
		p.table[int(h)&(len(p.table)-1)] |= 1 << (buckets*i + bucket)
	}
	for i := n; i < places; i++ {
		always |= 1 << (buckets*i + bucket)
	}
	k := headOf(s)
	if len(s) >= longClasses {
		k = longer(k, s[4], s[5])
	}
	p.addHead(k)
	if !begins {
		p.addHead(k ^ inside)
	}
	return always
}

// inside is in the heads of words that may begin inside another.
const inside = 0xa5a5a5a5a5a5a5a5

// headHash is the word of the bitmap, and the bits in it, that a head sets.
func headHash(head uint64) (word, bits uint64) {
	h := head * spread64
	return h >> (64 - maxHeads + 6), 1<<(h>>26&63) | 1<<(h>>32&63) | 1<<(h>>38&63)
}

func (p *prefilter) addHead(head uint64) {
	word, bits := headHash(head)
	p.heads[int(word)&(len(p.heads)-1)] |= bits
}

func (p *prefilter) hasHead(head uint64) bool {
	word, bits := headHash(head)
	return p.heads[word&uint64(len(p.heads)-1)]&bits == bits
}

// longClasses is how long a word is that is told by six classes: many words of
// an alphabet begin with the same four as others.
const longClasses = 6

func longer(head uint64, e, f uint16) uint64 {
	return head ^ uint64(uint32(e)|uint32(f)<<16)*spread32
}

// two and three leave the first letters of a head.
const (
	two   = 1<<32 - 1
	three = 1<<48 - 1
)

// Of which lengths words may begin at a place.
const (
	hasTwo = 1 << iota
	hasThree
	hasFour // or more
)

// The buckets of words, by how many letters they have.
const (
	bucketsTwo   = 0x0001
	bucketsThree = 0x0002
	bucketsFour  = 0xfffc // or more
	bucketsFive  = 0xffe0 // or more
)

// row is what the table has of two neighbouring letters.
func (p *prefilter) row(a, b uint16) uint64 {
	return p.table[twoLetters(uint32(a)<<16|uint32(b))&uint64(len(p.table)-1)]
}

// has says of which lengths words may begin with six letters, that is with what
// the table has of their pairs and with their heads: of most places that run
// tells of, none does. mark is inside or 0.
func (p *prefilter) has(a, b, c, d, e, f uint16, mark uint64) (has uint64) {
	in := p.row(a, b) & (p.row(b, c) >> buckets) & (p.row(c, d) >> (2 * buckets)) & (p.row(d, e) >> (3 * buckets))
	head := uint64(a) | uint64(b)<<16 | uint64(c)<<32 | uint64(d)<<48
	if in&bucketsTwo != 0 && p.hasHead(head&two^mark) {
		has = hasTwo
	}
	if in&bucketsThree != 0 && p.hasHead(head&three^mark) {
		has |= hasThree
	}
	if in&bucketsFour != 0 && p.hasHead(head^mark) || in&bucketsFive != 0 && p.hasHead(longer(head, e, f)^mark) {
		has |= hasFour
	}
	return has
}

// bucketOf keeps words of different lengths apart, because a short one's bits
// are set where a long one's must not be, and words of different beginnings, so
// that the letters of one do not go on with those of another.
func bucketOf(s []uint16) int {
	h := int((uint32(s[0])<<16 | uint32(s[1])) * spread32 >> 16)
	switch len(s) {
	case 2:
		return 0
	case 3:
		return 1
	case 4:
		return 2 + h%3
	default:
		return 5 + h%11
	}
}

func (p *prefilter) bytes() int { return 8 * (len(p.table) + len(p.heads)) }

// run reads classes, last being the one before, and says at which a word may
// begin: the first class highest, and bit 0 for the one that is reach-1 before
// the last. There is no branch in it, and it stands alone so that all it needs
// stays in registers: what the look-ups wait for, they wait for together.
//
//go:noinline
func (p *prefilter) run(class []uint16, last uint16, state uint64) (starts uint64, _ uint64) {
	table := p.table
	if len(table) == 0 {
		return 0, 0
	}
	k := uint32(last)
	for _, c := range class {
		k = k<<16 | uint32(c)
		state = (state<<buckets | (1<<buckets - 1)) & table[twoLetters(k)&uint64(len(table)-1)]
		starts = starts<<1 | (state>>(buckets*(places-1))+(1<<buckets-1))>>buckets
	}
	return starts, state
}

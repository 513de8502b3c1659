package fold

import _ "embed" // tables.bin

//go:embed tables.bin
var packed string

// The tables are laid out once, in less than a millisecond: packed they are a
// tenth of their size.
func init() { load(&reader{s: packed}) }

func load(in *reader) {
	class := uint16(leetClasses)
	for run := range in.runs {
		for r := run.from; r < run.to; r++ {
			class++
			BMP[r], canon[class] = class, uint16(r)
		}
	}
	for run := range in.runs {
		loadFar(run)
	}
	loadASCII()
	for p := range in.pairs {
		loadFold(p)
	}
	for p := range in.pairs {
		BMP[p.r] = BMP[p.to]
		symbols = append(symbols, p)
	}
	for run := range in.runs {
		capitalI = append(capitalI, run)
	}
	loadKinds(in)
}

// loadFar takes runes beyond the basic plane that count as themselves.
func loadFar(run stretch) {
	for r := run.from; r < run.to; {
		if r&0xFF == 0 && run.to-r >= 256 {
			farPage[(r-firstFar)>>8] = pageSelf
			r += 256
			continue
		}
		setFar(r, bucket(r))
		r++
	}
}

// loadASCII gives leetspeak its classes, and capitals their letters'.
func loadASCII() {
	for i, members := range leetGroups {
		for _, r := range members {
			BMP[r] = uint16(i) + 1
		}
	}
	for r := 'A'; r <= 'Z'; r++ {
		BMP[r] = BMP[r+('a'-'A')]
	}
}

// loadFold takes a rune that counts as another.
func loadFold(p pair) {
	class := Coarse(p.to)
	if p.r <= 0xFFFF {
		BMP[p.r] = class
	} else {
		setFar(p.r, class)
		if class >= firstBucket {
			farFine = append(farFine, p)
		}
	}
	if class <= leetClasses {
		leetFine = append(leetFine, p)
	}
}

func loadKinds(in *reader) {
	at := 0
	for range in.uint() {
		v := in.uint()
		k, end := Kind(v&7), at+v>>3
		for r := at; r < min(end, len(bmpKind)); r++ {
			bmpKind[r] = k
		}
		if end > len(bmpKind) {
			farKind = append(farKind, kindRun{rune(max(at, len(bmpKind))), k})
		}
		at = end
	}
}

// reader takes the sections of tables.bin in turn. Our own generator wrote them
// and a test compares: it does not look for damage.
type reader struct {
	s  string
	at int
}

func (in *reader) uint() int {
	c := in.s[in.at]
	in.at++
	v := int(c & 0x7F)
	for shift := 7; c >= 0x80; shift += 7 {
		c = in.s[in.at]
		in.at++
		v |= int(c&0x7F) << shift
	}
	return v
}

// int has the sign in the last bit.
func (in *reader) int() int {
	v := in.uint()
	return v>>1 ^ -(v & 1)
}

// stretch is runes in a row; to is not one of them.
type stretch struct{ from, to rune }

// runs gives the stretches of a section.
func (in *reader) runs(yield func(stretch) bool) {
	at := rune(0)
	for range in.uint() {
		at += rune(in.uint())
		from := at
		at += rune(in.uint())
		if !yield(stretch{from, at}) {
			return
		}
	}
}

// pairs gives the pairs of a section.
func (in *reader) pairs(yield func(pair) bool) {
	r := rune(0)
	for range in.uint() {
		r += rune(in.uint())
		if !yield(pair{r, r + rune(in.int())}) {
			return
		}
	}
}

package corpus

// random is splitmix64 (Steele, Lea, Flood 2014): a few instructions, no state
// but a counter, the same everywhere.
type random struct{ state uint64 }

// seeded starts a sequence of its own for each use of the same seed.
func seeded(seed uint64, use string) *random {
	r := &random{seed}
	for _, c := range []byte(use) {
		r.state = r.next() ^ uint64(c)
	}
	return r
}

func (r *random) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns one of 0 to n-1.
func (r *random) below(n int) int { return int(r.next() >> 33 * uint64(n) >> 31) }

// between returns one of low to high.
func (r *random) between(low, high int) int { return low + r.below(high-low+1) }

// float returns a number of [0, 1).
func (r *random) float() float64 { return float64(r.next()>>11) / (1 << 53) }

// chance is true with probability p.
func (r *random) chance(p float64) bool { return r.float() < p }

func pick[T any](r *random, of []T) T { return of[r.below(len(of))] }

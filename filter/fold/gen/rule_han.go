package main

// numerals are the numbers of cheques, which nobody uses otherwise, and the
// round zero. 陆 is not here: it is land first (大陆, 登陆) and six last, and
// 大陆四川 must not read 六四.
var numerals = map[rune]rune{
	'壹': '一', '弌': '一', '贰': '二', '弍': '二', '叁': '三', '弎': '三', '肆': '四', '伍': '五',
	'柒': '七', '捌': '八', '玖': '九', '〇': '零',
}

func numeral(r rune) (rune, bool) {
	to, ok := numerals[r]
	return to, ok
}

// simplify: traditional characters are the simplified ones, by OpenCC's first
// choice. A character of the basic plane is not made one beyond it: only old
// books have those.
func (b *builder) simplify(r rune) (rune, bool) {
	to, ok := b.simplified[r]
	return to, ok && (r > 0xFFFF || to <= 0xFFFF)
}

// fromJapanese: characters that only Japan simplified (発), where they stand for
// one traditional character and are not in use in China as another.
func (b *builder) fromJapanese(r rune) (rune, bool) {
	to, ok := b.shinjitai[r]
	if !ok || b.modern[r] || b.simplified[r] != 0 || to > 0xFFFF {
		return 0, false
	}
	for _, simple := range b.simplified {
		if simple == r {
			return 0, false
		}
	}
	return to, true
}

// variant: of characters that Unihan calls the same (kZVariant) the one in use
// today counts, or else the one with the smallest number.
func (b *builder) variant(r rune) (rune, bool) {
	best := r
	for _, v := range b.zVariant[r] {
		if b.chars[v] == nil || b.changes(v) {
			continue
		}
		if b.modern[v] && !b.modern[best] || b.modern[v] == b.modern[best] && v < best {
			best = v
		}
	}
	return best, best != r && !b.modern[r]
}

// changes: another rule takes v elsewhere, so it is nothing to fold to.
func (b *builder) changes(v rune) bool {
	for _, step := range []func(rune) (rune, bool){b.decomposed, numeral, b.simplify, b.fromJapanese} {
		if _, ok := step(v); ok {
			return true
		}
	}
	return false
}

package corpus

import "unicode/utf8"

// Bounds of a message, in bytes. The lengths between them fall off as those of
// live chat do: many short ones, few long ones, 55 bytes on average.
const (
	minMessage  = 20
	maxMessage  = 200
	meanTail    = 35 // of what a message has beyond minMessage
	meanOverrun = 4  // a word more than wanted, on average; part of the mean
)

// Messages returns n chat messages, of which the share dirty holds one of words
// at a random place.
func Messages(n int, seed uint64, words []string, dirty float64) [][]byte {
	r := seeded(seed, "messages")
	out := make([][]byte, n)
	for i := range out {
		out[i] = message(r)
		if len(words) > 0 && r.chance(dirty) {
			out[i] = plant(r, out[i], pick(r, words))
		}
	}
	return out
}

// Clean returns n messages of ordinary chat.
func Clean(n int, seed uint64) [][]byte {
	r := seeded(seed, "clean")
	out := make([][]byte, n)
	for i := range out {
		out[i] = message(r)
	}
	return out
}

// Sizes of the canary corpus.
const (
	canarySeed = 20_000
	canaryRuns = 1_200
)

// Canary returns a fixed set of about 2,000 ordinary messages: every template
// of the hand-written chat, and drawn ones. A list that matches many of them is
// a mistake.
func Canary() [][]byte {
	r := seeded(canarySeed, "canary")
	var out [][]byte
	for _, section := range []string{"chinese", "english", "mixed"} {
		for _, template := range chat()[section] {
			out = append(out, fill(nil, r, template))
		}
	}
	return append(out, Clean(canaryRuns, canarySeed)...)
}

// message is an ordinary one: 65 % Chinese, 20 % English, 15 % mixed.
func message(r *random) []byte {
	want := length(r)
	dst := make([]byte, 0, want+24)
	x := r.float()
	templates, run := "chinese", chineseRun
	switch {
	case x >= 0.85:
		templates, run = "mixed", mixedRun
	case x >= 0.65:
		templates, run = "english", englishRun
	}
	if r.chance(0.3) {
		dst = fill(dst, r, pick(r, chat()[templates]))
		if len(dst) < want {
			dst = append(dst, pick(r, joins)...)
		}
	}
	if len(dst) < want {
		dst = run(dst, r, want)
	}
	return cut(dst)
}

var joins = []string{" ", "，", "。", ", ", "  ", "！", " "}

// length draws from a geometric distribution.
func length(r *random) int {
	const step = 4
	n := minMessage - meanOverrun
	for n < maxMessage && r.float() > float64(step)/(meanTail+step) {
		n += step
	}
	return n + r.below(step)
}

// cut keeps a message within its bounds, between two characters.
func cut(message []byte) []byte {
	for len(message) < minMessage {
		message = append(message, '~')
	}
	if len(message) <= maxMessage {
		return message
	}
	return message[:boundary(message, maxMessage)]
}

// boundary is the last place up to at that is between two characters.
func boundary(message []byte, at int) int {
	for at < len(message) && !utf8.RuneStart(message[at]) {
		at--
	}
	return at
}

// plant puts a word between two characters of a message; a Latin one gets
// spaces around it, so that it stands there as a word.
func plant(r *random, message []byte, word string) []byte {
	room := maxMessage - len(word) - 2
	at := boundary(message, min(r.below(len(message)+1), room))
	if len(message) > room {
		message = message[:at]
	}
	planted := make([]byte, 0, len(message)+len(word)+2)
	planted = append(planted, message[:at]...)
	if word[0] < utf8.RuneSelf {
		planted = append(planted, ' ')
	}
	planted = append(planted, word...)
	if word[len(word)-1] < utf8.RuneSelf {
		planted = append(planted, ' ')
	}
	return append(planted, message[at:]...)
}

// chineseRun appends words and punctuation, as they come by their frequency.
func chineseRun(dst []byte, r *random, want int) []byte {
	zh := chinese()
	for len(dst) < want {
		dst = append(dst, zh.draw(r)...)
		switch x := r.float(); {
		case x < 0.08:
			dst = append(dst, "，"...)
		case x < 0.10:
			dst = append(dst, ' ')
		case x < 0.115:
			dst = append(dst, pick(r, chat()["mark"])...)
		case x < 0.13:
			dst = append(dst, pick(r, chat()["laugh"])...)
		}
	}
	if r.chance(0.15) {
		dst = append(dst, pick(r, chat()["emoji"])...)
	}
	return dst
}

func englishRun(dst []byte, r *random, want int) []byte {
	en := english()
	for first := len(dst) == 0; len(dst) < want; first = false {
		if n := len(dst); n > 0 && dst[n-1] != ' ' {
			dst = append(dst, ' ')
		}
		at := len(dst)
		dst = append(dst, en.draw(r)...)
		if c := dst[at]; c >= 'a' && c <= 'z' && (first && r.chance(0.4) || string(dst[at:]) == "i" && r.chance(0.5)) {
			dst[at] -= 'a' - 'A'
		}
		if x := r.float(); x < 0.06 {
			dst = append(dst, ',')
		} else if x < 0.08 {
			dst = append(dst, pick(r, chat()["mark"])...)
		}
	}
	if r.chance(0.12) {
		dst = append(append(dst, ' '), pick(r, chat()["slang"])...)
	}
	if r.chance(0.1) {
		dst = append(append(dst, ' '), pick(r, chat()["emoji"])...)
	}
	return dst
}

// mixedRun appends Chinese with Latin words, numbers, laughter and emoji.
func mixedRun(dst []byte, r *random, want int) []byte {
	for len(dst) < want {
		switch x := r.float(); {
		case x < 0.50:
			dst = append(dst, chinese().draw(r)...)
		case x < 0.62:
			dst = append(dst, english().draw(r)...)
			if r.chance(0.5) {
				dst = append(dst, ' ')
			}
		case x < 0.70:
			dst = append(dst, pick(r, chat()["slang"])...)
			dst = append(dst, ' ')
		case x < 0.78:
			dst = fill(dst, r, pick(r, chat()["thing"]))
		case x < 0.86:
			dst = append(dst, pick(r, chat()["emoji"])...)
		case x < 0.94:
			dst = append(dst, pick(r, chat()["laugh"])...)
		default:
			dst = append(dst, digits(r, 1, 4)...)
		}
	}
	return dst
}

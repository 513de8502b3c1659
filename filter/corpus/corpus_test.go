package corpus

import (
	"bytes"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

func share(n, of int) float64 { return float64(n) / float64(of) }

// within checks a figure of a distribution.
func within(t *testing.T, what string, got, low, high float64) {
	t.Helper()
	if got < low || got > high {
		t.Errorf("%s is %.4g, want %.4g to %.4g", what, got, low, high)
	}
}

func TestWordsAreLikeAListOfSensitiveWords(t *testing.T) {
	words := Words(20_000)
	everyday := map[string]bool{}
	for _, v := range []*vocabulary{chinese(), english()} {
		for _, w := range v.common {
			everyday[w] = true
		}
	}
	seen := map[string]bool{}
	length, ascii, mixed := 0, 0, 0
	for _, w := range words {
		if c := utf8.RuneCountInString(w); c < minWord || c > maxWord {
			t.Errorf("%q has %d characters", w, c)
		}
		if !utf8.ValidString(w) || strings.TrimSpace(w) != w {
			t.Errorf("%q is no clean word", w)
		}
		if seen[w] || everyday[w] {
			t.Errorf("%q: double %v, everyday %v", w, seen[w], everyday[w])
		}
		seen[w] = true
		length += len(w)
		switch latin := strings.IndexFunc(w, func(r rune) bool { return r < utf8.RuneSelf }); {
		case isASCII(w):
			ascii++
		case latin >= 0:
			mixed++
		}
	}
	within(t, "mean length", share(length, len(words)), 15, 17)
	within(t, "share of ASCII", share(ascii, len(words)), 0.15, 0.17)
	within(t, "share of mixed", share(mixed, len(words)), 0.08, 0.12)
}

func TestFewerWordsAreTheFirstOfMore(t *testing.T) {
	if !slices.Equal(Words(1_000), Words(3_000)[:1_000]) {
		t.Error("Words(1000) is not what Words(3000) begins with")
	}
}

func TestMessagesAreLikeLiveChat(t *testing.T) {
	for _, c := range []struct {
		name     string
		messages [][]byte
	}{
		{"clean", Clean(20_000, 1)},
		{"messages", Messages(20_000, 1, Words(1_000), 0.02)},
	} {
		t.Run(c.name, func(t *testing.T) {
			length, english, emoji := 0, 0, 0
			for _, m := range c.messages {
				if len(m) < minMessage || len(m) > maxMessage || !utf8.Valid(m) {
					t.Errorf("%q: %d bytes, valid UTF-8: %v", m, len(m), utf8.Valid(m))
				}
				if bytes.ContainsAny(m, "{}") {
					t.Errorf("%q has a gap that is not filled", m)
				}
				length += len(m)
				if !bytes.ContainsFunc(m, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
					english++
				}
				if bytes.ContainsFunc(m, func(r rune) bool { return r > 0x1f000 || r == 0x2764 || r == 0x2728 }) {
					emoji++
				}
			}
			n := len(c.messages)
			within(t, "mean length", share(length, n), 50, 60)
			within(t, "share without Han", share(english, n), 0.17, 0.25)
			within(t, "share with emoji", share(emoji, n), 0.10, 0.35)
		})
	}
}

// A message that holds a word by chance is rare, one that holds a planted word
// is as frequent as asked for.
func TestMessagesHoldPlantedWords(t *testing.T) {
	words := Words(1_000)
	hits := func(messages [][]byte) (n int) {
		for _, m := range messages {
			if slices.ContainsFunc(words, func(w string) bool { return bytes.Contains(m, []byte(w)) }) {
				n++
			}
		}
		return n
	}
	const n = 4_000
	within(t, "share of clean messages with a word", share(hits(Clean(n, 7)), n), 0, 0.001)
	within(t, "share of messages with a word", share(hits(Messages(n, 7, words, 0.02)), n), 0.014, 0.026)
	within(t, "share when all are dirty", share(hits(Messages(n, 7, words, 1)), n), 1, 1)
}

// Figures of different days can be compared only if they are of the same data:
// who changes it changes these sums, and measures again.
func TestDataStaysTheSame(t *testing.T) {
	words := Words(1_000)
	for _, c := range []struct {
		name string
		text string
		sum  uint32
	}{
		{"words", strings.Join(words, "\n"), 0xda5103cd},
		{"messages", string(bytes.Join(Messages(1_000, 1, words, 0.02), []byte("\n"))), 0x320f0b6d},
		{"clean", string(bytes.Join(Clean(1_000, 1), []byte("\n"))), 0x2fb0b8dd},
		{"canary", string(bytes.Join(Canary(), []byte("\n"))), 0x14cf77ef},
	} {
		if sum := crc32.ChecksumIEEE([]byte(c.text)); sum != c.sum {
			t.Errorf("%s have the sum %#x, want %#x", c.name, sum, c.sum)
		}
	}
}

// What ordinary language has in common with lists is in the clean messages, or
// the share of false hits says nothing.
func TestCleanMessagesComeCloseToListedWords(t *testing.T) {
	text := bytes.ToLower(bytes.Join(Clean(100_000, 1), []byte("\n")))
	for _, w := range []string{
		"class", "assess", "assume", "pass", "dickens", "cockpit", "cocktail", "scunthorpe", "essex", "shell", "title", "analysis", "skill",
		"性价比", "性格", "性能", "群友", "病毒", "操作", "发票", "微信", "贷款", "日本", "妈妈", "奶奶", "打赌",
	} {
		if !bytes.Contains(text, []byte(w)) {
			t.Errorf("%q is in no message", w)
		}
	}
}

func TestSeedsGiveMessages(t *testing.T) {
	same := func(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }
	if !same(Clean(100, 3), Clean(100, 3)) || !same(Canary(), Canary()) {
		t.Error("the same seed gives different messages")
	}
	if same(Clean(100, 3), Clean(100, 4)) {
		t.Error("different seeds give the same messages")
	}
	if n := len(Canary()); n < 1_500 || n > 2_500 {
		t.Errorf("the canary corpus has %d messages", n)
	}
}
